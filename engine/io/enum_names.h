// The names of the values of an enum in options, checkpoints and reports. They are written once, next to the enum:
//
//   template <>
//   struct EnumNames<Growth> {
//     static constexpr NamedValue<Growth> all[] = {{Growth::gradient, "gradient"}, {Growth::random, "random"}};
//   };
//
// and used everywhere through name_of(value), named<Growth>("random") and names_of<Growth>().
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace poise {

template <class E>
struct NamedValue {
  E value;
  const char* name;
};

template <class E>
struct EnumNames;

template <class E>
concept HasNames = requires {
  EnumNames<E>::all;
};

template <HasNames E>
constexpr const char* name_of(E value) {
  for (const NamedValue<E>& entry : EnumNames<E>::all)
    if (entry.value == value) return entry.name;
  return "?";
}

// nullopt if no value has this name.
template <HasNames E>
std::optional<E> named(const std::string& name) {
  for (const NamedValue<E>& entry : EnumNames<E>::all)
    if (name == entry.name) return entry.value;
  return std::nullopt;
}

template <HasNames E>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (const NamedValue<E>& entry : EnumNames<E>::all) names.emplace_back(entry.name);
  return names;
}

}  // namespace poise
