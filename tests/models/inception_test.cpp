// Inception-v3, compared with PyTorch in float64 at a sixteenth of its width (tests/golden/golden_inception.py) and, if
// the real weights are available, at full width with features that PyTorch computed from them in float32.
//
//   POISE_INCEPTION_WEIGHTS=DIR   a folder with inception_2015_to_mixed_6e.safetensors and its reference files; without
//                                 it, the tests that need them are skipped
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>

#include "apps/evaluation/inception_network.h"
#include "data/cifar10.h"
#include "engine/io/sha256.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/golden_file.h"
#include "tests/support/op_cases.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr const char* kTapNames[kInceptionTaps] = {"pool64", "pool192", "pool768", "pool2048", "logits"};

SafetensorsFile golden_weights() {
  return SafetensorsFile::read(std::string(POISE_GOLDEN_DIR) + "/inception.safetensors");
}

// Computes the features of the golden images up to `last`, under NoGrad.
struct Pass {
  Inception network;
  std::vector<OwnedTensor> weights;
  TestContext context;
  std::vector<OwnedTensor> taps;

  Pass(const InceptionOptions& options, DType dtype, const KernelTable& kernels, InceptionTap last)
      : network(options),
        weights(load_inception_weights(network, golden_weights(), dtype, Device::cpu)),
        context(kernels, size_t{1} << 24) {
    const GoldenFile golden("inception");
    std::vector<double> pixels = golden.values("images");
    for (double& x : pixels) x = (x - 128) / 128;
    OwnedTensor images(golden.shape("images"), dtype, Device::cpu);
    GoldenFile::fill(images.tensor(), pixels);
    const Tape::NoGrad no_grad(context.tape);
    for (const Var& tap : network(context.tape.constant(images.tensor()), last)) {
      if (!tap.tape) continue;
      taps.emplace_back(tap.shape(), dtype, Device::cpu);
      copy_from_host(taps.back().tensor(), tap.value().bytes);
    }
  }
};

InceptionOptions narrow(bool canonical) {
  return {.max_pool_in_7c = canonical, .logits_have_bias = !canonical, .classes = 10, .narrowing = 16};
}

void compare(const Pass& pass, bool canonical, double limit) {
  GoldenFile golden("inception");
  for (size_t i = 0; i < pass.taps.size(); ++i) {
    const bool behind_7c = i >= static_cast<size_t>(InceptionTap::pool2048);
    golden.expect_near((behind_7c && !canonical ? "mean_pool." : "") + std::string(kTapNames[i]), pass.taps[i].tensor(),
                       limit);
  }
}

TEST(Inception, EveryTapIsPyTorchs) {
  for (const bool canonical : {true, false}) {
    SCOPED_TRACE(canonical ? "maximum in Mixed_7c, logits without bias" : "mean in Mixed_7c, logits with bias");
    const InceptionOptions options = narrow(canonical);
    compare(Pass(options, DType::f64, cpu_reference_kernels(), InceptionTap::logits), canonical, 1e-9);
    compare(Pass(options, DType::f32, cpu_kernels(), InceptionTap::logits), canonical, 1e-5);
  }
}

TEST(Inception, ATruncatedNetworkHasTheFirstThreeTaps) {
  InceptionOptions options = narrow(true);
  options.complete = false;
  const Pass pass(options, DType::f64, cpu_reference_kernels(), InceptionTap::pool768);
  ASSERT_EQ(pass.taps.size(), 3u);
  compare(pass, true, 1e-9);
  EXPECT_THROW(Pass(options, DType::f64, cpu_reference_kernels(), InceptionTap::logits), Error);
}

// The published sizes: 94 convolutions with 21,751,136 weights, a bias for each of 17,216 channels, 2048x1008 logits.
TEST(Inception, HasThePublishedSize) {
  Inception network({});
  int64_t convolutions = 0, weights = 0, biases = 0;
  network.for_each_parameter([&](const Parameter& p) {
    if (p.path == "fc.weight") return;
    p.shape.rank() == 4 ? (++convolutions, weights += p.shape.elements()) : biases += p.shape.elements();
  });
  EXPECT_EQ(convolutions, 94);
  EXPECT_EQ(weights, 21'751'136);
  EXPECT_EQ(biases, 17'216);
  EXPECT_EQ(network.dims(InceptionTap::logits), 1008);
}

// Memory between the taps is freed, so the peak is that of the widest part and not the sum of all values.
TEST(Inception, GivesBackWhatItHasRead) {
  const Pass pass(narrow(true), DType::f32, cpu_kernels(), InceptionTap::logits);
  size_t all = 0;
  for (const Node& node : pass.context.tape.nodes()) all += align_up(node.output.size_bytes());
  EXPECT_LT(pass.context.arena.peak(), all / 2);
}

TEST(Inception, EveryOpHasACase) {
  std::set<std::string> covered;
  for (const OpCase& c : op_cases(1)) covered.insert(c.op);
  const Pass pass(narrow(true), DType::f32, cpu_kernels(), InceptionTap::logits);
  for (const Node& node : pass.context.tape.nodes()) EXPECT_TRUE(covered.contains(node.name)) << node.name;
}

// A modified copy of the golden file, for tests of faulty weights files.
class ChangedWeights {
 public:
  ChangedWeights() : file_(golden_weights()) {
    for (const std::string& name : file_.names()) {
      const TensorView& view = file_.at(name);
      tensors_.push_back({.name = name, .dtype = view.dtype, .shape = view.shape, .bytes = view.bytes.data()});
    }
  }
  TensorBytes& at(const std::string& name) {
    return *std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorBytes& t) { return t.name == name; });
  }
  void drop(const std::string& prefix) {
    std::erase_if(tensors_, [&](const TensorBytes& t) { return t.name.starts_with(prefix); });
  }
  SafetensorsFile parse(const StringMap& metadata = {}) const {
    std::string bytes = safetensors_header(tensors_, metadata);
    for (const TensorBytes& t : tensors_) bytes.append(static_cast<const char*>(t.bytes), t.size_bytes());
    const auto* raw = reinterpret_cast<const std::byte*>(bytes.data());
    return SafetensorsFile::parse({raw, raw + bytes.size()}, "changed");
  }
  void write(const std::string& path) const { write_safetensors(path, tensors_, {}); }
  std::string error_of_loading() const {
    Inception network(narrow(true));
    try {
      load_inception_weights(network, parse(), DType::f32, Device::cpu);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::checkpoint);
      return error.what();
    }
    return "";
  }

 private:
  SafetensorsFile file_;
  std::vector<TensorBytes> tensors_;
};

void expect_mentions(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
}

TEST(InceptionWeights, ErrorsNameTheTensorAndBothShapes) {
  EXPECT_EQ(ChangedWeights().error_of_loading(), "");
  ChangedWeights missing;
  missing.drop("Mixed_6c.branch7x7_2.conv.weight");
  expect_mentions(missing.error_of_loading(),
                  {"changed", "Mixed_6c.branch7x7_2.conv.weight", "missing", "[10,10,1,7]"});
  ChangedWeights turned;
  turned.at("Mixed_6c.branch7x7_2.conv.weight").shape = {10, 10, 7, 1};
  expect_mentions(turned.error_of_loading(), {"Mixed_6c.branch7x7_2.conv.weight", "[10,10,7,1]", "[10,10,1,7]"});
  ChangedWeights integers;
  integers.at("Conv2d_1a_3x3.conv.bias").dtype = DType::i32;
  expect_mentions(integers.error_of_loading(), {"Conv2d_1a_3x3.conv.bias", "i32", "f32"});
  const float nan[2] = {0, std::numeric_limits<float>::quiet_NaN()};
  ChangedWeights broken;
  broken.at("Conv2d_1a_3x3.conv.bias").bytes = nan;
  expect_mentions(broken.error_of_loading(), {"Conv2d_1a_3x3.conv.bias", "not finite"});
}

TEST(InceptionWeights, SayWhichNetworkTheyAre) {
  const InceptionIdentity unknown = identify_inception(ChangedWeights().parse());
  EXPECT_FALSE(unknown.recognised);
  EXPECT_EQ(unknown.name, "unrecognised-inception");
  expect_mentions(unknown.note, {"unknown weights", unknown.hash.c_str(), "maximum", "without"});
  EXPECT_TRUE(unknown.options.complete);
  EXPECT_TRUE(unknown.options.max_pool_in_7c);
  EXPECT_EQ(unknown.options.classes, 10);
  EXPECT_EQ(unknown.options.narrowing, 16);

  const InceptionIdentity averaging = identify_inception(ChangedWeights().parse({{"pool_7c", "avg"}}));
  EXPECT_FALSE(averaging.options.max_pool_in_7c);
  EXPECT_TRUE(averaging.options.logits_have_bias);
  EXPECT_NE(averaging.hash, unknown.hash);

  const InceptionIdentity converted = identify_inception(
      ChangedWeights().parse({{"source_sha256", "6726825d0000000000000000000000000000000000000000000000000000000"}}));
  EXPECT_TRUE(converted.recognised);
  EXPECT_EQ(converted.name, "inception-2015-12-05");

  ChangedWeights truncated;
  truncated.drop("Mixed_7");
  truncated.drop("fc.");
  EXPECT_FALSE(identify_inception(truncated.parse()).options.complete);
}

// --- images in, features out, at reduced width ---

const std::vector<FeatureTap> kAllTaps{FeatureTap::pool64, FeatureTap::pool192, FeatureTap::pool768,
                                       FeatureTap::pool2048, FeatureTap::logits};
const std::string kNarrowWeights = std::string(POISE_GOLDEN_DIR) + "/inception.safetensors";

std::vector<uint8_t> some_images(int64_t count, int64_t h, int64_t w) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count * h * w * 3));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  return bytes;
}

// Seven images at once, and in calls of 1, 2 and 4. With batches of 3, each call ends in a partial batch.
TEST(InceptionNetwork, FeaturesDoNotDependOnTheCallsTheyCameIn) {
  constexpr int64_t kCount = 7, kH = 9, kW = 12, kBytes = kH * kW * 3;
  InceptionNetwork network(kNarrowWeights, {.batch = 3});
  const std::vector<uint8_t> images = some_images(kCount, kH, kW);
  const std::vector<FeatureRows> together = network.features(kAllTaps, images, kCount, kH, kW);
  std::vector<std::vector<float>> split(kAllTaps.size());
  int64_t first = 0;
  for (const int64_t count : {1, 2, 4}) {
    const auto some =
        std::span(images).subspan(static_cast<size_t>(first * kBytes), static_cast<size_t>(count * kBytes));
    const std::vector<FeatureRows> rows = network.features(kAllTaps, some, count, kH, kW);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].tap, kAllTaps[i]);
      EXPECT_EQ(rows[i].dims, network.dims(kAllTaps[i]));
      split[i].insert(split[i].end(), rows[i].values.begin(), rows[i].values.end());
    }
    first += count;
  }
  for (size_t i = 0; i < kAllTaps.size(); ++i) {
    EXPECT_EQ(split[i], together[i].values);
    EXPECT_NE(std::vector<float>(split[i].begin(), split[i].begin() + together[i].dims),
              std::vector<float>(split[i].end() - together[i].dims, split[i].end()));
  }
  EXPECT_TRUE(network.features(kAllTaps, {}, 0, kH, kW)[0].values.empty());
}

TEST(InceptionNetwork, AnEmulatedGpuSeesTheSame) {
  InceptionNetwork cpu(kNarrowWeights, {.batch = 1}), gpu(kNarrowWeights, {.device = Device::emulated});
  const std::vector<uint8_t> images = some_images(1, 32, 32);
  const std::vector<FeatureRows> expected = cpu.features(kAllTaps, images, 1, 32, 32);
  const std::vector<FeatureRows> got = gpu.features(kAllTaps, images, 1, 32, 32);
  for (size_t tap = 0; tap < kAllTaps.size(); ++tap) {
    double largest = 0, worst = 0;
    for (size_t i = 0; i < expected[tap].values.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(expected[tap].values[i])));
      worst = std::max(worst, std::abs(static_cast<double>(got[tap].values[i]) - expected[tap].values[i]));
    }
    EXPECT_FALSE(!(worst <= 1e-5 * largest)) << kTapNames[tap] << " is off by " << worst / largest;
  }
}

TEST(InceptionNetwork, RefusesWhatWouldSpoilAMetric) {
  const auto error = [](const auto& f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  expect_mentions(error([] { InceptionNetwork(kNarrowWeights, {.precision = Precision::bf16}); }), {"bf16", "fp32"});
  InceptionNetwork network(kNarrowWeights);
  const std::vector<uint8_t> images = some_images(2, 4, 4);
  expect_mentions(error([&] { network.features({FeatureTap::logits}, images, 3, 4, 4); }),
                  {"3 images", "4x4x3", "96 bytes"});
  expect_mentions(error([] { InceptionNetwork("/nowhere/inception.safetensors"); }),
                  {"/nowhere/inception.safetensors"});

  ChangedWeights truncated;
  truncated.drop("Mixed_7");
  truncated.drop("fc.");
  const test::TemporaryFolder folder;
  truncated.write(folder / "truncated.safetensors");
  InceptionNetwork short_network(folder / "truncated.safetensors");
  EXPECT_EQ(short_network.taps().size(), 3u);
  expect_mentions(error([&] { short_network.features({FeatureTap::pool2048}, images, 2, 4, 4); }),
                  {"Mixed_6e", "FID-2048"});
}

TEST(Sha256, KnowsTheStandardsExamples) {
  const auto of = [](const std::string& text) { return sha256({std::as_bytes(std::span(text))}); };
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(of(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const std::string abc = "abc";  // passed in parts
  const auto bytes = std::as_bytes(std::span(abc));
  EXPECT_EQ(sha256({bytes.first(1), bytes.subspan(1)}), of("abc"));
}

// --- at full width, with real weights --------------------------------------------------------------------------------

class RealInception : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("POISE_INCEPTION_WEIGHTS");
    if (!folder || !*folder) GTEST_SKIP() << "POISE_INCEPTION_WEIGHTS names no folder with the real weights";
    folder_ = folder;
    const ImageSet set = read_cifar10(folder_ + "/../cifar-10-batches-bin", CifarSplit::test);
    images_.assign(set.pixels.begin(), set.pixels.begin() + 16 * 3072);
  }

  std::vector<float> floats(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    EXPECT_FALSE(bytes.empty()) << name;
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  // Largest difference relative to the largest entry of its row.
  void expect_rows(const FeatureRows& got, const std::string& reference) {
    const std::vector<float> expected = floats(reference);
    ASSERT_EQ(got.values.size(), expected.size());
    double worst = 0;
    for (size_t row = 0; row < 16; ++row) {
      double largest = 0, difference = 0;
      for (size_t i = row * static_cast<size_t>(got.dims); i < (row + 1) * static_cast<size_t>(got.dims); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
        difference = std::max(difference, std::abs(static_cast<double>(got.values[i]) - expected[i]));
      }
      worst = std::max(worst, difference / largest);
    }
    std::cout << reference << ": " << worst << " of the row's maximum\n";
    EXPECT_FALSE(!(worst <= 1e-4)) << reference;
  }

  std::string folder_;
  std::vector<uint8_t> images_;
};

TEST_F(RealInception, FeaturesOfSixteenImagesArePyTorchs) {
  InceptionNetwork canonical(folder_ + "/inception_2015_to_mixed_6e.safetensors");
  EXPECT_EQ(canonical.name(), "inception-2015-12-05");
  EXPECT_EQ(canonical.taps().size(), 3u);
  expect_rows(canonical.features({FeatureTap::pool768}, images_, 16, 32, 32)[0], "first16_test_f768_f32.bin");
  EXPECT_THROW(canonical.features({FeatureTap::pool2048}, images_, 16, 32, 32), Error);

  InceptionNetwork quantised(folder_ + "/inception_v3_quant.safetensors");
  EXPECT_EQ(quantised.name(), "iv3q");
  EXPECT_EQ(quantised.dims(FeatureTap::logits), 1001);
  const auto rows = quantised.features({FeatureTap::logits, FeatureTap::pool2048}, images_, 16, 32, 32);
  expect_rows(rows[1], "first16_test_q2048_f32.bin");
  expect_rows(rows[0], "first16_test_qlogits_f32.bin");
}

// 16 images at once, in calls of 1, 5 and 10, and in batches of another size.
TEST_F(RealInception, FeaturesDoNotDependOnTheCallsTheyCameIn) {
  const std::string weights = folder_ + "/inception_2015_to_mixed_6e.safetensors";
  InceptionNetwork network(weights, {.batch = 8});
  const std::vector<FeatureTap> wanted{FeatureTap::pool64, FeatureTap::pool192, FeatureTap::pool768};
  const std::vector<FeatureRows> together = network.features(wanted, images_, 16, 32, 32);
  std::vector<std::vector<float>> split(wanted.size());
  int64_t first = 0;
  for (const int64_t count : {1, 5, 10}) {
    const auto some = std::span(images_).subspan(static_cast<size_t>(first * 3072), static_cast<size_t>(count * 3072));
    const std::vector<FeatureRows> rows = network.features(wanted, some, count, 32, 32);
    for (size_t i = 0; i < wanted.size(); ++i) {
      split[i].insert(split[i].end(), rows[i].values.begin(), rows[i].values.end());
    }
    first += count;
  }
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(split[i], together[i].values);
}

TEST_F(RealInception, TheEnlargedImageIsTensorFlows) {
  const OwnedTensor image = tensor_of({1, 32, 32, 3}, std::vector<uint8_t>(images_.begin(), images_.begin() + 3072));
  const std::vector<float> planes = floats("resized_cifar10_test0_3x299x299_f32.bin");
  TestContext c(cpu_kernels());
  Tensor y = c.arena.alloc({1, 299, 299, 3}, DType::f32);
  c.ctx.kernels->resize_bilinear(c.ctx, image.tensor(), y);
  double worst = 0;
  for (size_t i = 0; i < planes.size(); ++i) {
    const size_t plane = i / (299 * 299), pixel = i % (299 * 299);
    worst = std::max(worst, std::abs(static_cast<double>(y.data<float>()[pixel * 3 + plane]) - planes[i]));
  }
  std::cout << "enlarged image: largest difference " << worst << '\n';
  EXPECT_FALSE(!(worst <= 1e-5));
}

}  // namespace
}  // namespace poise
