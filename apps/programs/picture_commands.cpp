#include "apps/programs/picture_commands.h"

#include <fmt/format.h>

#include "apps/console/flag_reader.h"
#include "apps/console/program.h"
#include "apps/report/html_compare.h"
#include "apps/report/mask_images.h"
#include "engine/io/atomic_file.h"
#include "engine/io/png.h"
#include "engine/io/user_path.h"
#include "engine/io/utf8.h"

namespace poise {

CommandLineSpec compare_command_line() {
  return {.description =
              "Writes one page about several runs: what differs, and their curves against iterations, time "
              "and arithmetic.",
          .flags = {{"-o,--output", Flag::Kind::value, "FILE", "the page to write (compare.html)"}},
          .positional = "runs",
          .positional_help = fmt::format("2 to {} run directories, finished, stopped or running", kMostCompared),
          .footer = "Example:\n  inspect_run compare runs/00001-dense-seed1 runs/00002-sparse-seed1 -o compare.html",
          .several = true};
}

int run_compare(const CommandLine& args) {
  FlagReader reader(args);
  if (args.positionals.size() < 2 || args.positionals.size() > kMostCompared) {
    reader.add_problem(
        fmt::format("expected 2 to {} run directories but got {}", kMostCompared, args.positionals.size()));
  }
  reader.refuse_other_ending("output", "the page is HTML", {".html"});
  reader.throw_if_problems();
  std::vector<RunRecord> runs;
  for (const std::string& path : args.positionals) runs.push_back(read_run(expand_home(path)));
  const std::string output = expand_home(args.get("output", "compare.html"));
  write_file_atomically(output, to_utf8(html_compare(runs)));
  if (!is_standard_output(output)) print_result(output + "\n");
  return 0;
}

CommandLineSpec masks_command_line() {
  return {.description = "Draws the masks of a run over time: a row for each layer, a column for each checkpoint kept.",
          .flags = {{"-o,--output", Flag::Kind::value, "FILE", "the PNG to write (masks.png)"},
                    {"--network", Flag::Kind::value, "NAME", "both, G or D (both)"}},
          .positional = "run",
          .positional_help = "a run directory",
          .footer =
              "Down are output channels, to the right input channels; bright is alive. Green was grown since the "
              "column before, red dropped.\nTrain with --keep-checkpoints 1000 to have all columns."};
}

int run_masks(const CommandLine& args) {
  FlagReader reader(args);
  const std::string run = expand_home(reader.positional("expected a run directory; give one, as runs/latest"));
  const std::string network = reader.choice("network", {"both", "G", "D"});
  reader.refuse_other_ending("output", "the picture is a PNG", {".png"});
  reader.throw_if_problems();
  const MaskImages images = mask_images(run, network == "both" ? "" : network);
  const auto columns = static_cast<int64_t>(images.iterations.size()),
             rows = static_cast<int64_t>(images.layers.size());
  const std::string output = expand_home(args.get("output", "masks.png"));
  write_image_grid(output, images.pixels,
                   {.count = rows * columns,
                    .height = MaskImages::kSide,
                    .width = MaskImages::kSide,
                    .channels = 3,
                    .columns = columns});
  if (is_standard_output(output)) return 0;
  std::string text = fmt::format("{}: iterations from left to right:", output);
  for (const int64_t iteration : images.iterations) text += fmt::format(" {}", iteration);
  text += "\nlayers from top to bottom, with the density of each column:\n";
  for (size_t row = 0; row < images.layers.size(); ++row) {
    text += fmt::format("  {:<24}", images.layers[row]);
    for (size_t i = 0; i < images.iterations.size(); ++i)
      text += fmt::format(" {:6.4f}", images.densities[row * images.iterations.size() + i]);
    text += "\n";
  }
  print_result(text);
  return 0;
}

}  // namespace poise
