// A set of images as a metric sees it: where the images come from, and their features.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "apps/evaluation/feature_network.h"
#include "data/image_set.h"
#include "engine/io/jsonl.h"
#include "engine/metrics/moments.h"

namespace poise {

// What must be reported with a value to make it comparable with another (apps/README.md, "Evaluation").
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
  int64_t seed = 0;               // the latents have the seeds seed, seed + 1, ...

  std::vector<JsonField> fields(const std::string& prefix) const;  // only those that apply
};

// Error(usage) if both sets state their image size and the sizes differ: the same pictures at another size give other
// values.
void check_same_size(const SetProtocol& images, const SetProtocol& reference);

// Batch size with which G makes images for metrics, and thus the batch size of its batch norm. As in the paper's code.
constexpr int64_t kBatchNormBatch = 100;

struct ImageInput {
  SetProtocol protocol;
  int64_t count = 0, height = 0, width = 0;
  std::function<std::vector<uint8_t>(int64_t first, int64_t n)> read;  // [n,height,width,3]
};

// `count` images spread evenly over the set, which must outlive the input; 0: all.
ImageInput input_of(const ImageSet& set, const std::string& split, int64_t count);

struct FeatureRequest {
  std::vector<FeatureTap> moments;  // whose mean and covariance are computed
  std::vector<FeatureTap> rows;     // whose features are kept: logits for IS, features for KID, precision and recall
};

struct FeatureSet {
  SetProtocol protocol;
  std::map<FeatureTap, Moments> moments;
  std::map<FeatureTap, std::vector<float>> rows;  // [images, dims]
};

// Builds a FeatureSet from features that arrive chunk by chunk.
class FeatureCollector {
 public:
  // The network and the input must outlive the collector.
  FeatureCollector(FeatureNetwork& network, const ImageInput& input, const FeatureRequest& request);

  const std::vector<FeatureTap>& taps() const { return taps_; }  // all that are requested
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

// Called after every chunk with the number of images done so far; returns false to stop.
using GoOn = std::function<bool(int64_t done)>;

// Reads and processes `chunk` images at a time, a multiple of kBatchNormBatch. Returns nothing if go_on stopped it.
std::optional<FeatureSet> collect_features(FeatureNetwork& network, const ImageInput& input,
                                           const FeatureRequest& request, int64_t chunk, const GoOn& go_on);

// Moments as .npz: mu [dims] and sigma [dims,dims] in float64, as other tools write them, and our own `protocol`, a
// JSON object that says which images and which network they come from.
struct FeatureStatistics {
  Moments moments;
  SetProtocol protocol;
  std::string network, hash, resize;  // "" in files of other tools
  std::string path = {};              // of the file, once read; protocol.source names the images
};
void write_statistics(const std::string& path, const FeatureStatistics& statistics);
// Error(data) unless the file has a mean and a matching covariance matrix that is finite and symmetric, without
// negative variances or eigenvalues, and without covariances beyond what the variances allow.
FeatureStatistics read_statistics(const std::string& path);

}  // namespace poise
