// Inception-v3 features of images (models/inception.h), for FID, IS, KID and precision/recall.
#pragma once
#include <memory>

#include "apps/evaluation/feature_network.h"
#include "kernels/core/context.h"
#include "kernels/gpu/runtime.h"
#include "models/inception_weights.h"

namespace poise {

struct InceptionNetworkOptions {
  Device device = Device::cpu;
  // Published values use f32. bf16 changes features by about one per cent, so it is refused unless allow_bf16.
  Precision precision = Precision::fp32;
  bool allow_bf16 = false;
  int64_t batch = 0;  // images at once; 0: a default for the device
};

// Images are enlarged on the device (kernels/dense/space/resize_bilinear.h) and processed in batches of a fixed size.
// The last batch of a call is filled up with black images, so that an image's features do not depend on how many images
// come with it. Calls with a multiple of batch() images waste nothing.
class InceptionNetwork : public FeatureNetwork {
 public:
  // Error(checkpoint) if the file is missing, damaged or for another network; Error(usage) for bf16; Error(environment)
  // if the device is not available.
  explicit InceptionNetwork(const std::string& weights_path, const InceptionNetworkOptions& options = {});
  ~InceptionNetwork() override;

  std::string name() const override { return identity_.name; }
  std::string hash() const override { return identity_.hash; }
  std::string resize() const override { return "tf1-bilinear-299"; }
  std::vector<FeatureTap> taps() const override;
  int64_t dims(FeatureTap tap) const override;
  std::vector<FeatureRows> features(const std::vector<FeatureTap>& wanted, std::span<const uint8_t> images,
                                    int64_t count, int64_t h, int64_t w) override;

  // What a program should tell its user about the weights: whether they are recognised, and how the name was found.
  const InceptionIdentity& identity() const { return identity_; }
  int64_t batch() const { return batch_; }
  size_t arena_bytes() const;          // for a batch
  void set_profile(Profile* profile);  // null: do not measure

 private:
  struct Machine;
  InceptionIdentity identity_;
  int64_t batch_;
  std::unique_ptr<Machine> machine_;
};

}  // namespace poise
