// Features for machines without any trained network: three convolutions with fixed random weights,
//
//   conv 3x3 3->32, ReLU, pool 2x2;  conv 3x3 32->64, ReLU [pool64], pool 2x2;  conv 3x3 64->192, ReLU [pool192]
//
// each tap averaged over space. The Fréchet distance of these features reflects colours, edges and textures at three
// scales. It falls as a generator learns and compares runs of Poise on the same data. It is not FID and not called so.
#pragma once
#include <memory>

#include "apps/evaluation/feature_network.h"
#include "kernels/core/dtype.h"

namespace poise {

class RandomFeatureNetwork : public FeatureNetwork {
 public:
  explicit RandomFeatureNetwork(Device device = Device::cpu);
  ~RandomFeatureNetwork() override;

  std::string name() const override { return "random-features"; }
  std::string hash() const override;  // sha256 over the weights
  std::string resize() const override { return "none"; }
  std::vector<FeatureTap> taps() const override { return {FeatureTap::pool64, FeatureTap::pool192}; }
  int64_t dims(FeatureTap tap) const override;
  // Error(data) unless height and width are multiples of 4.
  std::vector<FeatureRows> features(const std::vector<FeatureTap>& wanted, std::span<const uint8_t> images,
                                    int64_t count, int64_t h, int64_t w) override;

 private:
  struct Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace poise
