// A network that turns images into the features that FID, IS, KID and precision/recall compare (evaluate_gan). Which
// network, which weights and how images were enlarged affect every value, so each network reports them.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace poise {

// Where features are taken: spatial averages of the first and second max pool, Mixed_6e and the last block, named by
// their dimension in Inception-v3; and class logits.
enum class FeatureTap : uint8_t { pool64, pool192, pool768, pool2048, logits };

struct FeatureRows {
  FeatureTap tap = FeatureTap::pool2048;
  int64_t dims = 0;
  std::vector<float> values;  // [count, dims]
};

class FeatureNetwork {
 public:
  virtual ~FeatureNetwork() = default;
  virtual std::string name() const = 0;    // "inception-2015-12-05", "iv3q", "random-features"
  virtual std::string hash() const = 0;    // sha256 of the weights file, or of its equivalent
  virtual std::string resize() const = 0;  // "tf1-bilinear-299"
  virtual std::vector<FeatureTap> taps() const = 0;
  virtual int64_t dims(FeatureTap tap) const = 0;
  // images: u8 [count,h,w,3] on the host. `wanted` must be among taps(). Rows are in the order of the images, and are
  // the same bit for bit however the images are split into calls.
  virtual std::vector<FeatureRows> features(const std::vector<FeatureTap>& wanted, std::span<const uint8_t> images,
                                            int64_t count, int64_t h, int64_t w) = 0;
};

}  // namespace poise
