// A scalar of a TOML file as a value of ours.
#pragma once
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <optional>

#include "apps/options/options.h"

namespace poise {

// nullopt for dates, arrays and tables.
inline std::optional<Value> value_of(const toml::node& node) {
  if (const auto* x = node.as_integer()) return Value(x->get());
  if (const auto* x = node.as_floating_point()) return Value(x->get());
  if (const auto* x = node.as_boolean()) return Value(x->get());
  if (const auto* x = node.as_string()) return Value(x->get());
  return std::nullopt;
}

}  // namespace poise
