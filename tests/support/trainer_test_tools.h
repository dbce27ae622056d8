// For tests of the Trainer: options from text, images to train on, and the whole state of a trainer as bytes.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "apps/training/sparse_methods.h"
#include "apps/training/trainer.h"

namespace poise::test {

using OptionTexts = std::map<std::string, std::string>;  // value by key

// Options as a program would read them from a file; problems() reports any that are not valid.
inline OptionSet options_of(const OptionTexts& texts) {
  OptionSet options;
  for (const auto& [key, value] : texts) options.set_text(key, value, "test");
  complete_options(options);
  return options;
}

// Settings from `texts`, overridden and extended by `more`. Throws if an option is not valid.
inline Settings settings_of(OptionTexts texts, const OptionTexts& more = {}) {
  for (const auto& [key, value] : more) texts[key] = value;
  const OptionSet options = options_of(texts);
  options.throw_if_problems();
  return options.settings();
}

// Images of 32x32. Each byte is taken from its own random number: eight bits, starting at `lowest_bit`.
inline ImageSet noise_images(int lowest_bit = 24, int64_t count = 40) {
  ImageSet set{.name = "noise", .count = count, .height = 32, .width = 32, .channels = 3};
  set.pixels.resize(static_cast<size_t>(set.count * 32 * 32 * 3));
  for (size_t i = 0; i < set.pixels.size(); ++i) {
    const uint32_t random = philox4x32(1, i, static_cast<uint32_t>(RandomStream::test), 0).x[0];
    set.pixels[i] = static_cast<uint8_t>(random >> lowest_bit);
  }
  return set;
}

using State = std::map<std::string, std::vector<char>>;  // bytes by name

inline State state_of(Trainer& trainer) {
  State state;
  for (const NamedTensor& t : trainer.state()) {
    std::vector<char>& bytes = state[t.name];
    bytes.resize(t.tensor.size_bytes());
    copy_to_host(bytes.data(), t.tensor);
  }
  return state;
}

// Expects `state` to contain every tensor of the trainer.
inline void write_state(Trainer& trainer, const State& state, const StepState& step) {
  for (const NamedTensor& t : trainer.state()) copy_from_host(t.tensor, state.at(t.name).data());
  trainer.set_step_state(step);
}

// The names that are in both states and whose bytes differ.
inline std::vector<std::string> differences_in_common(const State& a, const State& b) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : a) {
    const auto found = b.find(name);
    if (found != b.end() && found->second != bytes) names.push_back(name);
  }
  return names;
}

// The same, and the names that are in only one of the states.
inline std::vector<std::string> differences(const State& a, const State& b) {
  std::vector<std::string> names = differences_in_common(a, b);
  for (const auto& [x, y] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    for (const auto& [name, bytes] : *x) {
      if (!y->contains(name)) names.push_back(name);
    }
  }
  return names;
}

}  // namespace poise::test
