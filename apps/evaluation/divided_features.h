// An evaluation by several ranks (kernels/ranks/ranks.h): each makes images and their features for its share, in turns of
// a chunk, and the first has them all in the order in which a process alone would, so that its numbers have the same
// bits. What goes wrong on one rank is an Error on all of them, as the collectives of these functions are of all.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "apps/evaluation/feature_set.h"

namespace poise {

class Ranks;

// As collect_features, which a null pointer means. On ranks other than the first the set has no features. Nothing if
// go_on ended it on any rank.
std::optional<FeatureSet> collect_features_together(Ranks* ranks, FeatureNetwork& network, const ImageInput& input,
                                                    const FeatureRequest& request, int64_t chunk, const GoOn& go_on);

// f() of the first rank, on all of them.
bool decided_by_first(Ranks* ranks, const std::function<bool()>& f);

}  // namespace poise
