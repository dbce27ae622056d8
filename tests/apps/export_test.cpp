// inspect_run export: the files contain the run's network with the papers' names and layouts, and compact files
// generate the run's images. bench/peers/check_export.py checks that PyTorch and ONNX Runtime generate them too.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "apps/run/compact_generator.h"
#include "engine/io/safetensors.h"
#include "engine/sparse/compact_weights.h"
#include "tests/support/program_test_tools.h"
#include "tests/support/protobuf_fields.h"

namespace poise {
namespace {

using test::fields_of;
using test::ProgramResult;
using test::ProtobufField;
using test::small_run;
using test::TemporaryFolder;

const std::string kInspectRun = POISE_INSPECT_RUN, kTrainGan = POISE_TRAIN_GAN, kSampleGan = POISE_SAMPLE_GAN;

ProgramResult run_program(const std::string& program, const std::vector<std::string>& arguments) {
  return test::run_program_in({}, program, arguments);
}

// A sparse run of two iterations, made once for all tests.
class Export : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const ProgramResult result =
        run_program(kTrainGan, small_run({"--iterations", "2", "--method", "static", "--density-g", "0.1", "--width-g",
                                          "32", "--cell", "1x1", "--runs", path("runs")}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string path(const std::string& name) { return folder_->path() + "/" + name; }
  static std::string run() { return path("runs/latest"); }

  static ProgramResult export_to(const std::string& file, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"export", run(), "-o", path(file)});
    return run_program(kInspectRun, more);
  }

  static std::string pixels(const std::string& source, const std::string& weights) {
    const std::string raw = path("fakes.bin");
    const ProgramResult result =
        run_program(kSampleGan, {source, "--seeds", "0-15", "--weights", weights, "--raw", raw});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return test::read_bytes(raw);
  }

  static TemporaryFolder* folder_;
};

TemporaryFolder* Export::folder_ = nullptr;

std::vector<float> floats_of(const TensorView& view) {
  std::vector<float> values(view.bytes.size() / sizeof(float));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

TEST_F(Export, CompactFilesDrawTheImagesOfTheRun) {
  for (const std::string weights : {"ema", "live"}) {
    const std::string file = "small-" + weights + ".safetensors";
    const ProgramResult result = export_to(file, {"--format", "compact", "--weights", weights});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const std::string ours = pixels(run(), weights);
    ASSERT_FALSE(ours.empty());
    EXPECT_TRUE(ours == pixels(path(file), weights)) << weights << ": other images than the run's";
  }
  const ProgramResult other =
      run_program(kSampleGan, {path("small-ema.safetensors"), "--weights", "live", "-o", path("x.png")});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("holds ema weights only"), std::string::npos) << other.err;
}

TEST_F(Export, CompactFilesGiveTheWeightsBackBitForBit) {
  const SafetensorsFile checkpoint = SafetensorsFile::read(path("runs/latest/checkpoints/step-00000002.safetensors"));
  for (const auto& [name, weights] : {std::pair{"ema", Weights::ema}, {"live", Weights::live}}) {
    ASSERT_EQ(export_to("compact.safetensors", {"--format", "compact", "--weights", name}).exit_code, 0);
    std::map<std::string, NamedWeights> found;
    for (NamedWeights& tensor : read_sparse(SafetensorsFile::read(path("compact.safetensors")))) {
      const std::string key = tensor.name;
      found.emplace(key, std::move(tensor));
    }
    const std::vector<NamedWeights> stored = stored_generator(checkpoint, weights);
    EXPECT_EQ(found.size(), stored.size());
    for (const NamedWeights& tensor : stored) {
      ASSERT_TRUE(found.contains(tensor.name)) << tensor.name;
      const NamedWeights& other = found.at(tensor.name);
      EXPECT_EQ(other.shape, tensor.shape) << tensor.name;
      ASSERT_EQ(other.values.size(), tensor.values.size()) << tensor.name;
      EXPECT_EQ(std::memcmp(other.values.data(), tensor.values.data(), tensor.values.size() * sizeof(float)), 0)
          << tensor.name;
    }
  }
}

TEST_F(Export, CompactFilesAreEvaluatedAsTheRunIs) {
  ASSERT_EQ(export_to("small.safetensors", {"--format", "compact"}).exit_code, 0);
  const auto value = [](const std::string& source) {
    const ProgramResult result = run_program(
        POISE_EVALUATE_GAN, {source, "--reference", "sample", "--images", "100", "--metrics", "frechet-random", "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out.substr(0, result.out.find('\n'));
  };
  EXPECT_EQ(value(path("small.safetensors")), value(run()));
}

TEST_F(Export, CompactFilesLeaveTheZerosOut) {
  ASSERT_EQ(export_to("dense.safetensors").exit_code, 0);
  ASSERT_EQ(export_to("sparse.safetensors", {"--format", "compact"}).exit_code, 0);
  EXPECT_LT(test::read_bytes(path("sparse.safetensors")).size(),
            test::read_bytes(path("dense.safetensors")).size() / 3);
}

TEST_F(Export, SafetensorsHaveThePapersNamesAndLayouts) {
  ASSERT_EQ(export_to("d.safetensors", {"--network", "D"}).exit_code, 0);
  const SafetensorsFile theirs = SafetensorsFile::read(path("d.safetensors"));
  EXPECT_EQ(theirs.metadata().at("format"), "pt");
  const std::string checkpoints = run() + "/checkpoints";
  const SafetensorsFile ours = SafetensorsFile::read(checkpoints + "/" + test::names_in(checkpoints).back());

  const TensorView& before = ours.at("D.block1.conv2.weight");   // [out,kh,kw,in]
  const TensorView& after = theirs.at("block1.c2.weight_orig");  // [out,in,kh,kw]
  ASSERT_EQ(before.shape.size(), 4u);
  const int64_t out = before.shape[0], k = before.shape[1], in = before.shape[3];
  ASSERT_EQ(after.shape, (std::vector<int64_t>{out, in, k, k}));
  const std::vector<float> a = floats_of(before), b = floats_of(after);
  for (int64_t o = 0; o < out; ++o)
    for (int64_t y = 0; y < k; ++y)
      for (int64_t x = 0; x < k; ++x)
        for (int64_t i = 0; i < in; ++i)
          ASSERT_EQ(a[static_cast<size_t>(((o * k + y) * k + x) * in + i)],
                    b[static_cast<size_t>(((o * in + i) * k + y) * k + x)]);
  EXPECT_NE(theirs.find("block1.c2.weight_u"), nullptr);
  EXPECT_NE(theirs.find("l5.weight_orig"), nullptr);

  ASSERT_EQ(export_to("folded.safetensors", {"--network", "D", "--spectral-norm", "folded"}).exit_code, 0);
  const SafetensorsFile folded = SafetensorsFile::read(path("folded.safetensors"));
  EXPECT_EQ(folded.find("block1.c2.weight_orig"), nullptr);
  EXPECT_NE(folded.find("block1.c2.weight"), nullptr);
}

// Uses the field numbers of ONNX's ModelProto and its parts.
TEST_F(Export, OnnxIsAGraphFromLatentsToImages) {
  const ProgramResult result = export_to("g.onnx");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("opset 13"), std::string::npos) << result.out;
  std::string graph;
  uint64_t ir = 0, opset = 0;
  for (const ProtobufField& field : fields_of(test::read_bytes(path("g.onnx")))) {
    if (field.number == 1) ir = field.value;
    if (field.number == 7) graph = field.bytes;
    if (field.number == 8)
      for (const ProtobufField& part : fields_of(field.bytes))
        if (part.number == 2) opset = part.value;
  }
  EXPECT_EQ(ir, 7u);
  EXPECT_EQ(opset, 13u);
  // Every input of a node is an input of the graph, a constant, or the result of an earlier node.
  std::set<std::string> known = {""};
  std::multiset<std::string> ops;
  for (const ProtobufField& field : fields_of(graph)) {
    if (field.number != 5 && field.number != 11) continue;  // initializer, input
    for (const ProtobufField& part : fields_of(field.bytes))
      if (part.number == (field.number == 5 ? 8u : 1u)) known.insert(part.bytes);
  }
  for (const ProtobufField& field : fields_of(graph)) {
    if (field.number != 1) continue;
    for (const ProtobufField& part : fields_of(field.bytes)) {
      if (part.number == 1) {
        EXPECT_TRUE(known.count(part.bytes)) << part.bytes;
      }
      if (part.number == 2) known.insert(part.bytes);
      if (part.number == 4) ops.insert(part.bytes);
    }
  }
  EXPECT_GT(ops.count("Conv"), 5u);
  EXPECT_EQ(ops.count("Tanh"), 1u);
}

TEST_F(Export, LatentsGoOutAndComeIn) {
  const std::string first = path("a.bin"), second = path("b.bin"), latents = path("z.npy");
  ASSERT_EQ(run_program(kSampleGan, {run(), "--seeds", "3-9", "--raw", first, "--save-latents", latents}).exit_code, 0);
  ASSERT_EQ(run_program(kSampleGan, {run(), "--latents", latents, "--raw", second}).exit_code, 0);
  EXPECT_TRUE(test::read_bytes(first) == test::read_bytes(second));
}

TEST_F(Export, RefusesWhatItCannotWrite) {
  const auto refused = [](const ProgramResult& result, const std::string& part) {
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  refused(export_to("x.safetensors", {"--format", "onx"}), "onnx");
  refused(export_to("x.onnx", {"--network", "D"}), "--network");
  refused(export_to("x.onnx", {"--spectral-norm", "folded"}), "--spectral-norm");
  refused(run_program(kInspectRun, {"export", run()}), "--output");
  EXPECT_NE(run_program(kInspectRun, {"export", path("nothing"), "-o", path("x.onnx")}).exit_code, 0);
}

}  // namespace
}  // namespace poise
