// Which feature network a metric uses, and where its weights are. Nothing is ever downloaded.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/evaluation/feature_metric.h"
#include "kernels/core/dtype.h"

namespace poise {

// `named` if it is not "auto" (nor empty); else $POISE_INCEPTION; else the file inception.safetensors in
// $XDG_DATA_HOME/poise or ~/.local/share/poise if it is there; else "".
std::string find_inception_weights(const std::string& named);

// The same for a metric that needs them: Error(usage) if there are none.
std::string inception_weights_for(const FeatureMetric& metric, const std::string& named);

// The one network of all these metrics. Error(usage) if they are of two, or if no weights are found.
std::unique_ptr<FeatureNetwork> make_feature_network(const std::vector<FeatureMetric>& metrics,
                                                     const std::string& inception, Device device);

// Images at once: what a network takes well, and few enough for signals and progress.
int64_t chunk_of(Device device);

}  // namespace poise
