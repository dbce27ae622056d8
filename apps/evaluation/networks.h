// Which feature network a metric uses, and where its weights are. Nothing is ever downloaded.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/evaluation/feature_metric.h"
#include "kernels/core/dtype.h"

namespace poise {

// `named` unless it is "auto" or empty; else $POISE_INCEPTION; else the file inception.safetensors in
// $XDG_DATA_HOME/poise or ~/.local/share/poise if it exists; else "".
std::string find_inception_weights(const std::string& named);

// The same for a metric that needs the weights: Error(usage) if there are none.
std::string inception_weights_for(const FeatureMetric& metric, const std::string& named);

// The network that all these metrics share. Error(usage) if they need two different ones, or if no weights are found.
std::unique_ptr<FeatureNetwork> make_feature_network(const std::vector<FeatureMetric>& metrics,
                                                     const std::string& inception, Device device);

// Images per chunk: enough for an efficient pass, but few enough to handle signals and show progress in between.
int64_t chunk_of(Device device);

}  // namespace poise
