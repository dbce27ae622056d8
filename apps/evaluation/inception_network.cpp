#include "apps/evaluation/inception_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/tape/planning.h"

namespace poise {
namespace {

constexpr int64_t kSide = 299, kChannels = 3;

// On the CPU, enough images to amortise the layout change of the weights; on a GPU, enough to fill the device.
int64_t batch_of(const InceptionNetworkOptions& o) {
  if (o.batch > 0) return o.batch;
  return o.device == Device::cuda ? 128 : o.device == Device::cpu ? 16 : 1;
}

InceptionTap inception_tap(FeatureTap tap) {
  switch (tap) {
    case FeatureTap::pool64:
      return InceptionTap::pool64;
    case FeatureTap::pool192:
      return InceptionTap::pool192;
    case FeatureTap::pool768:
      return InceptionTap::pool768;
    case FeatureTap::pool2048:
      return InceptionTap::pool2048;
    case FeatureTap::logits:
      return InceptionTap::logits;
  }
  fail(ErrorKind::usage, "Inception-v3 has no such tap");
}

}  // namespace

// The network with its weights on the device, and the buffers of a pass.
struct InceptionNetwork::Machine {
  Inception network;
  std::vector<OwnedTensor> weights;
  std::unique_ptr<gpu::Stream> stream;
  Context ctx;
  std::unique_ptr<Arena> arena;
  OwnedTensor images;  // u8 [batch,h,w,3]
  std::vector<uint8_t> staged;

  Machine(const SafetensorsFile& file, const InceptionIdentity& identity, const InceptionNetworkOptions& o)
      : network(identity.options), weights(load_inception_weights(network, file, DType::f32, o.device)) {
    if (o.device != Device::cpu) stream = gpu::runtime(o.device).make_stream();
    ctx = {.device = o.device, .precision = o.precision, .kernels = &kernels_of(o.device), .stream = stream.get()};
  }

  std::array<Var, kInceptionTaps> run(Tape& tape, const Tensor& small, InceptionTap last) {
    Tensor x = tape.alloc({small.shape[0], kSide, kSide, kChannels}, activation_dtype(ctx.precision));
    tape.launch({.op = "resize_bilinear",
                 .pass = Pass::forward,
                 .bytes = static_cast<double>(small.size_bytes() + x.size_bytes())},
                tape.ctx.kernels->resize_bilinear, small, x);
    return network(tape.constant(x), last);
  }

  // Allocates the arena for this batch size. It does not depend on the size of the input images.
  void allocate(int64_t batch) {
    const size_t bytes = arena_bytes_of(ctx, [&](Context& planning) {
      Tape tape(planning);
      const Tape::NoGrad no_grad(tape);
      const Tensor none{.shape = {batch, 1, 1, kChannels}, .dtype = DType::u8, .device = ctx.device};
      run(tape, none, network.last_tap());
    });
    arena = std::make_unique<Arena>(bytes, ctx.device);
    ctx.arena = arena.get();
  }

  // Copies up to a batch of images to the device and fills the batch up with black ones.
  void load(const uint8_t* from, int64_t count, const Shape& batch_shape) {
    if (!images || !(images.tensor().shape == batch_shape)) images = OwnedTensor(batch_shape, DType::u8, ctx.device);
    staged.assign(static_cast<size_t>(batch_shape.elements()), 0);
    std::copy_n(from, count * (batch_shape.elements() / batch_shape[0]), staged.begin());
    copy_from_host(images.tensor(), staged.data());
  }
};

InceptionNetwork::InceptionNetwork(const std::string& weights_path, const InceptionNetworkOptions& options)
    : batch_(batch_of(options)) {
  if (options.precision == Precision::bf16 && !options.allow_bf16) {
    fail(ErrorKind::usage,
         "features for metrics are computed in fp32: bf16 would move every FID and IS; ask for it explicitly, or use "
         "--precision fp32");
  }
  const SafetensorsFile file = SafetensorsFile::read(weights_path);
  identity_ = identify_inception(file);
  machine_ = std::make_unique<Machine>(file, identity_, options);
  machine_->allocate(batch_);
}

InceptionNetwork::~InceptionNetwork() = default;

std::vector<FeatureTap> InceptionNetwork::taps() const {
  if (!identity_.options.complete) return {FeatureTap::pool64, FeatureTap::pool192, FeatureTap::pool768};
  return {FeatureTap::pool64, FeatureTap::pool192, FeatureTap::pool768, FeatureTap::pool2048, FeatureTap::logits};
}

int64_t InceptionNetwork::dims(FeatureTap tap) const { return machine_->network.dims(inception_tap(tap)); }

size_t InceptionNetwork::arena_bytes() const { return machine_->arena->capacity(); }

void InceptionNetwork::set_profile(Profile* profile) { machine_->ctx.profile = profile; }

std::vector<FeatureRows> InceptionNetwork::features(const std::vector<FeatureTap>& wanted,
                                                    std::span<const uint8_t> images, int64_t count, int64_t h,
                                                    int64_t w) {
  const int64_t image_bytes = h * w * kChannels;
  if (count < 0 || h < 1 || w < 1 || static_cast<int64_t>(images.size()) != count * image_bytes) {
    fail(ErrorKind::usage,
         fmt::format("{} expects {} images of {}x{}x3 bytes but got {} bytes", name(), count, h, w, images.size()));
  }
  InceptionTap last = InceptionTap::pool64;
  std::vector<FeatureRows> rows;
  for (const FeatureTap tap : wanted) {
    if (inception_tap(tap) > machine_->network.last_tap()) {
      fail(ErrorKind::usage, fmt::format("{} ({}) ends with Mixed_6e and has features of 64, 192 and 768 dimensions "
                                         "only; FID-2048 and IS need complete weights",
                                         name(), identity_.note));
    }
    last = std::max(last, inception_tap(tap));
    rows.push_back({.tap = tap, .dims = dims(tap)});
    rows.back().values.resize(static_cast<size_t>(count * rows.back().dims));
  }
  std::vector<float> copied;
  for (int64_t first = 0; first < count && !rows.empty(); first += batch_) {
    const int64_t n = std::min(batch_, count - first);
    machine_->load(images.data() + first * image_bytes, n, {batch_, h, w, kChannels});
    machine_->arena->reset();
    Tape tape(machine_->ctx);
    const Tape::NoGrad no_grad(tape);
    const std::array<Var, kInceptionTaps> taps = machine_->run(tape, machine_->images.tensor(), last);
    for (FeatureRows& row : rows) {
      const Tensor& values = taps[static_cast<size_t>(inception_tap(row.tap))].value();
      copied.resize(static_cast<size_t>(values.elements()));
      copy_to_host(copied.data(), values);
      std::copy_n(copied.begin(), n * row.dims, row.values.begin() + first * row.dims);
    }
  }
  return rows;
}

}  // namespace poise
