#include "apps/programs/evaluate_gan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/evaluation/image_progress.h"
#include "apps/evaluation/networks.h"
#include "apps/options/load_images.h"
#include "apps/programs/evaluation_request.h"
#include "apps/run/checkpoint_sampler.h"
#include "apps/run/compact_generator.h"
#include "apps/run/run_settings.h"
#include "apps/run/run_state.h"
#include "data/archive.h"
#include "data/cifar10.h"
#include "data/registry.h"
#include "data/walk_pictures.h"
#include "engine/io/atomic_file.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

constexpr int64_t kGeneratedImages = 10000;
constexpr double kSecondsBetweenLines = 5;

void say(const std::string& text) { std::fprintf(stderr, "evaluate_gan: %s\n", text.c_str()); }

// The data set in a folder, if the user does not name it; else "folder", whose reader reports what is missing.
std::string data_set_of(const std::string& folder) {
  const std::string found = data_set_in(folder);
  return found.empty() ? "folder" : found;
}

// A set of images, named by the user or generated, ready to be read. `input` refers to `images` or `trainer`.
struct Opened {
  std::shared_ptr<ImageSet> images;
  std::shared_ptr<Trainer> trainer;
  std::string run, data_crc;  // of a generator: its run, and the crc of its training data
  ImageInput input;
};

Opened opened(ImageSet set, const std::string& split, int64_t count) {
  Opened all{.images = std::make_shared<ImageSet>(std::move(set))};
  for (const std::string& warning : all.images->warnings) say("warning: " + warning);
  all.input = input_of(*all.images, split, count);
  return all;
}

// Rejects files that look like statistics where images are expected, or like statistics in another format.
void refuse_statistics(const std::string& path) {
  if (path.ends_with(".npz"))
    fail(ErrorKind::data, path + ": statistics are what images are compared with; give them as --reference");
  for (const char* ending : {".npy", ".pt", ".pth", ".pkl"}) {
    if (!path.ends_with(ending)) continue;
    fail(ErrorKind::data, fmt::format("{}: expected images or statistics, found a {} file; if it has statistics, save "
                                      "them with numpy.savez(\"FILE.npz\", mu=mu, sigma=sigma)",
                                      path, ending));
  }
}

// `side`: the size to which pictures are resized, unless the request gives one.
Opened open_images(const std::string& path, const EvaluationRequest& r, int64_t side, int64_t count) {
  if (path == "sample") return opened(read_images("cifar10", data_folder({}), {.split = r.split}), "train", count);
  const PathKind kind = kind_of_path(path);
  if (kind == PathKind::nothing) fail(ErrorKind::data, path + ": no such file or folder; correct the path");
  if (kind != PathKind::folder) refuse_statistics(path);  // .npz and .pt are zip archives, too
  if (kind != PathKind::folder && !is_archive(path)) {
    if (path.ends_with(".safetensors")) {
      fail(ErrorKind::data, path + ": a checkpoint cannot be a reference; give images, or statistics (.npz)");
    }
    if (!path.ends_with(".bin")) {
      fail(ErrorKind::data, path +
                                ": expected a batch file of CIFAR-10 (.bin), statistics (.npz), a folder, or a data "
                                "set's archive; pictures go into a folder");
    }
    const std::vector<std::byte> bytes = read_file(path, ErrorKind::data, "correct the path");
    return opened(parse_cifar10({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path), "file", count);
  }
  if (is_run_directory(path)) {
    fail(ErrorKind::data,
         path +
             ": a run cannot be a reference; give images or statistics (.npz), or leave out --reference: a run "
             "is compared with what it was trained on");
  }
  const std::string name = r.dataset == "auto" ? data_set_of(path) : r.dataset;
  ReadOptions options{.split = r.split, .image_size = r.image_size};
  if (options.image_size == 0 && name == "folder") options.image_size = side;
  return opened(read_images(name, path, options), resolved_split(name, r.split), count);
}

class Evaluation {
 public:
  explicit Evaluation(const EvaluationRequest& request) : request_(request) {
    device_ = choose_device(request.device, Precision::fp32).device;
    choose_metrics();
    network_ = make_feature_network(metrics_, request.inception, device_);
  }

  std::vector<MetricResult> run() {
    std::vector<std::string> warnings;
    std::optional<FeatureSet> reference;
    const bool distances =
        std::any_of(metrics_.begin(), metrics_.end(), [](const FeatureMetric& m) { return m.needs_reference(); });
    Opened source = open_source();
    if (distances && is_statistics(request_.reference)) {
      const FeatureStatistics statistics = read_statistics(request_.reference);
      check_protocol(statistics.protocol, statistics.protocol.images);
      reference = reference_of(statistics, metrics_, *network_, warnings);
      check_same_size(source.input.protocol, reference->protocol);
    } else if (distances) {
      const Opened images = open_reference(source);
      check_protocol(images.input.protocol, images.images->count);
      check_same_size(source.input.protocol, images.input.protocol);
      reference = collect("reference", images.input, true);
    }
    const FeatureSet set = collect(source.trainer ? "generated images" : "images", source.input, false);
    std::vector<MetricResult> results;
    for (const FeatureMetric& metric : metrics_) {
      results.push_back(
          evaluate_metric(metric, *network_, set, reference ? &*reference : nullptr, request_.metric_options));
      results.back().record.insert(results.back().record.begin() + 1, {"protocol", request_.protocol});
      for (const std::string& warning : results.back().warnings) warnings.push_back(warning);
    }
    if (distances && reference->protocol.images > 0 && reference->protocol.images != set.protocol.images) {
      say(fmt::format("note: {} images against {}; numbers compare only at the same numbers of images",
                      format_count(set.protocol.images), format_count(reference->protocol.images)));
    }
    for (const std::string& warning : warnings) say("warning: " + warning);
    return results;
  }

  std::string make_statistics() {
    if (request_.metrics.empty()) metrics_.resize(1);  // only the first of the defaults
    if (metrics_.size() != 1 || metrics_[0].kind != FeatureMetric::Kind::frechet) {
      fail(ErrorKind::usage, "make-stats: expected the name of one Frechet distance but got " + metrics_[0].name +
                                 "; use --metrics fid, or another of them");
    }
    const Opened source = open_source();
    FeatureSet set = collect("images", source.input, false);
    const Moments& moments = set.moments.at(metrics_[0].tap);
    if (moments.count <= moments.dims) {
      say(fmt::format("warning: {} images for {} dimensions: the covariance is singular", moments.count, moments.dims));
    }
    write_statistics(request_.output, {.moments = moments,
                                       .protocol = set.protocol,
                                       .network = network_->name(),
                                       .hash = network_->hash(),
                                       .resize = network_->resize()});
    return fmt::format("{}: mean and covariance of {} features ({}) of {} images\n", request_.output, moments.dims,
                       network_->name(), format_count(moments.count));
  }

 private:
  void choose_metrics() {
    for (const std::string& name : request_.metrics) metrics_.push_back(*find_feature_metric(name));
    if (!metrics_.empty()) return;
    const std::string weights = find_inception_weights(request_.inception);
    if (weights.empty()) {
      say("note: no weights of Inception (--inception FILE): frechet-random instead of FID");
      metrics_ = {*find_feature_metric("frechet-random")};
      return;
    }
    const std::vector<FeatureTap> taps =
        make_feature_network({*find_feature_metric("fid-64")}, weights, Device::cpu)->taps();
    const bool complete = std::find(taps.begin(), taps.end(), FeatureTap::logits) != taps.end();
    for (const char* name : complete ? std::vector{"fid", "is"} : std::vector{"fid-768"}) {
      metrics_.push_back(*find_feature_metric(name));
    }
  }

  FeatureSet collect(const std::string& what, const ImageInput& input, bool reference) {
    ImageProgress progress(what, input.count, kSecondsBetweenLines, say);
    return *collect_features(*network_, input, request_for(metrics_, reference), chunk_of(device_), [&](int64_t done) {
      if (!request_.quiet) progress.done(done);
      return true;
    });
  }

  Opened open_source() {
    const std::string& source = request_.source;
    const bool run = is_folder(source) && !run_of(source).empty();
    if (!run && (!source.ends_with(".safetensors") || is_folder(source))) {
      if (!request_.generator_flags.empty()) {
        fail(ErrorKind::usage, fmt::format("{}: has no effect on images, only on a generator; leave it out",
                                           fmt::join(request_.generator_flags, ", ")));
      }
      return open_images(source, request_, 0, request_.generated.count);
    }
    if (request_.image_size > 0) {
      fail(ErrorKind::usage, "--image-size: a generator's images have a size of their own; leave it out");
    }
    refuse_data_flags_of_generator();
    const SafetensorsFile file = load_checkpoint(source, "evaluate_gan");
    Opened generator{.trainer = sampler_of(file, request_.device), .run = run_of(source)};
    if (const auto crc = file.metadata().find("data_crc"); crc != file.metadata().end())
      generator.data_crc = crc->second;
    GeneratedOptions options = request_.generated;
    options.weights = weights_of_file(file, request_.weights_asked, options.weights);
    if (options.count == 0) options.count = kGeneratedImages;
    const std::string name = fmt::format("{} iteration {}", file.source(), generator.trainer->iteration());
    generator.input = generated_input(*generator.trainer, name, options);
    return generator;
  }

  // A generator has no data set of its own, so these flags apply to the folder that it is compared with.
  void refuse_data_flags_of_generator() const {
    const bool own = request_.reference.empty(),
               fixed = is_statistics(request_.reference) || request_.reference == "sample";
    const auto refuse = [&](const char* flag) {
      fail(ErrorKind::usage, fmt::format("--{}: has no effect on a generator compared with {}; leave it out", flag,
                                         own ? "the images that it was trained on" : request_.reference));
    };
    if (request_.dataset != "auto" && (own || fixed)) refuse("dataset");
    if (request_.split != "auto" && fixed && request_.protocol == "none") refuse("split");
  }

  Opened open_reference(const Opened& source) const {
    if (!request_.reference.empty()) {
      return open_images(request_.reference, request_, source.input.height, request_.reference_images);
    }
    if (!source.trainer || source.run.empty()) {
      fail(ErrorKind::usage, request_.source +
                                 ": expected something to compare with; give it with --reference ('sample': the images "
                                 "of CIFAR-10 that come with Poise)");
    }
    return open_training_images(source);
  }

  // The training images of a run, found by its config.toml. Error(data) if they have changed since.
  Opened open_training_images(const Opened& source) const {
    const OptionSet options = stored_options(source.run);
    options.throw_if_problems();
    Settings settings = options.settings();
    if (request_.split != "auto") settings.data.split = request_.split;
    const std::string advice = "; give something to compare with in --reference";
    try {
      ImageSet images = load_images(settings, request_.quiet);
      if (request_.split == "auto" && crc_text(images.crc) != source.data_crc) {
        fail(ErrorKind::data, fmt::format("{} has crc {}, but the checkpoint was trained on data with crc {}",
                                          images.source, crc_text(images.crc), source.data_crc));
      }
      say(fmt::format("reference: the images that the run was trained on, {}", images.source));
      images.warnings.clear();  // load_images has printed them
      return opened(std::move(images), resolved_split(settings.data.dataset, settings.data.split),
                    request_.reference_images);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;
      fail(ErrorKind::data, "the images that the run was trained on: " + std::string(error.what()) + advice);
    }
  }

  // Error(usage) unless the reference is the one that the requested protocol stands for.
  void check_protocol(const SetProtocol& reference, int64_t images_there) const {
    for (const EvaluationProtocol& p : evaluation_protocols()) {
      if (p.name != request_.protocol) continue;
      const bool whole =
          is_statistics(request_.reference) ? images_there == p.reference_images : images_there == p.reference_set;
      if (reference.dataset == "cifar10" && reference.split == p.split && whole) return;
      fail(ErrorKind::usage,
           fmt::format(
               "--protocol {}: expected the {} split of CIFAR-10 ({} images{}) as --reference, found {} ({}, "
               "split {}, {} images); give the folder cifar-10-batches-bin",
               p.name, p.split, p.reference_set,
               p.reference_set == p.reference_images ? "" : fmt::format(", of which it takes {}", p.reference_images),
               reference.source, reference.dataset.empty() ? "unknown data" : reference.dataset, reference.split,
               images_there));
    }
  }

  const EvaluationRequest& request_;
  Device device_ = Device::cpu;
  std::vector<FeatureMetric> metrics_;
  std::unique_ptr<FeatureNetwork> network_;
};

// "FID-iv3q 5.46019" and, below, everything that it depends on.
std::string text_of(const MetricResult& result) {
  std::string text = result.text() + "\n";
  for (const JsonField& field : result.record) {
    if (field.key == "schema" || field.key == "metric" || field.key == "value" || field.key == "warnings") continue;
    std::string value = json_line({field});  // {"key": value}
    value = value.substr(value.find(": ") + 2);
    text += fmt::format("  {:<24} {}\n", field.key, value.substr(0, value.size() - 1));
  }
  return text;
}

int evaluate_gan(int argc, const char* const* argv) {
  const bool statistics = argc > 1 && std::string(argv[1]) == "make-stats";
  std::vector<const char*> words(argv, argv + argc);
  if (statistics) words.erase(words.begin() + 1);
  const CommandLine args = parse_command_line(evaluation_command_line(), static_cast<int>(words.size()), words.data());
  if (args.wants_help) return print_result(args.help), 0;
  if (args.has("version")) return print_result(version_line("evaluate_gan") + "\n"), 0;
  const EvaluationRequest request = evaluation_request_of(args, statistics);
  set_thread_count(request.threads);
  Evaluation evaluation(request);
  if (statistics) {
    const std::string text = evaluation.make_statistics();
    if (!is_standard_output(request.output)) print_result(text);  // otherwise it carries the file
    return 0;
  }
  for (const MetricResult& result : evaluation.run()) {
    print_result(request.json ? json_line(result.record) + "\n" : text_of(result));
  }
  return 0;
}

}  // namespace

int run_evaluate_gan(int argc, const char* const* argv) {
  return run_program("evaluate_gan", [&] { return evaluate_gan(argc, argv); });
}

}  // namespace poise
