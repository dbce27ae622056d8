// A set of images on its way to a metric: where it comes from, and what a feature network makes of it.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "apps/evaluation/feature_network.h"
#include "data/image_set.h"
#include "engine/io/jsonl.h"
#include "engine/metrics/moments.h"

namespace poise {

// What must stand beside a number for it to be comparable with another (apps/README.md, "Evaluation").
struct SetProtocol {
  std::string source;             // file or folder, with the iteration of a checkpoint
  std::string dataset;            // "cifar10"; "" if generated or unknown
  std::string split;              // "train", "test", "file", "generated"; "unknown" for statistics of other tools
  int64_t images = 0;             // 0: unknown
  int64_t height = 0, width = 0;  // of each image; 0: unknown
  std::string image_resize;       // how pictures became this size: "none", or the filter's name; "": unknown
  std::string data_crc;           // of all pixels and labels of the set; "" if generated or unknown
  std::string weights;            // of generated images: "ema" or "live"
  std::string batch_norm;         // "batch" (statistics of each batch of kBatchNormBatch) or "running" (recalibrated)
  std::string quantisation;       // of G's output to bytes: "truncate" or "round"
  int64_t seed = 0;               // latents are those of seeds seed, seed + 1, ..

  std::vector<JsonField> fields(const std::string& prefix) const;  // those that have a meaning
};

// Error(usage) unless both sets have images of one size, as far as they say: the same pictures at another size, or
// resized on another way, give other numbers.
void check_same_size(const SetProtocol& images, const SetProtocol& reference);

// Batches in which G makes images for metrics: its batch norm sees so many at once, as in the paper's code.
constexpr int64_t kBatchNormBatch = 100;

struct ImageInput {
  SetProtocol protocol;
  int64_t count = 0, height = 0, width = 0;
  std::function<std::vector<uint8_t>(int64_t first, int64_t n)> read;  // [n,height,width,3]
};

// `count` images spread evenly over the set, which must outlive the input; 0: all.
ImageInput input_of(const ImageSet& set, const std::string& split, int64_t count);

struct FeatureRequest {
  std::vector<FeatureTap> moments;  // whose mean and covariance are wanted
  std::vector<FeatureTap> rows;     // whose features are kept: logits for IS, features for KID, precision and recall
};

struct FeatureSet {
  SetProtocol protocol;
  std::map<FeatureTap, Moments> moments;
  std::map<FeatureTap, std::vector<float>> rows;  // [images, dims]
};

// Makes a FeatureSet of features that come bit by bit.
class FeatureCollector {
 public:
  // All of them stay.
  FeatureCollector(FeatureNetwork& network, const ImageInput& input, const FeatureRequest& request);

  const std::vector<FeatureTap>& taps() const { return taps_; }  // that are wanted
  std::vector<FeatureRows> features(int64_t first, int64_t n);   // of the input's images
  void add(const std::vector<FeatureRows>& rows);                // in the order of the images
  FeatureSet take();

 private:
  FeatureNetwork& network_;
  const ImageInput& input_;
  const FeatureRequest request_;
  std::vector<FeatureTap> taps_;
  std::map<FeatureTap, MomentAccumulator> moments_;
  FeatureSet set_;
};

// Told after each few images how many are done; returns false to stop.
using GoOn = std::function<bool(int64_t done)>;

// Nothing if go_on ended it. Reads and computes `chunk` images at a time, a multiple of kBatchNormBatch.
std::optional<FeatureSet> collect_features(FeatureNetwork& network, const ImageInput& input,
                                           const FeatureRequest& request, int64_t chunk, const GoOn& go_on);

// Moments as .npz: mu [dims], sigma [dims,dims] in float64 as other tools write them, and, of ours, `protocol`, a JSON
// object that says of which images and which network they are.
struct FeatureStatistics {
  Moments moments;
  SetProtocol protocol;
  std::string network, hash, resize;  // "" in files of other tools
  std::string path = {};              // of the file, once read; protocol.source is what it was made of
};
void write_statistics(const std::string& path, const FeatureStatistics& statistics);
// Error(data) for anything that is not a mean and a finite covariance that fits it: symmetric, without negative variances
// and with no covariance beyond what its variances allow.
FeatureStatistics read_statistics(const std::string& path);

}  // namespace poise
