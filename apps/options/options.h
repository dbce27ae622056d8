// The options of a training run: Settings hold them (settings.h) and one table describes them (option_table.cpp).
// Everything else is derived from the table: presets and configuration files ([group] key = value), the environment
// (POISE_KEY), flags (--key), their checks, --help, --print-config, and the config.toml of a run.
//
// Precedence: defaults < preset < file < environment < command line. Every value remembers where it came from. Problems
// are collected, so that a user sees all of them at once.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "apps/options/field.h"

namespace poise {

// May an existing run be continued with another value?
enum class OnResume : uint8_t {
  fixed,    // no: the run would not be the same run. These are stored in checkpoints and compared.
  free,     // yes: the numbers that come out do not depend on it, but for the rounding of devices and precisions
  settled,  // decided when the run directory was made
};

// What a value must satisfy beyond the type of its field. Numbers: an interval, each end closed unless said. Text:
// one of `choices`, if there are.
struct Limits {
  double least = 0, most = 0;
  bool open_least = false, open_most = false;
  std::vector<std::string> choices;
  bool file_name = false;  // text that becomes part of a file name
  bool single = false;     // numbers: as a 32-bit float too, which kernels read
  enum class Path : uint8_t { none, expanded, absolute } path = Path::none;  // text that is one (user_path.h)
  std::string word;                                                          // of a path: what is none
};

// What must hold for an option to change anything.
struct Effect {
  std::string needs;
  std::function<bool(const Settings&)> condition;  // nothing: it always holds
  bool holds(const Settings& settings) const { return !condition || condition(settings); }
};

struct Option {
  std::string group, key;
  Field field;
  OnResume on_resume;
  Limits limits;
  std::string help;
  Effect effect = {};
  // Younger than the first checkpoints, which therefore know nothing of it: fixed, but stored only where it is not what
  // it was before it could be set, its default.
  bool younger = false;

  std::string flag() const;         // "--width-g"
  std::string environment() const;  // "POISE_WIDTH_G"
  std::string expected() const;     // "an integer from 1 to 4096"
  // The type that text is read as; with a text that is none, the text, which no such option takes.
  Value parse(const std::string& text) const;
  bool is_boolean() const { return field.type == Field::Type::boolean; }
  const std::vector<std::string>& choices() const { return field.choices.empty() ? limits.choices : field.choices; }
};

constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53: what a reader of TOML or JSON surely keeps

const std::vector<Option>& option_table();
const Option* find_option(const std::string& key);  // null if there is none
std::vector<std::string> option_keys();

inline Value value_of(const Settings& settings, const Option& option) { return option.field.get(settings); }
std::string to_toml(const Value& value);  // reads back as the same value, bit for bit

// Settings with the origin of each value.
class OptionSet {
 public:
  OptionSet();

  const Settings& settings() const { return settings_; }
  const std::string& origin(const std::string& key) const;  // Error(runtime) for a key that no option has
  bool is_default(const Option& option) const;

  // Takes a value if it is good, else notes the problem, an unknown key included; throws nothing. `text` values come from the environment or the command line
  // and are read as the option's type.
  void set(const std::string& key, const Value& value, const std::string& origin);
  void set_text(const std::string& key, const std::string& text, const std::string& origin);
  void set_origin(const std::string& key, const std::string& origin);  // of the value that is there

  void add_problem(const std::string& problem) { problems_.push_back(problem); }
  const std::vector<std::string>& problems() const { return problems_; }
  // Error(usage) with everything that was noted: one line if it is one problem, else a line each.
  void throw_if_problems() const;

  // What a user should know and may go on with.
  void add_warning(const std::string& warning) { warnings_.push_back(warning); }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // What was decided for the user, who may not know it.
  void add_note(const std::string& note) { notes_.push_back(note); }
  const std::vector<std::string>& notes() const { return notes_; }

  // A configuration file, in groups; `with_origins` adds "  # origin" to each line.
  std::string to_toml(bool with_origins) const;

 private:
  Settings settings_;
  std::vector<std::string> origins_;  // in the order of the table
  std::vector<std::string> problems_, warnings_, notes_;
};

// The settings a checkpoint is bound to (OnResume::fixed), each as to_toml() writes it, in the order of the table.
using FixedSettings = std::vector<std::pair<const Option*, std::string>>;
FixedSettings fixed_settings(const Settings& settings);
// 16 hexadecimal digits of FNV-1a over them as "key=value" lines.
std::string config_hash(const FixedSettings& fixed);

}  // namespace poise
