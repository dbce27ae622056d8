#include "apps/programs/sample_gan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "apps/console/flag_reader.h"
#include "apps/console/number_list.h"
#include "apps/console/program.h"
#include "apps/console/suggestion.h"
#include "apps/run/checkpoint_sampler.h"
#include "apps/run/compact_generator.h"
#include "apps/run/run_state.h"
#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/npz.h"
#include "engine/io/png.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"
#include "kernels/core/integer.h"

namespace poise {
namespace {

constexpr double kLeastTruncation = 0.05;  // below this, most numbers would be redrawn dozens of times
// All forward passes have this many latents; the last one is filled up. Kernels therefore always see the same shapes,
// and the image of a seed is the same bit for bit no matter what else is drawn.
constexpr int64_t kBatch = 32;

const char* kExamples = R"(Examples:
  sample_gan runs/latest -o fakes.png
  sample_gan runs/latest --seeds 7,40-47 --columns 3 --scale 4 -o few.png
  sample_gan runs/latest/checkpoints/step-00000300.safetensors --weights live --seeds 0-9999 --raw fakes.bin
  sample_gan runs/latest --truncation 0.7 --class cat,5 -o cats_and_dogs.png
  sample_gan runs/latest --latents z.npy --raw fakes.bin
  sample_gan runs/latest --interpolate 5-9 --steps 12 -o strip.png
  sample_gan runs/latest --interpolate 5-9 --steps 240 --raw - | ffmpeg -f rawvideo -pix_fmt rgb24 -s 32x32 -i - 5-9.mp4

--batch-norm running: statistics measured for the chosen weights over 1,024 fixed latents, so that a seed gives the
same image in any company. --batch-norm batch: each batch of 64 normalises itself, as the pictures of train_gan do.)";

struct Request {
  std::string source, output, raw;
  std::optional<Device> device;
  int threads = 0;                    // 0: OMP_NUM_THREADS, or all cores without it
  std::string latents, save_latents;  // files to read and to write
  std::string frames;                 // folder
  std::vector<uint64_t> seeds;
  std::string classes;                                       // as given; empty: all of them
  std::optional<std::pair<uint64_t, uint64_t>> interpolate;  // between these seeds instead of `seeds`
  int64_t steps = 8;
  double truncation = std::numeric_limits<double>::infinity();
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
      {"-o,--output", Kind::once, "FILE",
       "the grid, as PNG; - for standard output (required without --raw and --frames)"},
      {"--seeds", Kind::value, "LIST", "one image per seed: 0-63 or 1,5,9-12 (0-63)"},
      {"--class", Kind::value, "LIST",
       "classes of a conditional model, in turn: 3 or 0,2,7-9 or cat,dog; where names are numbers, names (all)"},
      {"--truncation", Kind::value, "PSI", "latents within -PSI and PSI, as 0.5 to 1: likelier, less varied images"},
      {"--interpolate", Kind::value, "A-B", "instead of --seeds: from seed A to seed B, a row for each class"},
      {"--latents", Kind::value, "FILE",
       "instead of --seeds: latents from FILE (.npy, float32 or float64, [N,latent])"},
      {"--save-latents", Kind::value, "FILE", "the latents of the images, as .npy of float32"},
      {"--steps", Kind::value, "N", "images on that way, both ends included (8)"},
      {"--weights", Kind::value, "WHICH", "ema (averaged) or live (ema)"},
      {"--batch-norm", Kind::value, "HOW", "running or batch (running)"},
      {"--columns", Kind::value, "N", "images per row (about a square)"},
      {"--scale", Kind::value, "N", "enlargement, 1 to 16 (2)"},
      {"--raw", Kind::once, "FILE",
       "the pixels alone: unsigned bytes [N,H,W,C], rgb24 to ffmpeg; - for standard output"},
      {"--frames", Kind::once, "DIR", "each image as DIR/00000.png, DIR/00001.png, .."},
      {"--device", Kind::value, "NAME", "auto, cpu, cuda or emulated (auto: cuda if it is there)"},
      {"--threads", Kind::value, "N", "of the CPU (as OMP_NUM_THREADS says, else all)"},
      {"--version", Kind::on, "", "print the version and exit"},
  };
  spec.footer = kExamples;
  return spec;
}

std::optional<std::pair<uint64_t, uint64_t>> two_seeds(const std::string& text) {
  const char* end = text.data() + text.size();
  uint64_t a = 0, b = 0;
  const auto first = std::from_chars(text.data(), end, a);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, b);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return std::pair(a, b);
}

Request request_of(const CommandLine& args) {
  FlagReader reader(args);
  Request request;
  request.source = reader.positional("expected a run directory or a checkpoint file; give one, as runs/latest");
  request.output = reader.path("output");
  request.raw = reader.path("raw");
  request.frames = reader.path("frames");
  if (request.output.empty() && request.raw.empty() && request.frames.empty()) {
    reader.add_problem("--output: expected a file name for the picture; give one with -o");
  }
  for (const char* name : {"output", "raw", "frames"}) {
    if (args.has(name) && args.get(name, "").empty())
      reader.add_problem(fmt::format("--{}: expected a name but got none", name));
  }
  reader.refuse_other_ending("output", "the grid is a PNG", {".png"});
  reader.refuse_other_ending("raw", "the file has pixels alone", {".bin", ".raw"});
  reader.refuse_other_ending("save-latents", "latents are a NumPy array", {".npy"});
  if (is_standard_output(request.output) && is_standard_output(request.raw)) {
    reader.add_problem("--output, --raw: only one of them can go to standard output");
  }
  if (args.has("columns") && !args.has("output")) reader.add_problem("--columns: has no effect without --output");
  if (args.has("scale") && !args.has("output") && !args.has("frames")) {
    reader.add_problem("--scale: has no effect without --output or --frames");
  }
  request.weights = reader.choice("weights", {"ema", "live"}) == "ema" ? Weights::ema : Weights::live;
  request.mode =
      reader.choice("batch-norm", {"running", "batch"}) == "running" ? Mode::evaluate_running : Mode::evaluate_batch;
  request.device = named<Device>(reader.choice("device", {"auto", "cpu", "cuda", "emulated"}));
  request.threads = reader.threads();
  request.columns = reader.integer("columns", 0, 1, 100000);
  request.scale = reader.integer("scale", 2, 1, 16);
  request.steps = reader.integer("steps", 8, 2, kMostNumbers);
  request.latents = reader.path("latents");
  request.save_latents = reader.path("save-latents");
  std::vector<std::string> read = checkpoint_files(request.source);
  if (!request.latents.empty()) read.push_back(request.latents);
  reader.refuse_overwriting({"output", "raw", "save-latents"}, read);
  for (const char* other : {"seeds", "interpolate", "truncation"}) {
    if (args.has("latents") && args.has(other))
      reader.add_problem(fmt::format("--{} cannot be combined with --latents", other));
  }
  if (args.has("steps") && !args.has("interpolate")) reader.add_problem("--steps: only with --interpolate");
  if (args.has("seeds") && args.has("interpolate")) reader.add_problem("--seeds cannot be combined with --interpolate");
  if (args.has("interpolate")) {
    request.interpolate = two_seeds(args.get("interpolate", ""));
    if (!request.interpolate) {
      reader.add_problem(
          fmt::format("--interpolate: expected two seeds such as 5-9 but got \"{}\"", args.get("interpolate", "")));
    }
  }
  request.truncation = reader.real("truncation", request.truncation, kLeastTruncation);
  const auto numbers = [&](const char* name, const std::string& text) {
    try {
      return parse_numbers(name, text);
    } catch (const Error& error) {
      reader.add_problem(error.what());
      return std::vector<uint64_t>();
    }
  };
  request.seeds = numbers("seeds", args.get("seeds", "0-63"));
  request.classes = args.get("class", "");
  if (args.has("class") && request.classes.empty()) reader.add_problem("--class: expected classes but got none");
  reader.throw_if_problems();
  return request;
}

// What to draw, and the default width of its grid.
struct Drawing {
  std::vector<float> latents;   // [count, latent]
  std::vector<int32_t> labels;  // [count]; empty if the model is not conditional
  int64_t count = 0, columns = 0;
};

// The requested classes, or all of the model's if none are requested; empty if the model is not conditional.
std::vector<int32_t> classes_of(const Request& request, int64_t known, const std::vector<std::string>& names) {
  if (request.classes.empty()) return cycling_labels(known, known);
  if (known == 0) fail(ErrorKind::usage, "--class: this model is not conditional; leave out --class");
  return parse_classes("class", request.classes, known, names);
}

// The latents in the user's file.
std::vector<float> latents_of_file(const std::string& path, int64_t latent_size) {
  const NpyArray array = parse_npy(read_file(path, ErrorKind::data, "correct the path"), path);
  const auto rows = static_cast<uint64_t>(array.shape.empty() ? 0 : array.shape[0]);
  if (array.shape.size() != 2 || array.shape[1] != latent_size || rows < 1 || rows > kMostNumbers) {
    fail(ErrorKind::data, fmt::format("{}: expected latents [N,{}], N from 1 to {}, found an array [{}]", path,
                                      latent_size, kMostNumbers, fmt::join(array.shape, ",")));
  }
  const auto fits = [](double x) { return std::abs(x) <= std::numeric_limits<float>::max(); };  // false for NaN
  if (const auto other = std::find_if_not(array.values.begin(), array.values.end(), fits);
      other != array.values.end()) {
    fail(ErrorKind::data, fmt::format("{}: expected finite numbers of float32, found {} in row {}", path, *other,
                                      (other - array.values.begin()) / latent_size));
  }
  return {array.values.begin(), array.values.end()};
}

// Seeds, or rows of a file, give one image each and cycle through the classes. Interpolation has a row for each class.
Drawing drawing_of(const Request& request, int64_t latent_size, int64_t known_classes,
                   const std::vector<std::string>& class_names) {
  const std::vector<int32_t> classes = classes_of(request, known_classes, class_names);
  const auto rows = static_cast<int64_t>(classes.size());
  Drawing d;
  if (!request.interpolate) {
    d.latents = request.latents.empty() ? latents_of_seeds(request.seeds, latent_size, request.truncation)
                                        : latents_of_file(request.latents, latent_size);
    d.count = static_cast<int64_t>(d.latents.size()) / latent_size;
    d.columns = grid_columns(d.count, rows);
    for (int64_t i = 0; rows > 0 && i < d.count; ++i) d.labels.push_back(classes[static_cast<size_t>(i % rows)]);
    return d;
  }
  const auto end = [&](uint64_t seed) { return latents_of_seeds({seed}, latent_size, request.truncation); };
  const std::vector<float> way =
      interpolated_latents(end(request.interpolate->first), end(request.interpolate->second), request.steps);
  d.columns = request.steps;
  d.count = request.steps * std::max<int64_t>(rows, 1);
  for (int64_t row = 0; row < std::max<int64_t>(rows, 1); ++row) {
    d.latents.insert(d.latents.end(), way.begin(), way.end());
    if (rows > 0)
      d.labels.insert(d.labels.end(), static_cast<size_t>(request.steps), classes[static_cast<size_t>(row)]);
  }
  return d;
}

std::vector<uint8_t> draw(Trainer& trainer, const Request& request, Drawing d) {
  const bool alone = request.mode == Mode::evaluate_running;  // images do not depend on each other
  const int64_t padded = alone ? ceil_div(d.count, kBatch) * kBatch : d.count;
  d.latents.resize(static_cast<size_t>(padded * trainer.latent_size()));
  if (!d.labels.empty()) d.labels.resize(static_cast<size_t>(padded));
  std::vector<uint8_t> pixels =
      trainer.sample(d.latents, d.labels, request.weights, request.mode, alone ? kBatch : kPictureBatch);
  pixels.resize(static_cast<size_t>(d.count * trainer.image_shape().elements()));
  return pixels;
}

std::string frame_name(int64_t i) { return fmt::format("{:05}.png", i); }

void write_frames(const std::string& folder, const std::vector<uint8_t>& pixels, int64_t count, const Shape& image,
                  int64_t scale) {
  make_folders(folder);
  const auto size = static_cast<size_t>(image.elements());
  for (int64_t i = 0; i < count; ++i) {
    const std::span<const uint8_t> one(pixels.data() + static_cast<size_t>(i) * size, size);
    write_image_grid(
        join_path(folder, frame_name(i)), one,
        {.count = 1, .height = image[0], .width = image[1], .channels = image[2], .scale = scale, .padding = 0});
  }
  // A video made from the folder would end with pictures that an earlier, longer drawing left.
  if (path_exists(join_path(folder, frame_name(count)))) {
    std::fprintf(stderr, "sample_gan: warning: %s has further pictures, from %s on, which are of an earlier drawing\n",
                 folder.c_str(), frame_name(count).c_str());
  }
}

int sample_gan(int argc, const char* const* argv) {
  const CommandLine args = parse_command_line(command_line_spec(), argc, argv);
  if (args.wants_help) return print_result(args.help), 0;
  if (args.has("version")) return print_result(version_line("sample_gan") + "\n"), 0;
  Request request = request_of(args);
  set_thread_count(request.threads);
  const SafetensorsFile file = load_checkpoint(request.source, "sample_gan");
  request.weights = weights_of_file(file, args.has("weights"), request.weights);
  const std::unique_ptr<Trainer> trainer = sampler_of(file, request.device);
  const Drawing drawing =
      drawing_of(request, trainer->latent_size(), trainer->classes(), class_names_of_checkpoint(file));
  if (!request.save_latents.empty())
    write_npy(request.save_latents, {drawing.count, trainer->latent_size()}, drawing.latents);
  const std::vector<uint8_t> pixels = draw(*trainer, request, drawing);

  const Shape image = trainer->image_shape();
  if (!request.raw.empty()) write_file_atomically(request.raw, pixels.data(), pixels.size());
  if (!request.frames.empty()) write_frames(request.frames, pixels, drawing.count, image, request.scale);
  if (!request.output.empty()) {
    const int64_t columns = request.columns > 0 ? std::min(request.columns, drawing.count) : drawing.columns;
    write_image_grid(request.output, pixels,
                     {.count = drawing.count,
                      .height = image[0],
                      .width = image[1],
                      .channels = image[2],
                      .columns = columns,
                      .scale = request.scale});
  }
  if (is_standard_output(request.raw) || is_standard_output(request.output)) return 0;  // it carries data
  const std::string& written = !request.output.empty() ? request.output
                               : !request.raw.empty()  ? request.raw
                                                       : request.frames;
  print_result(fmt::format("{}: {} images, iteration {}, {} weights, device {}\n", written, drawing.count,
                           trainer->iteration(), request.weights == Weights::ema ? "ema" : "live",
                           name_of(trainer->device().device)));
  return 0;
}

}  // namespace

int run_sample_gan(int argc, const char* const* argv) {
  return run_program("sample_gan", [&] { return sample_gan(argc, argv); });
}

}  // namespace poise
