// Evaluation by several ranks (kernels/ranks/ranks.h). The ranks take turns, a chunk of images each, and compute the
// features of their share. The first rank collects all features in the order of a single process, so that its numbers
// are the same bit for bit. A failure on one rank is an Error on all of them, because all take part in the collectives.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "apps/evaluation/feature_set.h"

namespace poise {

class Ranks;

// Like collect_features, which it calls if `ranks` is null. On ranks other than the first, the set has no features.
// Returns nothing if go_on stopped it on any rank.
std::optional<FeatureSet> collect_features_together(Ranks* ranks, FeatureNetwork& network, const ImageInput& input,
                                                    const FeatureRequest& request, int64_t chunk, const GoOn& go_on);

// The first rank calls f(); all ranks return its result.
bool decided_by_first(Ranks* ranks, const std::function<bool()>& f);

}  // namespace poise
