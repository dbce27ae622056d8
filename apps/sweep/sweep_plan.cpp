#include "apps/sweep/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>
#include <sstream>

#include "apps/console/flag_reader.h"
#include "apps/console/suggestion.h"
#include "apps/options/option_flags.h"
#include "apps/options/toml_value.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"
#include "engine/io/user_path.h"

namespace poise {
namespace {

constexpr size_t kLargestFile = 1 << 20;
constexpr size_t kMostCells = 10000;  // more are a typing error, not a sweep

// What sets this option, if the sweep itself sets it for every run.
const char* giver_of(const std::string& key) {
  if (key == "seed") return "seeds";
  if (key == "threads") return "--threads-per-run";
  if (key == "runs" || key == "name") return "the sweep's folder";
  return nullptr;
}

// The value as its option stores it: 1 becomes 1.0 for a real number, and paths become absolute.
std::optional<Value> kept_value(const std::string& key, const Value& given, const std::string& where,
                                Problems& problems) {
  if (const char* giver = giver_of(key)) {
    problems.push_back(fmt::format("{}: is given by {}; leave it out [{}]", key, giver, where));
    return std::nullopt;
  }
  OptionSet options;
  options.set(key, given, where);
  problems.insert(problems.end(), options.problems().begin(), options.problems().end());
  if (!options.problems().empty()) return std::nullopt;
  return value_of(options.settings(), *find_option(key));
}

void assign(Assignments& options, const std::string& key, const Value& value) {
  const auto found = std::find_if(options.begin(), options.end(), [&](const auto& o) { return o.first == key; });
  if (found == options.end())
    options.emplace_back(key, value);
  else
    found->second = value;
}

class Reader {
 public:
  Reader(const std::string& path, Problems& problems) : path_(path), problems_(problems) {}

  SweepPlan read(const toml::table& root) {
    for (const auto& [key, node] : in_order(root)) {
      if (key == "preset")
        plan_.preset = text_of(key, *node);
      else if (key == "seeds")
        plan_.seeds = seeds_of(*node);
      else if (key == "evaluate")
        for (const toml::node* entry : entries_of(*node)) plan_.evaluations.push_back(text_of(key, *entry));
      else if (key == "options" && node->is_table())
        read_options(*node->as_table());
      else if (key == "grid" && node->is_array_of_tables())
        for (const toml::node* entry : entries_of(*node)) read_grid(*entry->as_table());
      else
        problem(*node, fmt::format("expected preset, seeds, evaluate, [options] or [[grid]] but got {}{}", key,
                                   did_you_mean(key, {"preset", "seeds", "evaluate", "options", "grid"})));
    }
    return std::move(plan_);
  }

 private:
  using Entries = std::vector<std::pair<std::string, const toml::node*>>;
  // A table's entries in the order of the file, which determines the axis that varies slowest.
  static Entries in_order(const toml::table& table) {
    Entries entries;
    for (const auto& [key, node] : table) entries.emplace_back(std::string(key.str()), &node);
    std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      const auto &x = a.second->source().begin, &y = b.second->source().begin;
      return std::pair(x.line, x.column) < std::pair(y.line, y.column);
    });
    return entries;
  }
  static std::vector<const toml::node*> entries_of(const toml::node& node) {
    std::vector<const toml::node*> entries;
    if (const auto* array = node.as_array())
      for (const toml::node& entry : *array) entries.push_back(&entry);
    else
      entries.push_back(&node);
    return entries;
  }

  std::string where(const toml::node& node) const {
    return fmt::format("{}, line {}", path_, node.source().begin.line);
  }
  void problem(const toml::node& node, const std::string& text) {
    problems_.push_back(fmt::format("{} [{}]", text, where(node)));
  }
  std::string text_of(const std::string& key, const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    problem(node, key + ": expected text");
    return "";
  }
  std::vector<int64_t> seeds_of(const toml::node& node) {
    std::vector<int64_t> seeds;
    for (const toml::node* entry : entries_of(node)) {
      if (const auto* seed = entry->as_integer(); seed && seed->get() >= 0)
        seeds.push_back(seed->get());
      else
        problem(*entry, "seeds: expected whole numbers from 0");
    }
    if (seeds.empty()) problem(node, "seeds: expected at least one");
    return seeds;
  }
  std::optional<Value> option_value(const std::string& key, const toml::node& node) {
    const std::optional<Value> value = value_of(node);
    if (!value) problem(node, key + ": expected a value that an option can have");
    return value ? kept_value(key, *value, where(node), problems_) : std::nullopt;
  }
  void read_options(const toml::table& table) {
    for (const auto& [key, node] : in_order(table)) {
      if (node->is_array()) {
        problem(*node, key + ": only a [[grid]] has lists of values");
      } else if (const auto value = option_value(key, *node)) {
        assign(plan_.options, key, *value);
      }
    }
  }
  void read_grid(const toml::table& table) {
    SweepGrid grid;
    for (const auto& [key, node] : in_order(table)) {
      if (key == "seeds") {
        grid.seeds = seeds_of(*node);
        continue;
      }
      SweepAxis axis{.key = key, .values = {}};
      for (const toml::node* entry : entries_of(*node)) {
        if (const auto value = option_value(key, *entry)) axis.values.push_back(*value);
      }
      if (node->is_array() && node->as_array()->empty()) problem(*node, key + ": expected at least one value");
      grid.axes.push_back(std::move(axis));
    }
    plan_.grids.push_back(std::move(grid));
  }

  std::string path_;
  Problems& problems_;
  SweepPlan plan_;
};

std::string list_of(const std::vector<std::string>& words) { return fmt::format("[{}]", fmt::join(words, ", ")); }

std::string seeds_text(const std::vector<int64_t>& seeds) {
  return fmt::format("seeds = [{}]\n", fmt::join(seeds, ", "));
}

// "16x16-all-taps", "density_g-0.1": suitable as a file name.
std::string label_of(const Assignments& values) {
  std::string label;
  for (const auto& [key, value] : values) {
    if (!label.empty()) label += "_";
    label += std::holds_alternative<std::string>(value) ? value_text(value) : key + "-" + value_text(value);
  }
  for (char& c : label) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '_' && c != '-' && c != '.') c = '.';
  }
  return label;
}

std::vector<int64_t> seeds_from_flag(const std::string& text, Problems& problems) {
  std::vector<int64_t> seeds;
  for (const std::string& word : split_at_commas(text)) {
    int64_t seed = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), seed);
    if (error != std::errc() || end != word.data() + word.size() || seed < 0) {
      problems.push_back(fmt::format("--seeds: expected whole numbers from 0 with commas but got \"{}\"", text));
      return {};
    }
    seeds.push_back(seed);
  }
  return seeds;
}

// Replaces an axis from a file. `given`: the keys of other --vary flags; their axes must not be replaced.
void read_vary(const std::string& text, SweepGrid& grid, std::set<std::string>& given, Problems& problems) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return problems.push_back(fmt::format("--vary: expected KEY=VALUE,VALUE.. but got \"{}\"", text));
  }
  SweepAxis axis{.key = text.substr(0, equals), .values = {}};
  const Option* option = find_option(axis.key);
  if (!given.insert(axis.key).second) {
    problems.push_back(
        fmt::format("--vary: {} is given twice; give all its values at once, as {}=A,B", axis.key, axis.key));
  }
  for (const std::string& word : split_at_commas(text.substr(equals + 1))) {
    const auto value = kept_value(axis.key, option ? option->parse(word) : Value(word), "--vary", problems);
    if (value) axis.values.push_back(*value);
  }
  const auto same = [&](const SweepAxis& other) { return other.key == axis.key; };
  const auto found = std::find_if(grid.axes.begin(), grid.axes.end(), same);
  if (found == grid.axes.end())
    grid.axes.push_back(std::move(axis));
  else
    *found = std::move(axis);
}

}  // namespace

std::string value_text(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text ? *text : to_toml(value);
}

SweepPlan read_sweep_plan(const std::string& given, Problems& problems) {
  const std::string path = expand_home(given);
  if (!is_regular_file(path)) return problems.push_back(path + ": no such file; give a TOML file"), SweepPlan();
  const auto text = read_short_text(path, kLargestFile);
  if (!text) return problems.push_back(path + ": larger than 1 MiB: not a sweep file"), SweepPlan();
  try {
    const toml::table root = toml::parse(*text, path);
    return Reader(path, problems).read(root);
  } catch (const toml::parse_error& error) {
    problems.push_back(
        fmt::format("{}, line {}: not TOML: {}", path, error.source().begin.line, std::string(error.description())));
  }
  return {};
}

std::string to_toml(const SweepPlan& plan) {
  std::string text;
  if (!plan.preset.empty()) text += "preset = " + to_toml(Value(plan.preset)) + "\n";
  text += seeds_text(plan.seeds);
  std::vector<std::string> words;
  for (const std::string& evaluation : plan.evaluations) words.push_back(to_toml(Value(evaluation)));
  if (!words.empty()) text += "evaluate = " + list_of(words) + "\n";
  if (!plan.options.empty()) text += "\n[options]\n";
  for (const auto& [key, value] : plan.options) text += key + " = " + to_toml(value) + "\n";
  for (const SweepGrid& grid : plan.grids) {
    text += "\n[[grid]]\n";
    for (const SweepAxis& axis : grid.axes) {
      words.clear();
      for (const Value& value : axis.values) words.push_back(to_toml(value));
      text += axis.key + " = " + (words.size() == 1 ? words[0] : list_of(words)) + "\n";
    }
    if (!grid.seeds.empty()) text += seeds_text(grid.seeds);
  }
  return text;
}

Assignments without_paths(const Assignments& options) {
  Assignments rest = options;
  std::erase_if(rest, [](const auto& o) { return find_option(o.first)->limits.path != Limits::Path::none; });
  return rest;
}

std::vector<Flag> sweep_plan_flags() {
  using Kind = Flag::Kind;
  std::vector<Flag> flags = {
      {"--config", Kind::once, "FILE", "the sweep: a TOML file (apps/README.md, \"Sweeps\")", "Sweep"},
      {"--preset", Kind::once, "NAME", "what every run starts from", "Sweep"},
      {"--vary", Kind::list, "KEY=A,B..", "values of an option to compare; may be repeated: all combinations", "Sweep"},
      {"--seeds", Kind::once, "LIST", "of every combination, with commas (1)", "Sweep"},
      {"--evaluate", Kind::list, "ARGS", "evaluate each finished run with evaluate_gan RUN ARGS; may be repeated",
       "Sweep"},
      {"--set", Kind::list, "KEY=VALUE", "set one option of every run; may be repeated", "Sweep"},
  };
  for (const Flag& flag : option_flags({})) {
    std::string key = flag.name.substr(2);
    std::replace(key.begin(), key.end(), '-', '_');
    if (!giver_of(key)) flags.push_back(flag);
  }
  return flags;
}

void read_sweep_flags(const CommandLine& args, SweepPlan& plan, Problems& problems) {
  const auto all = [&](const char* name) {
    const auto found = args.values.find(name);
    return found == args.values.end() ? std::vector<std::string>() : found->second;
  };
  plan.preset = args.get("preset", plan.preset);
  OptionSet options;
  CommandLine of_options = args;
  of_options.values.erase("threads");  // sweep_gan's own flag
  read_option_flags(of_options, options);
  problems.insert(problems.end(), options.problems().begin(), options.problems().end());
  for (const Option& option : option_table()) {
    if (!options.origin(option.key).starts_with("command line")) continue;
    const Value value = value_of(options.settings(), option);
    if (const auto kept = kept_value(option.key, value, options.origin(option.key), problems)) {
      assign(plan.options, option.key, *kept);
    }
  }
  if (args.has("vary") && plan.grids.size() > 1) {
    problems.push_back(fmt::format("--vary: the sweep has {} grids; change its file instead", plan.grids.size()));
  } else if (args.has("vary")) {
    plan.grids.resize(1);
    std::set<std::string> given;
    for (const std::string& text : all("vary")) read_vary(text, plan.grids[0], given, problems);
  }
  for (const SweepGrid& grid : plan.grids) {
    for (const SweepAxis& axis : grid.axes) {
      if (!find_option(axis.key) || !options.origin(axis.key).starts_with("command line")) continue;
      problems.push_back(fmt::format("{}: is varied, so no run would have this value; leave it out [{}]", axis.key,
                                     options.origin(axis.key)));
    }
  }
  if (args.has("seeds")) plan.seeds = seeds_from_flag(args.get("seeds", ""), problems);
  for (const std::string& text : all("evaluate")) {
    const bool known = std::find(plan.evaluations.begin(), plan.evaluations.end(), text) != plan.evaluations.end();
    if (!known) plan.evaluations.push_back(text);
  }
}

std::vector<SweepCell> cells_of(const SweepPlan& plan, Problems& problems) {
  std::vector<SweepCell> cells;
  std::set<std::string> labels;
  for (const SweepGrid& grid : plan.grids) {
    size_t count = 1;
    for (const SweepAxis& axis : grid.axes) count = std::min(count * axis.values.size(), kMostCells + 1);
    if (count + cells.size() > kMostCells) {
      problems.push_back(fmt::format("more than {} combinations; vary less", kMostCells));
      return cells;
    }
    for (size_t i = 0; i < count; ++i) {
      SweepCell cell{.label = "", .values = {}, .seeds = grid.seeds.empty() ? plan.seeds : grid.seeds};
      size_t rest = i, block = count;
      for (const SweepAxis& axis : grid.axes) {
        block /= axis.values.size();
        cell.values.emplace_back(axis.key, axis.values[rest / block]);
        rest %= block;
      }
      cell.label = label_of(cell.values);
      if (cell.label.empty()) cell.label = plan.preset.empty() ? "run" : plan.preset;
      if (!labels.insert(cell.label).second) problems.push_back("duplicate combination: " + cell.label);
      if (std::set<int64_t>(cell.seeds.begin(), cell.seeds.end()).size() != cell.seeds.size())
        problems.push_back(cell.label + ": duplicate seed");
      cells.push_back(std::move(cell));
    }
  }
  if (cells.empty()) problems.push_back("expected a grid; give --vary KEY=A,B or a file with [[grid]] in --config");
  return cells;
}

std::vector<std::string> evaluation_words(const std::string& evaluation, Problems& problems) {
  std::vector<std::string> words;
  std::istringstream stream(evaluation);
  for (std::string word; stream >> word;) {
    const size_t dollar = word.find('$');
    if (dollar != std::string::npos) {
      const std::string name = word.substr(dollar + 1);
      const char* value = std::getenv(name.c_str());
      if (!value) {
        problems.push_back(fmt::format("evaluate: expected ${} in the environment; export {}=.. before", name, name));
        continue;
      }
      word = word.substr(0, dollar) + value;
    }
    words.push_back(word);
  }
  return words;
}

}  // namespace poise
