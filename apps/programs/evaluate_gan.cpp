#include "apps/programs/evaluate_gan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/evaluation/image_progress.h"
#include "apps/evaluation/networks.h"
#include "apps/options/load_images.h"
#include "apps/programs/evaluation_request.h"
#include "apps/run/checkpoint_sampler.h"
#include "apps/run/compact_generator.h"
#include "data/cifar10.h"
#include "data/registry.h"
#include "engine/io/read_file.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kGeneratedImages = 10000;
constexpr double kSecondsBetweenLines = 5;

void say(const std::string& text) { std::fprintf(stderr, "evaluate_gan: %s\n", text.c_str()); }

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}
bool is_run(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path + "/checkpoints", error);
}

// What a folder holds, where the user does not say: CIFAR-10 if one of its files is there, else pictures.
std::string data_set_of(const std::string& folder) {
  for (const char* name : {"data_batch_1.bin", "test_batch.bin", "cifar10_sample.bin"}) {
    for (const char* inside : {"/", "/cifar-10-batches-bin/"})
      if (is_file(folder + inside + name)) return "cifar10";
  }
  return "folder";
}

struct Images {
  ImageSet set;
  std::string split;
};

Images read_image_files(const std::string& path, const EvaluationRequest& r) {
  if (path != "sample" && is_file(path)) {
    if (!path.ends_with(".bin")) {
      fail(ErrorKind::data, path +
                                ": expected a batch file of CIFAR-10 (.bin), a checkpoint (.safetensors), "
                                "statistics (.npz) or a folder; pictures go into a folder");
    }
    const std::vector<std::byte> bytes = read_file(path, ErrorKind::data, "correct the path");
    return {parse_cifar10({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path), "file"};
  }
  if (std::error_code error; path != "sample" && !fs::exists(path, error)) {
    fail(ErrorKind::data, path + ": no such file or folder; correct the path");
  }
  const std::string folder = data_folder({.data = path});
  const std::string name = path == "sample" ? "cifar10" : r.dataset == "auto" ? data_set_of(folder) : r.dataset;
  return {read_images(name, folder, {.split = r.split, .image_size = r.image_size}), resolved_split(name, r.split)};
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
    if (distances && request_.reference.ends_with(".npz")) {
      reference = reference_of(read_statistics(request_.reference), metrics_, *network_, warnings);
    } else if (distances) {
      const Images images = read_image_files(request_.reference, request_);
      reference = collect("reference", input_of(images.set, images.split, request_.reference_images), true);
    }
    const FeatureSet set = collect_source();
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
    FeatureSet set = collect_source();
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

  FeatureSet collect_source() {
    const std::string& source = request_.source;
    if (!is_run(source) && !source.ends_with(".safetensors")) {
      const Images images = read_image_files(source, request_);
      const int64_t all = images.set.count, asked = request_.generated.count;
      return collect("images", input_of(images.set, images.split, asked == 0 ? all : asked), false);
    }
    const SafetensorsFile file = load_checkpoint(source, "evaluate_gan");
    const std::unique_ptr<Trainer> trainer = sampler_of(file, request_.device);
    GeneratedOptions options = request_.generated;
    options.weights = weights_of_file(file, request_.weights_asked, options.weights);
    if (options.count == 0) options.count = kGeneratedImages;
    const std::string name = fmt::format("{} iteration {}", file.source(), trainer->iteration());
    return collect("generated images", generated_input(*trainer, name, options), false);
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
  Evaluation evaluation(request);
  if (statistics) return print_result(evaluation.make_statistics()), 0;
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
