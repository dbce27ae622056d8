#include "apps/programs/export_command.h"

#include <fmt/format.h>

#include "apps/console/flag_reader.h"
#include "apps/console/program.h"
#include "apps/export/export_network.h"
#include "apps/export/onnx_graph.h"
#include "apps/run/checkpoint_sampler.h"
#include "apps/training/train_options.h"
#include "engine/io/atomic_file.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

const char* kFooter = R"(Examples:
  inspect_run export runs/latest -o generator.safetensors              for PyTorch: bench/peers/load_export.py
  inspect_run export runs/latest -o generator.onnx                     opset 13: z (and labels) to images
  inspect_run export runs/latest -o small.safetensors --format compact
  sample_gan small.safetensors -o fakes.png                            the run's very images

safetensors: names and layouts of the papers' PyTorch code (apps/export/reference_tensors.h). Running statistics of
batch norm are measured for the chosen weights, as sample_gan does. compact: Poise's own format, alive cells only, which
sample_gan and evaluate_gan read.)";

std::string size_text(size_t bytes) {
  const double mib = static_cast<double>(bytes) / kMiB;
  return mib >= 0.1 ? fmt::format("{:.2f} MiB", mib) : fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
}

// Programs, including ours, recognise these files by their extension.
void check_ending(const ExportRequest& request, FlagReader& reader) {
  const std::string ending = request.format == ExportFormat::onnx ? ".onnx" : ".safetensors";
  const std::string& output = request.output;
  if (output.empty() || output.ends_with(ending) || is_standard_output(output)) return;
  if (kind_of_path(output) == PathKind::other) return;  // a pipe, a device
  reader.add_problem(fmt::format("--output: the file is {}, but the name {} does not say so; end it in {}",
                                 request.format == ExportFormat::onnx ? "ONNX" : "of safetensors", output, ending));
}

}  // namespace

CommandLineSpec export_command_line() {
  using Kind = Flag::Kind;
  return {
      .description = "Writes a network of a run, or of a checkpoint, as a file for other programs.",
      .flags = {{"-o,--output", Kind::once, "FILE", "the file to write, .safetensors or .onnx; - for standard output"},
                {"--format", Kind::value, "NAME",
                 "safetensors, compact or onnx (onnx if FILE ends in .onnx, else safetensors)"},
                {"--network", Kind::value, "NAME", "G or D; D as safetensors only (G)"},
                {"--weights", Kind::value, "WHICH", "of G: ema (averaged) or live (ema)"},
                {"--spectral-norm", Kind::value, "FORM",
                 "original: weight_orig, weight_u, weight_v as PyTorch's spectral_norm; folded: weight (original)"},
                {"--device", Kind::value, "NAME", "auto, cpu, cuda or emulated (auto: cuda if it is there)"}},
      .positional = "run",
      .positional_help = "a run directory (its newest checkpoint) or a checkpoint file",
      .footer = kFooter};
}

int run_export(const CommandLine& args) {
  FlagReader reader(args);
  ExportRequest request{
      .source = reader.positional("expected a run directory or a checkpoint; give one, as runs/latest"),
      .output = reader.path("output")};
  if (request.output.empty()) reader.add_problem("--output: expected a file name; give one with -o");
  reader.refuse_overwriting({"output"}, checkpoint_files(request.source));
  const bool onnx = request.output.ends_with(".onnx");
  const std::string format = reader.choice("format", onnx ? std::vector<std::string>{"onnx", "safetensors", "compact"}
                                                          : std::vector<std::string>{"safetensors", "compact", "onnx"});
  request.format = format == "onnx"      ? ExportFormat::onnx
                   : format == "compact" ? ExportFormat::compact
                                         : ExportFormat::safetensors;
  check_ending(request, reader);
  request.network = reader.choice("network", {"G", "D"});
  request.weights = reader.choice("weights", {"ema", "live"}) == "ema" ? Weights::ema : Weights::live;
  request.spectral_norm = reader.choice("spectral-norm", {"original", "folded"}) == "folded"
                              ? SpectralNormForm::folded
                              : SpectralNormForm::original;
  request.device = named<Device>(reader.choice("device", {"auto", "cpu", "cuda", "emulated"}));
  if (request.network == "D" && request.format != ExportFormat::safetensors) {
    reader.add_problem(fmt::format("--network: {} files hold G; use --format safetensors for D", format));
  }
  if (request.network == "D" && args.get("weights", "live") == "ema") {
    reader.add_problem("--weights: D has no moving average; leave out --weights");
  }
  if (args.has("spectral-norm") && request.format != ExportFormat::safetensors) {
    reader.add_problem("--spectral-norm: only with --format safetensors; onnx folds it, compact keeps it");
  }
  reader.throw_if_problems();

  const ExportResult result = export_network(request);
  if (is_standard_output(request.output)) return 0;  // it carries the file
  std::string text = fmt::format(
      "{}: {} of {}, iteration {}, {}{}{}, {}\n", request.output, request.network, result.model, result.iteration,
      request.network == "D"            ? ""
      : request.weights == Weights::ema ? "ema weights, "
                                        : "live weights, ",
      format, onnx || request.format == ExportFormat::onnx ? fmt::format(" (opset {})", OnnxGraph::kOpset) : "",
      size_text(result.bytes));
  if (result.compact_bytes > 0) {
    text += fmt::format("{} dense: {}; compact: {}, {:.1f}%\n", request.network, size_text(result.dense_bytes),
                        size_text(result.compact_bytes),
                        100 * static_cast<double>(result.compact_bytes) / static_cast<double>(result.dense_bytes));
  }
  print_result(text);
  return 0;
}

}  // namespace poise
