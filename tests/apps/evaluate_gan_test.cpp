// End-to-end tests of evaluate_gan on the bundled images with random features, and tests of the parts that need a
// trained network with a synthetic one.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/evaluation/feature_metric.h"
#include "apps/evaluation/random_network.h"
#include "apps/training/sampling.h"
#include "data/cifar10.h"
#include "engine/io/npz.h"
#include "tests/support/metric_tools.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::TemporaryFolder;

// Runs without Inception weights, even if the machine has some.
ProgramResult evaluate(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path(), .environment = {"XDG_DATA_HOME=/nowhere", "POISE_INCEPTION="}},
                              POISE_EVALUATE_GAN, arguments);
}

json record_of(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out, nullptr, false);
}

// Writes the CIFAR-10 records [first, last) of the bundled sample as a batch file.
void write_batch(const std::string& path, size_t first, size_t last) {
  const std::string bytes = test::read_bytes(POISE_SAMPLE_DATA_DIR "/cifar10_sample.bin");
  test::write_bytes(path, bytes.substr(first * 3073, (last - first) * 3073));
}

TEST(EvaluateGan, ImagesAgainstThemselvesAndAgainstOthers) {
  const TemporaryFolder folder;
  write_batch(folder / "a.bin", 0, 250);
  write_batch(folder / "b.bin", 250, 500);
  const json same = record_of(evaluate(folder, {"a.bin", "--reference", "a.bin", "--json"}));
  EXPECT_EQ(same["metric"], "frechet-random");
  EXPECT_NEAR(same["value"].get<double>(), 0, 1e-9);
  const json other = record_of(evaluate(folder, {"a.bin", "--reference", "b.bin", "--json"}));
  EXPECT_GT(other["value"].get<double>(), 100 * std::abs(same["value"].get<double>()));
  EXPECT_EQ(other["images"], 250);
  EXPECT_EQ(other["reference_images"], 250);
  EXPECT_EQ(other["reference_source"], "b.bin");
  EXPECT_EQ(other["network"], "random-features");
  EXPECT_EQ(other["features"], "pool192");
  for (const char* key : {"network_hash", "resize", "split", "protocol", "trace", "mean_term"}) {
    EXPECT_TRUE(other.contains(key)) << key;
  }
}

TEST(EvaluateGan, StatisticsStandForTheImages) {
  const TemporaryFolder folder;
  write_batch(folder / "a.bin", 0, 220);
  write_batch(folder / "b.bin", 220, 440);
  const ProgramResult made = evaluate(folder, {"make-stats", "b.bin", "-o", "b.npz"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(NpzFile::read(folder / "b.npz").array("sigma").shape, (std::vector<int64_t>{192, 192}));
  const json direct = record_of(evaluate(folder, {"a.bin", "--reference", "b.bin", "--json"}));
  const json stored = record_of(evaluate(folder, {"a.bin", "--reference", "b.npz", "--json"}));
  EXPECT_EQ(stored["value"], direct["value"]);
  EXPECT_EQ(stored["reference_images"], 220);
  EXPECT_EQ(stored["reference_source"], "b.bin");

  const ProgramResult other = evaluate(folder, {"a.bin", "--reference", "b.npz", "--metrics", "frechet-random-64"});
  EXPECT_EQ(other.exit_code, 4);
  EXPECT_NE(other.err.find("192"), std::string::npos) << other.err;
  write_npz(folder / "bare.npz", std::vector<NpyArray>{NpzFile::read(folder / "b.npz").array("mu"),
                                                       NpzFile::read(folder / "b.npz").array("sigma")});
  const ProgramResult bare = evaluate(folder, {"a.bin", "--reference", "bare.npz", "--json"});
  EXPECT_EQ(record_of(bare)["value"], direct["value"]);
  EXPECT_NE(bare.err.find("does not say of which network"), std::string::npos) << bare.err;
}

TEST(EvaluateGan, PrecisionAndRecall) {
  const TemporaryFolder folder;
  write_batch(folder / "all.bin", 0, 300);
  write_batch(folder / "few.bin", 0, 40);  // all of them good, but only a part of the set
  write_batch(folder / "three.bin", 0, 3);
  const auto measure = [&](const std::string& source, const std::string& reference, std::vector<std::string> more) {
    more.insert(more.begin(), {source, "--reference", reference, "--metrics", "precision-recall-random"});
    return evaluate(folder, more);
  };
  const json same = record_of(measure("all.bin", "all.bin", {"--json"}));
  EXPECT_EQ(same["value"], 1.0);
  const ProgramResult result = measure("few.bin", "all.bin", {"--json"});
  const json few = record_of(result);
  EXPECT_EQ(few["metric"], "precision-recall-random");
  EXPECT_EQ(few["precision"], 1.0);
  const double recall = few["recall"];
  EXPECT_GE(recall, 40.0 / 300);
  EXPECT_LT(recall, 1);
  EXPECT_DOUBLE_EQ(few["value"].get<double>(), 2 * recall / (1 + recall));
  EXPECT_EQ(few["neighbours"], 3);
  EXPECT_EQ(few["images"], 40);
  EXPECT_EQ(few["reference_images"], 300);
  EXPECT_EQ(few["network"], "random-features");
  EXPECT_EQ(few["features"], "pool192");
  EXPECT_FALSE(few.contains("deviation"));
  EXPECT_NE(result.err.find("40 generated and 300 reference images"), std::string::npos) << result.err;
  const json swapped = record_of(measure("all.bin", "few.bin", {"--json"}));
  EXPECT_EQ(swapped["precision"], few["recall"]);
  EXPECT_EQ(swapped["recall"], few["precision"]);
  const std::string text = measure("few.bin", "all.bin", {}).out;
  EXPECT_NE(text.find(" (precision 1, recall 0."), std::string::npos) << text;

  ASSERT_EQ(evaluate(folder, {"make-stats", "all.bin", "-o", "all.npz"}).exit_code, 0);
  const auto expect = [](const ProgramResult& refused, int code, const std::string& part) {
    EXPECT_EQ(refused.exit_code, code) << refused.err;
    EXPECT_NE(refused.err.find(part), std::string::npos) << part << "\n  in " << refused.err;
  };
  expect(measure("few.bin", "all.npz", {}), 2,
         "precision-recall-random compares images, which statistics do not have; give them with --reference");
  expect(measure("three.bin", "all.bin", {}), 4, "at least 4 images in each set");
  expect(evaluate(folder, {"few.bin", "--reference", "sample", "--metrics", "precision-recall"}), 2,
         "--inception FILE");
  expect(evaluate(folder, {"make-stats", "all.bin", "-o", "b.npz", "--metrics", "precision-recall-random"}), 2,
         "one Frechet distance");
}

TEST(EvaluateGan, ACheckpointLiveAndAveraged) {
  const TemporaryFolder folder;
  const ProgramResult trained = test::run_program_in({.folder = folder.path()}, POISE_TRAIN_GAN,
                                                     test::small_run({"--iterations", "3", "--ema-decay", "0.5"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"runs/latest", "--images", "150", "--reference-images", "200", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return record_of(evaluate(folder, arguments));
  };
  const json ema = run({}), again = run({}), live = run({"--weights", "live"}),
             running = run({"--batch-norm", "running"}), rounded = run({"--quantisation", "round"}),
             seeded = run({"--seed", "7"});
  EXPECT_EQ(ema["value"], again["value"]);
  EXPECT_EQ(ema["weights"], "ema");
  EXPECT_EQ(ema["batch_norm"], "batch");
  EXPECT_EQ(ema["batch_norm_batch"], 100);
  EXPECT_EQ(ema["quantisation"], "truncate");
  EXPECT_EQ(live["weights"], "live");
  EXPECT_EQ(running["batch_norm"], "running");
  for (const json& other : {live, running, rounded, seeded}) EXPECT_NE(other["value"], ema["value"]) << other;
  EXPECT_NE(ema["warnings"].get<std::string>().find("150 images for 192 dimensions"), std::string::npos);
  EXPECT_NE(ema["source"].get<std::string>().find("iteration 3"), std::string::npos);
}

TEST(EvaluateGan, TextNamesMetricAndProtocol) {
  const TemporaryFolder folder;
  write_batch(folder / "a.bin", 0, 200);
  const ProgramResult result = evaluate(folder, {"a.bin", "--reference", "a.bin"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("frechet-random ")) << result.out;
  EXPECT_NE(result.out.find("network_hash"), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("FID"), std::string::npos) << result.out;
  EXPECT_NE(result.err.find("no weights of Inception"), std::string::npos) << result.err;
}

TEST(EvaluateGan, RefusesWithExitCodes) {
  const TemporaryFolder folder;
  write_batch(folder / "a.bin", 0, 2);
  const auto expect = [&](const std::vector<std::string>& arguments, int code, const std::string& part) {
    const ProgramResult result = evaluate(folder, arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n  in " << result.err;
  };
  expect({}, 2, "expected something to measure");
  expect({"a.bin", "--reference", "sample", "--metrics", "fdi"}, 2, "did you mean");
  expect({"a.bin", "--reference", "sample", "--metrics", "fid"}, 2, "--inception FILE");
  expect({"a.bin", "--reference", "sample", "--metrics", "fid", "--inception", "a.bin"}, 5, "a.bin");
  expect({"a.bin", "--reference", "sample", "--metrics", "fid,frechet-random"}, 2, "different networks");
  expect({"a.bin", "--protocol", "cifar10-test-10k", "--images", "5"}, 2, "fixes it");
  expect({"a.bin", "--reference", "sample", "--protocol", "cifar10-train-50k"}, 2, "ask for fewer");
  expect({"nothing.bin", "--reference", "sample"}, 4, "nothing.bin");
  expect({"nothing.safetensors"}, 5, "nothing.safetensors");
  expect({"a.bin", "--reference", "none.npz"}, 4, "none.npz");
  expect({"make-stats", "a.bin"}, 2, "-o");
  // The error names the file that was given, not the images it was made from.
  expect({"make-stats", "a.bin", "--metrics", "frechet-random-64", "-o", "small.npz"}, 0, "");
  expect({"a.bin", "--reference", "small.npz", "--metrics", "frechet-random"}, 4,
         "small.npz: expected statistics of 192");
}

TEST(RandomFeatures, RowsDependOnTheirImageAlone) {
  const ImageSet set = read_cifar10(POISE_SAMPLE_DATA_DIR, CifarSplit::train);
  RandomFeatureNetwork network;
  const auto rows = [&](int64_t first, int64_t count) {
    return network
        .features({FeatureTap::pool192}, std::span(set.pixels).subspan(first * 3072, count * 3072), count, 32, 32)[0]
        .values;
  };
  const std::vector<float> all = rows(0, 70);  // more than one batch
  const std::vector<float> few = rows(60, 3);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), all.begin() + 60 * 192));
  EXPECT_EQ(all.size(), 70u * 192);
  EXPECT_EQ(network.hash(), RandomFeatureNetwork().hash());
  test::expect_error(ErrorKind::data, {"multiples of 4", "6x8"},
                     [&] { network.features({FeatureTap::pool64}, std::span(set.pixels).first(144), 1, 6, 8); });
}

// A network whose features are the first bytes of an image.
class MadeUpNetwork : public FeatureNetwork {
 public:
  explicit MadeUpNetwork(const std::string& name) : name_(name) {}
  std::string name() const override { return name_; }
  std::string hash() const override { return "none"; }
  std::string resize() const override { return "none"; }
  std::vector<FeatureTap> taps() const override {
    return {FeatureTap::pool64, FeatureTap::pool2048, FeatureTap::logits};
  }
  int64_t dims(FeatureTap tap) const override {
    return tap == FeatureTap::logits ? 4 : tap == FeatureTap::pool64 ? 64 : 2;
  }
  std::vector<FeatureRows> features(const std::vector<FeatureTap>& wanted, std::span<const uint8_t> images,
                                    int64_t count, int64_t h, int64_t w) override {
    std::vector<FeatureRows> all;
    for (const FeatureTap tap : wanted) {
      all.push_back({.tap = tap, .dims = dims(tap)});
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t d = 0; d < dims(tap); ++d) all.back().values.push_back(images[i * h * w * 3 + d] / 16.0f);
      }
    }
    return all;
  }

 private:
  std::string name_;
};

ImageSet noise(int64_t count, uint64_t seed) {
  ImageSet set{.name = "noise", .source = "noise", .count = count, .height = 8, .width = 8, .channels = 3};
  for (const float x : test::normal_rows(count * 192, seed)) set.pixels.push_back(to_byte(x / 4));
  return set;
}

TEST(FeatureMetrics, LabelsSayWhichNetwork) {
  const MadeUpNetwork canonical("inception-2015-12-05"), other("iv3q");
  const auto label = [](const char* name, const FeatureNetwork& network) {
    return label_of(*find_feature_metric(name), network);
  };
  EXPECT_EQ(label("fid", canonical), "FID");
  EXPECT_EQ(label("is", canonical), "IS");
  EXPECT_EQ(label("fid-64", canonical), "FID-64");
  EXPECT_EQ(label("fid", other), "FID-iv3q");
  EXPECT_EQ(label("is", other), "IS-iv3q");
  EXPECT_EQ(label("kid", other), "KID-iv3q");
  EXPECT_EQ(label("fid-64", other), "FID-iv3q-64");
  EXPECT_EQ(label("precision-recall", canonical), "precision-recall-inception-2015-12-05");
  EXPECT_EQ(label("precision-recall", other), "precision-recall-iv3q");
  EXPECT_EQ(label("precision-recall-random", RandomFeatureNetwork()), "precision-recall-random");
  EXPECT_TRUE(find_feature_metric("precision-recall")->larger_is_better());
  EXPECT_FALSE(find_feature_metric("kid")->larger_is_better());
  test::expect_error(ErrorKind::usage, {"use precision-recall-768"},
                     [&] { check_metric(*find_feature_metric("precision-recall-768"), canonical); });
  test::expect_error(ErrorKind::usage, {"fid-768", "weights end"},
                     [&] { check_metric(*find_feature_metric("fid-768"), canonical); });
  test::expect_error(ErrorKind::usage, {"fid", "random-features"},
                     [&] { check_metric(*find_feature_metric("fid"), RandomFeatureNetwork()); });
}

TEST(FeatureMetrics, AllOfOnePassAndTheOrderOfImagesDoesNotMatter) {
  MadeUpNetwork network("iv3q");
  const ImageSet a = noise(300, 1), b = noise(300, 2);
  ImageSet reversed = a;
  for (int64_t i = 0; i < a.count; ++i) {
    std::copy_n(a.pixels.begin() + i * 192, 192, reversed.pixels.begin() + (a.count - 1 - i) * 192);
  }
  const std::vector<FeatureMetric> metrics = {*find_feature_metric("fid"), *find_feature_metric("fid-64"),
                                              *find_feature_metric("is"), *find_feature_metric("kid"),
                                              *find_feature_metric("precision-recall")};
  const auto collect = [&](const ImageSet& set, bool reference) {
    return *collect_features(network, input_of(set, "file", 0), request_for(metrics, reference), 100,
                             [](int64_t) { return true; });
  };
  const FeatureSet reference = collect(b, true), set = collect(a, false), other_order = collect(reversed, false);
  for (const FeatureMetric& metric : metrics) {
    const MetricResult result = evaluate_metric(metric, network, set, &reference, {});
    EXPECT_GT(std::abs(result.value), 0) << result.label;
    const bool sampled = metric.kind == FeatureMetric::Kind::score || metric.kind == FeatureMetric::Kind::kernel;
    EXPECT_EQ(result.deviation.has_value(), sampled);
    EXPECT_FALSE(result.warnings.empty() && metric.kind != FeatureMetric::Kind::frechet);
    if (sampled) continue;
    EXPECT_NEAR(evaluate_metric(metric, network, other_order, &reference, {}).value, result.value, 1e-9);
  }
  EXPECT_FALSE(collect_features(network, input_of(a, "file", 0), request_for(metrics, false), 100, [](int64_t done) {
                 return done < 200;
               }).has_value());
}

TEST(Quantisation, TruncatesOrRounds) {
  const float x = 100.75f / 127.5f - 1;
  EXPECT_EQ(to_byte(x), 101);
  EXPECT_EQ(to_byte(x, Quantisation::truncate), 100);
  for (const Quantisation q : {Quantisation::round, Quantisation::truncate}) {
    EXPECT_EQ(to_byte(-1, q), 0);
    EXPECT_EQ(to_byte(1, q), 255);
    EXPECT_EQ(to_byte(-3, q), 0);
    EXPECT_EQ(to_byte(3, q), 255);
    EXPECT_EQ(to_byte(NAN, q), 0);
  }
}

}  // namespace
}  // namespace poise
