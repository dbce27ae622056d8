#include "apps/report/markdown_report.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/arithmetic_text.h"
#include "apps/run/run_record.h"
#include "engine/io/atomic_file.h"
#include "engine/io/utf8.h"

namespace poise {
namespace {

std::string settings_section(const OptionSet& options) {
  std::string rows;
  for (const Option& option : option_table()) {
    if (options.is_default(option) || !option.effect.holds(options.settings())) continue;
    rows += fmt::format("| {} | `{}` | `{}` |\n", option.key, to_toml(value_of(options.settings(), option)),
                        to_toml(value_of(Settings{}, option)));
  }
  if (rows.empty()) return "All settings have their defaults (`config.toml`).\n";
  return "Settings that differ from the defaults (all: `config.toml`):\n\n| option | here | default "
         "|\n|---|---|---|\n" +
         rows;
}

std::string losses_section(const RunRecord& run) {
  const std::vector<double> logged = run.logged_iterations(10);
  if (logged.empty()) return "";
  std::string text = "| iteration | loss D | loss G | mean D(real) | mean D(fake) |\n|---|---|---|---|---|\n";
  for (const double iteration : logged) {
    text += fmt::format("| {:.0f} |", iteration);
    for (const char* key : {"loss_d", "loss_g", "mean_real", "mean_fake"}) {
      text += fmt::format(" {:.4g} |", run.at(key, iteration));
    }
    text += "\n";
  }
  return "\n## Losses\n\n" + text;
}

std::string metric_section(const RunRecord& run) {
  std::string text;
  for (const RunRecord::Metric& metric : run.metrics()) {
    const auto row = [](const char* name, const std::pair<double, double>& point) {
      return fmt::format("| {} | {:.0f} | {:.5f} |\n", name, point.first, point.second);
    };
    text += fmt::format("\n| {} | iteration | {} is better |\n|---|---|---|\n", metric.name,
                        metric.larger_is_better ? "higher" : "lower");
    text += row("first", metric.points->front()) + row("best", metric.best()) + row("last", metric.points->back());
  }
  if (text.empty()) return "";
  return "\n## Evaluation\n\nOf the averaged weights; `metrics.jsonl` has the images, the reference and the "
         "network. swd (pixels) and frechet-random are not FID.\n" +
         text;
}

}  // namespace

std::string write_report(const RunDirectory& directory, const OptionSet& options, const RunSummary& s) {
  const RunRecord run = read_run(directory.path());
  std::string text = fmt::format("# {}\n\n", std::filesystem::path(directory.path()).filename().string());
  text += fmt::format("Poise {}, {}, {}; {} of {}.\n\n", version(), build_type(), s.device,
                      counted(thread_count(), "thread"), cpu_model());
  text += "| | |\n|---|---|\n";
  text += fmt::format("| iterations | {} |\n", format_count(s.iterations));
  text += fmt::format("| training time | {} ({:.1f} s, without pictures, checkpoints and measurements) |\n",
                      format_duration(s.seconds), s.seconds);
  text += fmt::format("| speed | {:.3g} it/s |\n", s.it_per_s());
  text += fmt::format("| work | {:.3f} GFLOP per iteration, {:.1f} GFLOP/s, both dense-equivalent |\n",
                      s.flops_per_iteration / 1e9, s.gflops());
  text += fmt::format("| arithmetic | {} |\n", arithmetic_text(run));
  text += fmt::format("| peak memory | {:.0f} MiB (last process) |\n", peak_memory_mib());
  text += fmt::format("| last checkpoint | [{0}]({0}) |\n\n", s.last_checkpoint);
  text += settings_section(options) + losses_section(run) + metric_section(run);
  text += "\n## Pictures\n\n";
  text += fmt::format("Generated at the end (averaged weights, fixed latents): `{0}`\n\n![generated]({0})\n\n",
                      s.last_picture);
  text += "Before training: `samples/fakes_000000.png`\n\n![before training](samples/fakes_000000.png)\n\n";
  text += "Real images: `samples/reals.png`\n\n![real](samples/reals.png)\n";
  const std::string path = directory.file("report.md");
  write_file_atomically(path, to_utf8(text));
  return path;
}

}  // namespace poise
