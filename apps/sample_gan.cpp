#include "apps/sample_gan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "apps/command_line.h"
#include "apps/program.h"
#include "apps/run_directory.h"
#include "apps/run_state.h"
#include "apps/suggestion.h"
#include "engine/io/atomic_file.h"
#include "engine/io/png.h"

namespace poise {
namespace {

constexpr size_t kMostSeeds = 100000;
// All forward passes have this many latents, the last one filled up: so a kernel never sees another shape, and a seed's
// image has the same bits whatever its companions.
constexpr int64_t kBatch = 32;

const char* kExamples = R"(Examples:
  sample_gan runs/latest -o fakes.png
  sample_gan runs/latest --seeds 7,40-47 --columns 3 --scale 4 -o few.png
  sample_gan runs/latest/checkpoints/step-00000300.safetensors --weights live --seeds 0-9999 -o grid.png --raw fakes.bin

--batch-norm running: statistics measured anew for the chosen weights over 1,024 fixed latents, so that a seed gives the
same image in any company. --batch-norm batch: each batch of 64 normalises itself, as the pictures of train_gan do.)";

struct Request {
  std::string source, output, raw, device;
  std::vector<uint64_t> seeds, classes;  // classes: empty for all of them
  Weights weights = Weights::ema;
  Mode mode = Mode::evaluate_running;
  int64_t columns = 0, scale = 2;
};

CommandLineSpec command_line_spec() {
  using Kind = Flag::Kind;
  CommandLineSpec spec;
  spec.description = "Draws images from a trained generator.";
  spec.positional = "run";
  spec.positional_help = "a run directory (its newest checkpoint) or a checkpoint file";
  spec.flags = {
      {"-o,--output", Kind::value, "FILE", "the grid, as PNG (required)"},
      {"--seeds", Kind::value, "LIST", "one image per seed: 0-63 or 1,5,9-12 (0-63)"},
      {"--class", Kind::value, "LIST", "classes of a conditional model, in turn: 3 or 0,2,7-9 (all)"},
      {"--weights", Kind::value, "WHICH", "ema (averaged) or live (ema)"},
      {"--batch-norm", Kind::value, "HOW", "running or batch (running)"},
      {"--columns", Kind::value, "N", "images per row (about a square)"},
      {"--scale", Kind::value, "N", "enlargement, 1 to 16 (2)"},
      {"--raw", Kind::value, "FILE", "also the pixels alone: unsigned bytes [N,H,W,C]"},
      {"--device", Kind::value, "NAME", "auto, cpu, cuda or emulated (auto: cuda if it is there)"},
      {"--version", Kind::on, "", "print the version and exit"},
  };
  spec.footer = kExamples;
  return spec;
}

Request request_of(const CommandLine& args) {
  std::vector<std::string> problems = args.problems;
  Request request;
  request.source = args.positional;
  request.output = args.get("output", "");
  request.raw = args.get("raw", "");
  if (request.source.empty())
    problems.push_back("expected a run directory or a checkpoint file; give one, as runs/latest");
  if (request.output.empty()) problems.push_back("--output: expected a file name for the picture; give one with -o");
  const auto choice = [&](const std::string& name, const std::vector<std::string>& words) {
    const std::string word = args.get(name, words[0]);
    if (std::find(words.begin(), words.end(), word) == words.end()) {
      problems.push_back(fmt::format("--{}: expected {} but got \"{}\"{}", name, join_alternatives(words), word,
                                     did_you_mean(word, words)));
    }
    return word;
  };
  const auto integer = [&](const std::string& name, int64_t otherwise, int64_t least, int64_t most) {
    const std::string text = args.get(name, std::to_string(otherwise));
    int64_t value = 0;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!args.has(name)) return otherwise;
    if (r.ec != std::errc() || r.ptr != text.data() + text.size() || value < least || value > most) {
      problems.push_back(
          fmt::format("--{}: expected an integer from {} to {} but got \"{}\"", name, least, most, text));
    }
    return value;
  };
  request.weights = choice("weights", {"ema", "live"}) == "ema" ? Weights::ema : Weights::live;
  request.mode =
      choice("batch-norm", {"running", "batch"}) == "running" ? Mode::evaluate_running : Mode::evaluate_batch;
  request.device = choice("device", {"auto", "cpu", "cuda", "emulated"});
  request.columns = integer("columns", 0, 1, 100000);
  request.scale = integer("scale", 2, 1, 16);
  const auto numbers = [&](const char* name, const std::string& text) {
    try {
      return parse_numbers(name, text);
    } catch (const Error& error) {
      problems.push_back(error.what());
      return std::vector<uint64_t>();
    }
  };
  request.seeds = numbers("seeds", args.get("seeds", "0-63"));
  if (args.has("class")) request.classes = numbers("class", args.get("class", ""));
  if (problems.size() == 1) fail(ErrorKind::usage, problems[0]);
  if (!problems.empty()) {
    fail(ErrorKind::usage, fmt::format("{} problems:\n  {}", problems.size(), fmt::join(problems, "\n  ")));
  }
  return request;
}

SafetensorsFile load(const std::string& source) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::exists(source, error)) fail(ErrorKind::checkpoint, source + ": no such run directory or checkpoint file");
  if (!fs::is_directory(source, error)) return CheckpointStore::load(source);
  const std::string folder = source + "/checkpoints";
  if (!fs::is_directory(folder, error)) {
    fail(ErrorKind::checkpoint, source + ": no run directory: it has no checkpoints; give one that train_gan made");
  }
  CheckpointStore::Loaded loaded = CheckpointStore(folder, 1).newest_valid();
  for (const std::string& warning : loaded.warnings) {
    std::fprintf(stderr, "sample_gan: warning: %s\n", warning.c_str());
  }
  return std::move(loaded.file);
}

// A trainer that will only sample: the smallest batches and data set there can be.
std::unique_ptr<Trainer> sampler_of(const SafetensorsFile& file, const std::string& device) {
  Settings settings = settings_of_checkpoint(file);
  settings.device = device;
  const Shape image = make_model(trainer_options(settings).model).generator->image_shape;
  TrainerOptions options = trainer_options(settings);
  options.batch_size_d = options.batch_size_g = 1;
  ImageSet images{
      .name = "none", .count = options.n_critic, .height = image[0], .width = image[1], .channels = image[2]};
  images.pixels.resize(static_cast<size_t>(images.count * image.elements()));
  images.labels.resize(static_cast<size_t>(images.count));
  auto trainer = std::make_unique<Trainer>(options, images);
  restore_state(file, *trainer);
  return trainer;
}

// A class for each of `count` images of a model of `known` classes: those asked for, in turn; all if none were.
std::vector<int32_t> labels_of(const std::vector<uint64_t>& asked, int64_t count, int64_t known) {
  if (asked.empty()) return cycling_labels(count, known);
  if (known == 0) fail(ErrorKind::usage, "--class: this model is not conditional; leave --class away");
  for (const uint64_t label : asked) {
    if (label < static_cast<uint64_t>(known)) continue;
    fail(ErrorKind::usage, fmt::format("--class: expected classes from 0 to {} but got {}", known - 1, label));
  }
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < count; ++i) {
    labels.push_back(static_cast<int32_t>(asked[static_cast<size_t>(i) % asked.size()]));
  }
  return labels;
}

int sample_gan(int argc, const char* const* argv) {
  const CommandLine args = parse_command_line(command_line_spec(), argc, argv);
  if (args.wants_help) return print_result(args.help), 0;
  if (args.has("version")) return print_result(version_line("sample_gan") + "\n"), 0;
  const Request request = request_of(args);
  const SafetensorsFile file = load(request.source);
  const std::unique_ptr<Trainer> trainer = sampler_of(file, request.device);

  const auto count = static_cast<int64_t>(request.seeds.size());
  const Shape image = trainer->image_shape();
  std::vector<uint64_t> seeds = request.seeds;
  const bool alone = request.mode == Mode::evaluate_running;  // images do not depend on each other
  if (alone) seeds.resize(static_cast<size_t>((count + kBatch - 1) / kBatch * kBatch));
  const std::vector<int32_t> labels =
      labels_of(request.classes, static_cast<int64_t>(seeds.size()), trainer->classes());
  std::vector<uint8_t> pixels = trainer->sample(latents_of_seeds(seeds, trainer->latent_size()), labels,
                                                request.weights, request.mode, alone ? kBatch : 2 * kBatch);
  pixels.resize(static_cast<size_t>(count * image.elements()));

  const auto classes = request.classes.empty() ? trainer->classes() : static_cast<int64_t>(request.classes.size());
  const int64_t columns = request.columns > 0 ? std::min(request.columns, count) : grid_columns(count, classes);
  if (!request.raw.empty()) write_file_atomically(request.raw, pixels.data(), pixels.size());
  write_image_grid(request.output, pixels, count, image[0], image[1], image[2], columns, request.scale);
  print_result(fmt::format("{}: {} images, iteration {}, {} weights, device {}\n", request.output, count,
                           trainer->iteration(), request.weights == Weights::ema ? "ema" : "live",
                           name_of(trainer->options().device)));
  return 0;
}

}  // namespace

std::vector<uint64_t> parse_numbers(const std::string& flag, const std::string& text) {
  const auto refuse = [&](const char* got) {
    fail(ErrorKind::usage, fmt::format("--{}: expected numbers and ranges such as 0-63 or 1,5,9-12, at most {} in "
                                       "all, but got {} in \"{}\"",
                                       flag, kMostSeeds, got, text));
  };
  std::vector<uint64_t> seeds;
  const char *at = text.data(), *end = at + text.size();
  const auto number = [&] {
    uint64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) refuse("no number");
    at = next;
    return value;
  };
  while (true) {
    const uint64_t first = number();
    uint64_t last = first;
    if (at != end && *at == '-') ++at, last = number();
    if (last < first) refuse("a range that ends before it begins");
    if (last - first >= kMostSeeds - seeds.size()) refuse("more");
    for (uint64_t seed = first; seed <= last && seed >= first; ++seed) seeds.push_back(seed);
    if (at == end) return seeds;
    if (*at++ != ',') refuse("another character");
  }
}

int run_sample_gan(int argc, const char* const* argv) {
  return run_program("sample_gan", [&] { return sample_gan(argc, argv); });
}

}  // namespace poise
