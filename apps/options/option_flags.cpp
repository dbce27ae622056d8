#include "apps/options/option_flags.h"

#include <unistd.h>

#include <algorithm>

#include "apps/console/suggestion.h"
#include "apps/options/option_sources.h"

namespace poise {
namespace {

const char* value_name_of(const Option& option) {
  switch (option.field.type) {
    case Field::Type::integer:
      return "N";
    case Field::Type::real:
      return "X";
    case Field::Type::boolean:
      return "[BOOL]";
    case Field::Type::text:
      return "TEXT";
  }
  return "";
}

std::string trimmed(const std::string& text) {
  const char* blank = " \t\r\n";
  const size_t first = text.find_first_not_of(blank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

std::vector<Flag> option_flags(const std::vector<std::string>& groups) {
  using Kind = Flag::Kind;
  std::vector<Flag> flags;
  for (const Option& option : option_table()) {
    if (!groups.empty() && std::find(groups.begin(), groups.end(), option.group) == groups.end()) continue;
    const std::string text = to_toml(value_of(Settings{}, option));
    const std::string choices =
        option.choices().size() > 1 ? ": " + join_alternatives(option.choices()) : std::string();
    flags.push_back({option.flag(), option.is_boolean() ? Kind::boolean : Kind::value, value_name_of(option),
                     option.help + choices + " (" + text + ")", "[" + option.group + "]"});
  }
  return flags;
}

OptionSet options_of(const CommandLine& args) {
  OptionSet options;
  for (const std::string& problem : args.problems) options.add_problem(problem);
  if (args.has("preset")) read_options_preset(args.get("preset", ""), options);
  if (const auto files = args.values.find("config"); files != args.values.end()) {
    for (const std::string& file : files->second) read_options_file(file, "file " + file, options);
  }
  read_options_environment(environ, options);
  read_option_flags(args, options);
  return options;
}

void read_option_flags(const CommandLine& args, OptionSet& options) {
  if (const auto found = args.values.find("set"); found != args.values.end()) {
    for (const std::string& word : found->second) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos)
        options.add_problem("--set: expected KEY=VALUE but got \"" + word + "\"");
      else
        options.set_text(trimmed(word.substr(0, equals)), trimmed(word.substr(equals + 1)), "command line --set");
    }
  }
  for (const Option& option : option_table()) {
    const std::string name = option.flag().substr(2);
    if (args.has(name)) options.set_text(option.key, args.get(name, ""), "command line " + option.flag());
  }
}

}  // namespace poise
