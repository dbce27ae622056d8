#include "apps/evaluation/networks.h"

#include <algorithm>
#include <cstdlib>

#include "apps/evaluation/inception_network.h"
#include "apps/evaluation/random_network.h"
#include "engine/io/system_file.h"
#include "engine/io/user_path.h"

namespace poise {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Divides chunk_of(device).
int64_t inception_batch(Device device) { return device == Device::cuda ? 200 : device == Device::cpu ? 20 : 1; }

}  // namespace

std::string find_inception_weights(const std::string& named) {
  if (!named.empty() && named != "auto") return expand_home(named);
  if (const std::string path = environment("POISE_INCEPTION"); !path.empty() && path != "auto")
    return expand_home(path);
  std::string folder = environment("XDG_DATA_HOME");
  if (folder.empty()) folder = environment("HOME") + "/.local/share";
  const std::string path = folder + "/poise/inception.safetensors";
  return is_regular_file(path) ? path : "";
}

std::string inception_weights_for(const FeatureMetric& metric, const std::string& named) {
  const std::string path = find_inception_weights(named);
  if (path.empty()) {
    fail(ErrorKind::usage,
         metric.name +
             " needs the weights of Inception, which do not come with Poise; name them with "
             "--inception FILE (apps/README.md, \"Evaluation\"), or use frechet-random, which needs none");
  }
  return path;
}

std::unique_ptr<FeatureNetwork> make_feature_network(const std::vector<FeatureMetric>& metrics,
                                                     const std::string& inception, Device device) {
  require(!metrics.empty(), "a network for at least one metric");
  const bool random = metrics[0].random;
  for (const FeatureMetric& metric : metrics) {
    if (metric.random == random) continue;
    fail(ErrorKind::usage,
         metrics[0].name + " and " + metric.name + " use different networks; ask for them one by one");
  }
  if (random) return std::make_unique<RandomFeatureNetwork>(device);
  auto network =
      std::make_unique<InceptionNetwork>(inception_weights_for(metrics[0], inception),
                                         InceptionNetworkOptions{.device = device, .batch = inception_batch(device)});
  for (const FeatureMetric& metric : metrics) check_metric(metric, *network);
  return network;
}

int64_t chunk_of(Device device) { return device == Device::cuda ? 2000 : kBatchNormBatch; }

}  // namespace poise
