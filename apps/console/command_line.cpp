#include "apps/console/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "apps/console/suggestion.h"
#include "engine/io/message.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

std::string long_name(const Flag& flag) { return flag.name.substr(flag.name.find("--") + 2); }

void add(CLI::App& app, const Flag& flag) {
  if (flag.kind == Flag::Kind::on) {
    app.add_flag(flag.name, flag.help)->group(flag.group)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    return;
  }
  CLI::Option* option = app.add_option(flag.name, CLI::callback_t{}, flag.help);
  option->group(flag.group)->type_name(flag.value_name);
  if (flag.kind == Flag::Kind::boolean)
    option->expected(0, 1);
  else
    option->expected(1);
  option->allow_extra_args(false)->multi_option_policy(flag.kind == Flag::Kind::list || flag.kind == Flag::Kind::once
                                                           ? CLI::MultiOptionPolicy::TakeAll
                                                           : CLI::MultiOptionPolicy::TakeLast);
}

// Reports leftovers: unknown flags, and words that are neither flags nor the value of an unknown flag.
void report_leftovers(const std::vector<std::string>& leftovers, const std::vector<std::string>& known, bool dashes,
                      std::vector<std::string>& problems) {
  bool after_unknown_flag = false;
  for (const std::string& word : leftovers) {
    if (dashes && word == "--") continue;
    const bool is_flag = word.size() > 1 && word[0] == '-';
    const std::string bare = word.substr(0, word.find('='));
    if (dashes && is_flag && std::find(known.begin(), known.end(), bare) != known.end()) {
      problems.push_back("unexpected argument \"" + word + "\": flags are not read after --; leave out the --");
      continue;
    }
    if (is_flag) {
      const std::string name = word.substr(0, word.find('='));
      problems.push_back("unknown flag " + name + did_you_mean(name, known));
    } else if (!after_unknown_flag) {
      problems.push_back("unexpected argument \"" + word + "\"");
    }
    after_unknown_flag = is_flag && word.find('=') == std::string::npos;
  }
}

// The words after the program's name. "--runs=" gives an empty value; CLI11 would use the next word as the value.
std::vector<std::string> words_of(const CommandLineSpec& spec, int argc, const char* const* argv,
                                  std::vector<std::string>& problems) {
  std::vector<std::string> words;
  bool dashes = false;
  for (int i = 1; i < argc; ++i) {
    words.emplace_back(argv[i]);
    dashes = dashes || words.back() == "--";
    const bool empty = !dashes && words.back().ends_with('=') && words.back().starts_with("--");
    const std::string name = empty ? words.back().substr(2, words.back().size() - 3) : "";
    const auto flag = std::find_if(spec.flags.begin(), spec.flags.end(),
                                   [&](const Flag& f) { return f.kind != Flag::Kind::on && long_name(f) == name; });
    if (!empty || flag == spec.flags.end()) continue;
    words.back().pop_back();
    if (flag->kind == Flag::Kind::boolean)
      problems.push_back("--" + name + ": expected true or false but got nothing");
    else
      words.emplace_back();
  }
  return words;
}

}  // namespace

std::string CommandLine::get(const std::string& name, const std::string& otherwise) const {
  const auto found = values.find(name);
  return found == values.end() || found->second.empty() ? otherwise : found->second.back();
}

void throw_if_problems(const std::vector<std::string>& problems, const std::string& where) {
  if (problems.size() == 1) fail(ErrorKind::usage, on_one_line(problems[0]));
  if (problems.empty()) return;
  std::string text = std::to_string(problems.size()) + " problems" + where + ":";
  for (const std::string& problem : problems) text += "\n  " + on_one_line(problem);
  fail(ErrorKind::usage, text);
}

CommandLine parse_command_line(const CommandLineSpec& spec, int argc, const char* const* argv) {
  CommandLine result;
  const std::string path = argc > 0 ? argv[0] : "poise";
  CLI::App app(spec.description, path.substr(path.rfind('/') + 1));
  app.allow_extras();
  app.footer(spec.footer);
  app.get_formatter()->column_width(32);
  app.set_help_flag("-h,--help", "print this and exit");
  if (!spec.positional.empty()) {
    CLI::Option* option = app.add_option(spec.positional, CLI::callback_t{}, spec.positional_help);
    if (spec.several) option->expected(-1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  std::vector<std::string> known = {"--help"};
  for (const Flag& flag : spec.flags) {
    add(app, flag);
    known.push_back("--" + long_name(flag));
  }
  result.help = app.help();

  try {
    std::vector<std::string> words = words_of(spec, argc, argv, result.problems);
    std::reverse(words.begin(), words.end());  // the order that CLI11 expects
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    result.wants_help = true;
    return result;
  } catch (const CLI::ParseError& error) {
    std::string text = error.what();
    for (char& c : text)
      if (c == '\n') c = ' ';
    result.problems.push_back(text);
  }
  for (const Flag& flag : spec.flags) {
    const CLI::Option* option = app.get_option("--" + long_name(flag));
    if (option->count() == 0) continue;
    std::vector<std::string>& values = result.values[long_name(flag)];
    values = flag.kind == Flag::Kind::on ? std::vector<std::string>{""} : option->results();
    if (flag.kind == Flag::Kind::once && values.size() > 1) {
      result.problems.push_back("--" + long_name(flag) + ": expected once but given " + std::to_string(values.size()) +
                                " times; leave out all but one");
    }
    if (flag.kind == Flag::Kind::boolean && (values.empty() || values.back().empty())) values = {"true"};
  }
  if (!spec.positional.empty() && app.get_option(spec.positional)->count() > 0) {
    result.positionals = app.get_option(spec.positional)->results();
    result.positional = result.positionals.back();
  }
  const bool dashes =
      std::any_of(argv + std::min(argc, 1), argv + argc, [](const char* word) { return word == std::string("--"); });
  report_leftovers(app.remaining(), known, dashes, result.problems);
  return result;
}

}  // namespace poise
