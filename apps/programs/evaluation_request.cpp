#include "apps/programs/evaluation_request.h"

#include <fmt/format.h>

#include "apps/console/flag_reader.h"
#include "apps/console/suggestion.h"
#include "apps/options/options.h"
#include "apps/run/checkpoint_sampler.h"
#include "data/registry.h"
#include "engine/io/atomic_file.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

const char* kExamples = R"(Examples:
  evaluate_gan runs/latest                                     against the images that it was trained on
  evaluate_gan runs/latest --protocol cifar10-train-50k --reference ~/cifar-10-batches-bin --json
  evaluate_gan test_batch.bin --reference data_batch_1.bin --metrics fid,is --inception inception.safetensors
  evaluate_gan make-stats ~/cifar-10-batches-bin --metrics fid -o cifar10-train.npz

SOURCE: a run directory, a checkpoint (.safetensors), a batch file of CIFAR-10 (.bin), a data set's folder, or a folder
of pictures. --reference takes the last three, statistics (.npz with mu and sigma), or 'sample', the images of CIFAR-10
that come with Poise; without it a generator is compared with its own training images.
Weights of Inception: --inception, else $POISE_INCEPTION, else ~/.local/share/poise/inception.safetensors. Without them
the metric is frechet-random: the Frechet distance of fixed random features, which is not FID.
FID: the network of 2015-12-05. FID-iv3q, IS-iv3q: another network, not comparable with published numbers.)";

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const FeatureMetric& metric : feature_metrics()) names.push_back(metric.name);
  return names;
}

constexpr int64_t kMost = 100'000'000;  // limit for all numbers
int64_t largest_image_size() { return static_cast<int64_t>(find_option("image_size")->limits.most); }

// Rejects given flags that have no effect, as far as the request alone shows.
void refuse_without_effect(const CommandLine& args, const EvaluationRequest& r, FlagReader& reader) {
  const auto refuse = [&](bool condition, std::initializer_list<const char*> names, const char* why) {
    for (const char* name : names) {
      if (condition && args.has(name))
        reader.add_problem(fmt::format("--{}: has no effect {}; leave it out", name, why));
    }
  };
  refuse(r.make_statistics, {"reference", "reference-images", "protocol", "splits", "shuffle", "json"},
         "with make-stats");
  refuse(is_statistics(r.reference), {"reference-images"}, "on statistics, which are of all their images");
  const bool images = r.source.ends_with(".bin") && !is_folder(r.source);
  refuse(images, {"dataset", "split", "image-size"}, "on a batch file");
  const bool reads_folder = !r.reference.empty() && r.reference != "sample" && !is_statistics(r.reference);
  refuse(r.source == "sample" && !reads_folder, {"dataset", "image-size"}, "on the bundled sample");
  std::vector<FeatureMetric> metrics;
  for (const std::string& name : r.metrics) {
    if (const FeatureMetric* metric = find_feature_metric(name)) metrics.push_back(*metric);
  }
  const auto none = [&](auto is) { return !metrics.empty() && std::none_of(metrics.begin(), metrics.end(), is); };
  refuse(none([](const FeatureMetric& m) { return m.kind == FeatureMetric::Kind::score; }), {"splits", "shuffle"},
         "without the Inception Score");
  refuse(none([](const FeatureMetric& m) { return m.needs_reference(); }), {"reference", "reference-images"},
         "on a metric without a reference");
  refuse(none([](const FeatureMetric& m) { return !m.random; }), {"inception"}, "on random features");
}

}  // namespace

const std::vector<EvaluationProtocol>& evaluation_protocols() {
  static const std::vector<EvaluationProtocol> all = {
      {"cifar10-train-50k", "50,000 images against the training set", "train", 50000, 50000, 50000},
      {"cifar10-test-10k", "10,000 images against the test set", "test", 10000, 10000, 10000},
      {"cifar10-quick-5k", "5,000 images against 5,000 of the training set", "train", 50000, 5000, 5000},
      {"cifar10-quick-1k", "1,000 images against 1,000 of the training set", "train", 50000, 1000, 1000},
  };
  return all;
}

bool is_statistics(const std::string& reference) { return reference.ends_with(".npz") && !is_folder(reference); }

CommandLineSpec evaluation_command_line() {
  using Kind = Flag::Kind;
  CommandLineSpec spec;
  spec.description =
      "Measures how close a generator's images, or any images, come to real ones. With make-stats as its first "
      "argument: writes mean and covariance of their features for later use.";
  spec.positional = "source";
  spec.positional_help = "what to measure (see below)";
  std::vector<std::string> protocols;
  for (const auto& p : evaluation_protocols()) protocols.push_back(fmt::format("{} ({})", p.name, p.help));
  spec.flags = {
      {"--reference", Kind::once, "REF", "what to compare with (of a run: what it was trained on)"},
      {"--protocol", Kind::once, "NAME",
       fmt::format("numbers of images and split by name: {}", fmt::join(protocols, ", "))},
      {"--metrics", Kind::once, "LIST", "of " + join_alternatives(metric_names()) + ", with commas"},
      {"--inception", Kind::once, "FILE", "weights of Inception (safetensors)"},
      {"--images", Kind::value, "N", "how many (all of a set, 10000 of a generator)"},
      {"--reference-images", Kind::value, "N", "how many, spread evenly over the set (all)"},
      {"--dataset", Kind::value, "NAME", "what folders hold (auto: what their files say)"},
      {"--split", Kind::value, "NAME", "of data sets (auto: what is trained on)"},
      {"--image-size", Kind::value, "N", "side to which folders of pictures are resized"},
      {"--weights", Kind::value, "WHICH", "ema (averaged) or live (ema)"},
      {"--batch-norm", Kind::value, "HOW",
       "batch: each 100 images normalise themselves, as in the paper; running: statistics measured for these weights "
       "(batch)"},
      {"--quantisation", Kind::value, "HOW",
       "of G's output to bytes: truncate, as the paper's code, or round (truncate)"},
      {"--seed", Kind::value, "N", "latents of seeds N, N+1, .. (0)"},
      {"--splits", Kind::value, "N", "of the Inception Score (10)"},
      {"--shuffle", Kind::value, "SEED", "shuffle images before they are split: for sets sorted by class"},
      {"--device", Kind::value, "NAME", "auto, cpu, cuda or emulated (auto: cuda if it is there)"},
      {"--threads", Kind::value, "N", "of the CPU (as OMP_NUM_THREADS says, else all)"},
      {"-o,--output", Kind::once, "FILE", "of make-stats (.npz)"},
      {"--json", Kind::on, "", "one JSON object per metric"},
      {"-q,--quiet", Kind::on, "", "no progress"},
      {"--version", Kind::on, "", "print the version and exit"},
  };
  spec.footer = kExamples;
  return spec;
}

EvaluationRequest evaluation_request_of(const CommandLine& args, bool make_statistics) {
  FlagReader reader(args);
  EvaluationRequest r;
  r.make_statistics = make_statistics;
  r.source = reader.positional("expected something to measure; give a run directory, as runs/latest");
  r.reference = reader.path("reference");
  r.output = reader.path("output");
  if (make_statistics && !r.source.empty()) reader.refuse_overwriting({"output"}, checkpoint_files(r.source));
  if (make_statistics && r.output.empty()) reader.add_problem("make-stats: expected a file name; give one with -o");
  if (make_statistics && !r.output.empty() && !r.output.ends_with(".npz") && !is_standard_output(r.output) &&
      kind_of_path(r.output) != PathKind::other) {
    reader.add_problem("--output: statistics are recognised by their extension, .npz; add it to " + r.output);
  }
  if (!make_statistics && !r.output.empty()) reader.add_problem("--output can only be used with make-stats");
  std::vector<std::string> datasets = data_set_names(), protocols = {"none"};
  datasets.insert(datasets.begin(), "auto");
  for (const auto& p : evaluation_protocols()) protocols.push_back(p.name);
  r.dataset = reader.choice("dataset", datasets);
  r.split = reader.choice("split", split_names());
  r.protocol = reader.choice("protocol", protocols);
  r.inception = reader.path("inception");
  r.device = named<Device>(reader.choice("device", {"auto", "cpu", "cuda", "emulated"}));
  r.threads = reader.threads();
  r.image_size = reader.integer("image-size", 0, 1, largest_image_size());
  r.generated.count = reader.integer("images", 0, 2, kMost);
  r.reference_images = reader.integer("reference-images", 0, 2, kMost);
  for (const auto& p : evaluation_protocols()) {
    if (p.name != r.protocol) continue;
    for (const char* name : {"images", "reference-images", "split"}) {
      if (!args.has(name)) continue;
      reader.add_problem(fmt::format("--{}: protocol {} fixes it; leave out one of them", name, p.name));
    }
    if (r.reference.empty() && !make_statistics) {
      reader.add_problem(
          fmt::format("--protocol {} needs --reference: the folder of all of CIFAR-10, or statistics of it", p.name));
    }
    r.split = p.split;
    r.generated.count = p.images;
    r.reference_images = p.reference_images;
  }
  r.generated.weights = reader.choice("weights", {"ema", "live"}) == "ema" ? Weights::ema : Weights::live;
  r.weights_asked = args.has("weights");
  r.generated.mode =
      reader.choice("batch-norm", {"batch", "running"}) == "batch" ? Mode::evaluate_batch : Mode::evaluate_running;
  r.generated.quantisation =
      reader.choice("quantisation", {"truncate", "round"}) == "truncate" ? Quantisation::truncate : Quantisation::round;
  r.generated.seed = reader.integer("seed", 0, 0, kMost);
  for (const char* name : {"weights", "batch-norm", "quantisation", "seed"}) {
    if (args.has(name)) r.generator_flags.push_back("--" + std::string(name));
  }
  r.metric_options.splits = reader.integer("splits", 10, 1, kMost);
  if (args.has("shuffle"))
    r.metric_options.shuffle_seed = static_cast<uint64_t>(reader.integer("shuffle", 0, 0, kMost));
  r.json = args.has("json");
  r.quiet = args.has("quiet");
  if (args.has("metrics")) {
    for (const std::string& name : split_at_commas(args.get("metrics", ""))) {
      r.metrics.push_back(name);
      if (find_feature_metric(name)) continue;
      reader.add_problem(fmt::format("--metrics: expected {} but got \"{}\"{}", join_alternatives(metric_names()), name,
                                     did_you_mean(name, metric_names())));
    }
  }
  refuse_without_effect(args, r, reader);
  reader.throw_if_problems();
  return r;
}

}  // namespace poise
