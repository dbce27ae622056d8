// Access to a field of Settings: reads, checks and writes its value in the same way for every C++ type. Nothing here
// throws: set() returns false.
#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "apps/options/settings.h"

namespace poise {

using Value = std::variant<int64_t, double, bool, std::string>;

struct Field {
  enum class Type : uint8_t { integer, real, boolean, text };
  Type type = Type::text;
  std::vector<std::string> choices;  // for an enum, all its values
  std::string form;                  // for a type that is written as text, the expected format
  Value (*get)(const Settings&) = nullptr;
  bool (*set)(Settings&, const Value&) = nullptr;  // false, without a change, if the value is invalid for the field
};

// How a type is represented as a Value.
template <class T>
struct Written {  // as itself: an integer, a real number, a boolean, text
  static constexpr Field::Type type = std::is_same_v<T, int64_t>  ? Field::Type::integer
                                      : std::is_same_v<T, double> ? Field::Type::real
                                      : std::is_same_v<T, bool>   ? Field::Type::boolean
                                                                  : Field::Type::text;
  static std::vector<std::string> choices() { return {}; }
  static std::string form() { return ""; }
  static Value value(const T& x) { return x; }
  static std::optional<T> read(const Value& value) {
    if (const T* x = std::get_if<T>(&value)) return *x;
    if constexpr (std::is_same_v<T, double>) {  // "adam_beta1 = 0" is also a real number
      if (const int64_t* x = std::get_if<int64_t>(&value)) return static_cast<double>(*x);
    }
    return std::nullopt;
  }
};

template <HasNames E>
struct Written<E> {  // as a name
  static constexpr Field::Type type = Field::Type::text;
  static std::vector<std::string> choices() { return names_of<E>(); }
  static std::string form() { return ""; }
  static Value value(E x) { return std::string(name_of(x)); }
  static std::optional<E> read(const Value& value) {
    const std::string* text = std::get_if<std::string>(&value);
    return text ? named<E>(*text) : std::nullopt;
  }
};

template <HasNames E>
struct Written<std::optional<E>> {  // as a name, or "auto"
  static constexpr Field::Type type = Field::Type::text;
  static std::vector<std::string> choices() {
    std::vector<std::string> names = names_of<E>();
    names.insert(names.begin(), "auto");
    return names;
  }
  static std::string form() { return ""; }
  static Value value(const std::optional<E>& x) { return std::string(x ? name_of(*x) : "auto"); }
  static std::optional<std::optional<E>> read(const Value& value) {
    const std::string* text = std::get_if<std::string>(&value);
    if (!text) return std::nullopt;
    if (*text == "auto") return std::optional<E>();
    const std::optional<E> x = named<E>(*text);
    return x ? std::optional(x) : std::nullopt;
  }
};

template <>
struct Written<Cell> {
  static constexpr Field::Type type = Field::Type::text;
  static std::vector<std::string> choices() { return {}; }
  static std::string form() { return "a form like 1x1, 16x16 or 16x16-all-taps"; }
  static Value value(const Cell& x) { return to_string(x); }
  static std::optional<Cell> read(const Value& value) {
    const std::string* text = std::get_if<std::string>(&value);
    return text ? cell_of(*text) : std::nullopt;
  }
};

template <>
struct Written<DiffAugmentOptions> {
  static constexpr Field::Type type = Field::Type::text;
  static std::vector<std::string> choices() { return {}; }
  static std::string form() { return "none, or some of color,translation,cutout,"; }
  static Value value(const DiffAugmentOptions& x) { return to_string(x); }
  static std::optional<DiffAugmentOptions> read(const Value& value) {
    const std::string* text = std::get_if<std::string>(&value);
    return text ? diff_augment_of(*text) : std::nullopt;
  }
};

// `At`: a lambda without captures that maps Settings, const or not, to the field.
template <class At>
Field field_at(At) {
  using T = std::decay_t<decltype(At{}(std::declval<Settings&>()))>;
  return {.type = Written<T>::type,
          .choices = Written<T>::choices(),
          .form = Written<T>::form(),
          .get = [](const Settings& settings) { return Written<T>::value(At{}(settings)); },
          .set =
              [](Settings& settings, const Value& value) {
                const std::optional<T> x = Written<T>::read(value);
                if (x) At{}(settings) = *x;
                return x.has_value();
              }};
}

}  // namespace poise
