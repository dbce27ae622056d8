#include "apps/evaluation/divided_features.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/error.h"
#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

// The messages between ranks: a letter for the kind, followed by the content.
constexpr char kFeatures = 'f', kStop = 's', kError = 'e';

// The result of f(), or the error that it threw as a message.
std::string told(const std::function<std::string()>& f) {
  try {
    return f();
  } catch (const std::exception& error) {
    return kError + std::string(error.what());
  }
}

// The messages of all ranks. Throws if one of them is an error.
std::vector<std::string> exchanged(Ranks& ranks, const std::string& mine) {
  std::vector<std::string> all = ranks.gather_texts(mine);
  for (const std::string& text : all)
    if (text[0] == kError) fail(ErrorKind::runtime, text.substr(1));
  return all;
}

std::string packed(const std::vector<FeatureRows>& all) {
  std::string text(1, kFeatures);
  for (const FeatureRows& rows : all) {
    text.append(reinterpret_cast<const char*>(rows.values.data()), rows.values.size() * sizeof(float));
  }
  return text;
}

// The inverse of packed(), for n images.
std::vector<FeatureRows> unpacked(const std::string& text, const std::vector<FeatureTap>& taps,
                                  const FeatureNetwork& network, int64_t n) {
  std::vector<FeatureRows> all;
  size_t at = 1;
  for (const FeatureTap tap : taps) {
    FeatureRows rows{.tap = tap, .dims = network.dims(tap)};
    rows.values.resize(static_cast<size_t>(n * rows.dims));
    const size_t bytes = rows.values.size() * sizeof(float);
    require(at + bytes <= text.size(), "a rank sent the features of its images");
    std::memcpy(rows.values.data(), text.data() + at, bytes);
    at += bytes;
    all.push_back(std::move(rows));
  }
  return all;
}

}  // namespace

std::optional<FeatureSet> collect_features_together(Ranks* ranks, FeatureNetwork& network, const ImageInput& input,
                                                    const FeatureRequest& request, int64_t chunk, const GoOn& go_on) {
  if (!ranks) return collect_features(network, input, request, chunk, go_on);
  FeatureCollector collector(network, input, request);
  const auto count_at = [&](int64_t first) { return std::clamp<int64_t>(input.count - first, 0, chunk); };
  std::string trouble;  // the first rank's error with the previous chunks
  for (int64_t first = 0;; first += ranks->size() * chunk) {
    const int64_t own = first + ranks->rank() * chunk, n = count_at(own);
    const auto mine = [&] {
      if (!trouble.empty()) return trouble;
      if (first > 0 && !go_on(std::min(first, input.count))) return std::string(1, kStop);
      return packed(n > 0 ? collector.features(own, n) : std::vector<FeatureRows>());
    };
    const std::vector<std::string> all = exchanged(*ranks, told(mine));
    if (std::any_of(all.begin(), all.end(), [](const std::string& text) { return text[0] == kStop; }))
      return std::nullopt;
    if (first >= input.count) break;
    if (!ranks->is_first()) continue;
    trouble = told([&] {
      for (int r = 0; r < ranks->size(); ++r) {
        const int64_t count = count_at(first + r * chunk);
        if (count > 0) collector.add(unpacked(all[static_cast<size_t>(r)], collector.taps(), network, count));
      }
      return std::string();
    });
  }
  return ranks->is_first() ? collector.take() : FeatureSet{.protocol = input.protocol};
}

bool decided_by_first(Ranks* ranks, const std::function<bool()>& f) {
  if (!ranks) return f();
  const auto answer = [&] { return std::string(1, !ranks->is_first() || f() ? '+' : '-'); };
  return exchanged(*ranks, told(answer))[0] == "+";
}

}  // namespace poise
