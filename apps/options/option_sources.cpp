#include "apps/options/option_sources.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "apps/console/program.h"
#include "apps/console/suggestion.h"
#include "apps/options/toml_value.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"
#include "engine/io/user_path.h"

namespace poise {
namespace {

constexpr std::string_view kSuffix = ".toml";

std::vector<std::string> preset_folders() {
  std::vector<std::string> folders;
  if (const char* own = std::getenv("POISE_PRESETS"); own && *own) folders.push_back(expand_home(own));
  folders.push_back(shared_folder("presets", POISE_PRESET_DIR));
  return folders;
}

std::vector<std::string> groups() {
  std::vector<std::string> names;
  for (const Option& option : option_table()) {
    if (names.empty() || names.back() != option.group) names.push_back(option.group);
  }
  return names;
}

// A configuration has a few hundred bytes; the limit keeps a wrong path (a data file) from filling memory.
constexpr size_t kLargestFile = 1 << 20;

std::optional<std::string> read_text(const std::string& path, OptionSet& options) {
  const auto complain = [&](const char* what) { options.add_problem("cannot read " + path + ": " + what); };
  const PathKind kind = kind_of_path(path);
  if (kind == PathKind::nothing) return complain("No such file or directory"), std::nullopt;
  if (kind == PathKind::folder) return complain("it is a folder, a TOML file was expected"), std::nullopt;
  auto text = read_short_text(path, kLargestFile);
  if (!text) complain("not a configuration file (larger than 1 MiB)");
  return text;
}

void read_table(const std::string& group, const toml::table& table, const std::string& origin, OptionSet& options) {
  for (const auto& [toml_key, node] : table) {
    const std::string key(toml_key.str());
    const std::string where = origin + ", line " + std::to_string(node.source().begin.line);
    const Option* option = find_option(key);
    const auto value = value_of(node);
    if (!option) {
      options.set(key, Value(), where);  // adds the problem "unknown option"
    } else if (option->group != group) {
      options.add_problem(key + ": belongs in [" + option->group + "] but is in [" + group + "] [" + where + "]");
    } else if (!value) {
      options.add_problem(key + ": expected " + option->expected() + " but got an array, a table or a date [" + where +
                          "]");
    } else {
      options.set(key, *value, where);
    }
  }
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const std::string& folder : preset_folders()) {
    for (const std::string& name : names_in_folder_if_exists(folder)) {
      if (name.ends_with(kSuffix)) names.push_back(name.substr(0, name.size() - kSuffix.size()));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string find_preset(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) return "";
  for (const std::string& folder : preset_folders()) {
    const std::string path = join_path(folder, name) + std::string(kSuffix);
    if (is_regular_file(path)) return path;
  }
  return "";
}

namespace {

// The presets that are being read, each of which is the base of the previous one.
using Bases = std::vector<std::string>;
void read_file(const std::string& path, const std::string& origin, const Bases& above, OptionSet& options);

void read_preset(const std::string& name, const Bases& above, OptionSet& options) {
  const std::string path = find_preset(name);
  if (!path.empty()) {
    Bases with = above;
    with.push_back(name);
    return read_file(path, "preset " + name, with, options);
  }
  const auto names = preset_names();
  const std::string known = names.empty() ? "there are none" : "known: " + join_alternatives(names);
  const std::string hint = name.find('/') != std::string::npos ? "; a file is given with --config" : "";
  options.add_problem("unknown preset \"" + name + "\"" + did_you_mean(name, names) + "; " + known + hint);
}

void read_base(const toml::node& node, const std::string& where, const Bases& above, OptionSet& options) {
  const auto* name = node.as_string();
  if (!name) return options.add_problem("base: expected the name of a preset [" + where + "]");
  if (std::find(above.begin(), above.end(), name->get()) != above.end()) {
    return options.add_problem("base: preset " + name->get() + " would be its own base [" + where + "]");
  }
  read_preset(name->get(), above, options);
}

void read_file(const std::string& path, const std::string& origin, const Bases& above, OptionSet& options) {
  const auto text = read_text(path, options);
  if (!text) return;
  toml::table root;
  try {
    root = toml::parse(*text, path);
  } catch (const toml::parse_error& error) {
    return options.add_problem(path + ", line " + std::to_string(error.source().begin.line) +
                               ": not TOML: " + std::string(error.description()));
  }
  const auto line_of = [&](const toml::node& node) {
    return origin + ", line " + std::to_string(node.source().begin.line);
  };
  if (const toml::node* base = root.get("base")) read_base(*base, line_of(*base), above, options);
  for (const auto& [toml_key, node] : root) {
    const std::string key(toml_key.str());
    const std::string where = line_of(node);
    const auto names = groups();
    const bool known = std::find(names.begin(), names.end(), key) != names.end();
    const Option* option = find_option(key);
    if (key == "base") continue;
    if (known && node.is_table()) {
      read_table(key, *node.as_table(), origin, options);
    } else if (node.is_table()) {
      options.add_problem("unknown table [" + key + "]" + did_you_mean(key, names) + " [" + where + "]");
    } else if (option) {
      options.add_problem(key + ": belongs in [" + option->group + "] but is before any table [" + where + "]");
    } else {
      options.add_problem("unknown option " + key + did_you_mean(key, option_keys()) + " [" + where + "]");
    }
  }
}

}  // namespace

void read_options_preset(const std::string& name, OptionSet& options) { read_preset(name, {}, options); }

void read_options_file(const std::string& path, const std::string& origin, OptionSet& options) {
  read_file(expand_home(path), origin, {}, options);
}

void read_options_environment(const char* const* environment, OptionSet& options, std::optional<OnResume> skip) {
  const std::vector<std::string> no_options = {
      "POISE_PRESETS", "POISE_CACHE", "POISE_SYNC",          "POISE_EMULATOR_SEED",
      "POISE_CIFAR10", "POISE_STL10", "POISE_TINY_IMAGENET", "POISE_INCEPTION_WEIGHTS"};
  std::vector<std::string> known = no_options;
  for (const Option& option : option_table()) known.push_back(option.environment());
  for (; environment && *environment; ++environment) {
    const std::string entry = *environment;
    const size_t equals = entry.find('=');
    if (!entry.starts_with("POISE_") || equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    if (std::find(no_options.begin(), no_options.end(), name) != no_options.end()) continue;
    const auto& table = option_table();
    const auto option =
        std::find_if(table.begin(), table.end(), [&](const Option& o) { return o.environment() == name; });
    if (option == table.end()) {
      options.add_problem("unknown environment variable " + name + did_you_mean(name, known) +
                          "; unset it or give the name of an option");
    } else if (skip != option->on_resume && equals + 1 < entry.size()) {  // empty: as if it were not set
      options.set_text(option->key, entry.substr(equals + 1), "environment " + name);
    }
  }
}

}  // namespace poise
