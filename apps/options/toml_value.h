// Converts a scalar of a TOML file to a Value.
#pragma once
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <optional>

#include "apps/options/options.h"

namespace poise {

// Returns nullopt for dates, times, arrays and tables.
inline std::optional<Value> value_of(const toml::node& node) {
  if (const auto* x = node.as_integer()) return Value(x->get());
  if (const auto* x = node.as_floating_point()) return Value(x->get());
  if (const auto* x = node.as_boolean()) return Value(x->get());
  if (const auto* x = node.as_string()) return Value(x->get());
  return std::nullopt;
}

}  // namespace poise
