#include "models/inception_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "engine/io/message.h"
#include "engine/io/sha256.h"

namespace poise {
namespace {

constexpr const char* kCanonical = "inception-2015-12-05";
constexpr const char* kOfficialWeights = "6726825d";  // start of the sha256 of pt_inception-2015-12-05-6726825d.pth

struct KnownFile {
  const char *hash, *name, *note;
};
constexpr KnownFile kKnownFiles[] = {
    {"342df9306c5b21ef5357c591939c76a355fb80fcbb5b0f9b9c0ab63257e2b39b", kCanonical,
     "the network of published FIDs as far as Mixed_6e"},
    {"e22f04222324b660cceb61d4a628cd46166fccd2bf9a268ab838515bc85c1d80", "iv3q",
     "an 8-bit ImageNet Inception-v3, dequantised: not comparable with published FID or IS"}};

std::string metadata(const SafetensorsFile& file, const std::string& key) {
  const auto at = file.metadata().find(key);
  return at == file.metadata().end() ? "" : at->second;
}

std::string text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

// The shape of a parameter in the file: [O,I,kh,kw] for our [O,kh,kw,I].
std::vector<int64_t> shape_in_file(const Shape& s) {
  if (s.rank() == 4) return {s[0], s[3], s[1], s[2]};
  std::vector<int64_t> shape;
  for (int i = 0; i < s.rank(); ++i) shape.push_back(s[i]);
  return shape;
}

// The elements of a parameter in our order.
std::vector<float> read_parameter(const SafetensorsFile& file, const Parameter& p) {
  const TensorView* view = file.find(p.path);
  const std::string where = file.source() + ": tensor " + p.path;
  const std::vector<int64_t> expected = shape_in_file(p.shape);
  if (!view) {
    fail(ErrorKind::checkpoint, where + " is missing (expected f32 " + text(expected) +
                                    "); use a file that bench/convert_inception.py wrote, or one of the same names");
  }
  if (view->dtype != DType::f32 || view->shape != expected) {
    fail(ErrorKind::checkpoint, where + " has " + name_of(view->dtype) + " " + text(view->shape) +
                                    " but Inception-v3 expects f32 " + text(expected) +
                                    "; use a file that bench/convert_inception.py wrote");
  }
  std::vector<float> stored(static_cast<size_t>(p.shape.elements())), ours(stored.size());
  std::memcpy(stored.data(), view->bytes.data(), view->bytes.size());
  for (const float x : stored) {
    if (!std::isfinite(x))
      fail(ErrorKind::checkpoint, where + " has elements that are not finite; the file is damaged");
  }
  if (p.shape.rank() != 4) return stored;
  const auto taps = static_cast<size_t>(p.shape[1] * p.shape[2]), c_in = static_cast<size_t>(p.shape[3]);
  for (size_t o = 0; o < static_cast<size_t>(p.shape[0]); ++o) {
    for (size_t tap = 0; tap < taps; ++tap) {
      for (size_t i = 0; i < c_in; ++i) ours[(o * taps + tap) * c_in + i] = stored[(o * c_in + i) * taps + tap];
    }
  }
  return ours;
}

}  // namespace

InceptionIdentity identify_inception(const SafetensorsFile& file) {
  InceptionIdentity id{.name = "unrecognised-inception", .hash = sha256({file.header(), file.data()})};
  const std::string source = metadata(file, "source_sha256");
  for (const KnownFile& known : kKnownFiles) {
    if (id.hash == known.hash) id.name = known.name, id.note = known.note, id.recognised = true;
  }
  if (!id.recognised && source.starts_with(kOfficialWeights)) {
    id.name = kCanonical, id.note = "converted from the official weights, sha256 " + in_quotes(source);
    id.recognised = true;
  }
  const bool averages = metadata(file, "pool_7c") == "avg";
  if (!id.recognised) {
    id.note = fmt::format(
        "unknown weights, sha256 {}, used as Inception-v3 with the {} in the pool of Mixed_7c and "
        "logits {} bias; compare its numbers with none but its own",
        id.hash, averages ? "mean" : "maximum", averages ? "with" : "without");
  }
  id.options.max_pool_in_7c = !averages;
  id.options.logits_have_bias = averages;
  id.options.complete = false;
  for (const std::string& name : file.names()) {
    if (name.starts_with("Mixed_7") || name.starts_with("fc.")) id.options.complete = true;
  }
  if (const TensorView* fc = file.find("fc.weight"); fc && fc->shape.size() == 2) id.options.classes = fc->shape[0];
  constexpr int64_t kFirstWidth = 32, kNarrowest = 2;
  if (const TensorView* first = file.find("Conv2d_1a_3x3.conv.weight"); first && first->shape.size() == 4) {
    const int64_t width = first->shape[0];
    if (width >= kNarrowest && kFirstWidth % width == 0) id.options.narrowing = kFirstWidth / width;
  }
  return id;
}

std::vector<OwnedTensor> load_inception_weights(Inception& network, const SafetensorsFile& file, DType dtype,
                                                Device device) {
  std::vector<OwnedTensor> owned;
  network.for_each_parameter([&](Parameter& p) {
    const std::vector<float> values = read_parameter(file, p);
    owned.emplace_back(p.shape, dtype, device);
    if (dtype == DType::f64) {
      const std::vector<double> wide(values.begin(), values.end());
      copy_from_host(owned.back().tensor(), wide.data());
    } else {
      copy_from_host(owned.back().tensor(), values.data());
    }
    p.value = owned.back().tensor();
    p.requires_grad = false;
  });
  return owned;
}

}  // namespace poise
