// The options of a training run: Settings hold them (settings.h) and one table describes them (option_table.cpp).
// Everything else is derived from the table: presets and configuration files ([group] key = value), the environment
// (POISE_KEY), flags (--key), their checks, --help, --print-config, and the config.toml of a run.
//
// Precedence: defaults < preset < file < environment < command line. The origin of every value is recorded. Problems
// are collected, so that a user sees all of them at once.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "apps/options/field.h"

namespace poise {

// May an existing run be continued with another value?
enum class OnResume : uint8_t {
  fixed,    // no: it would be a different run. These options are stored in checkpoints and compared.
  free,     // yes: results do not depend on it, except for the rounding of devices and precisions
  settled,  // no: it was decided when the run directory was created
};

// What a value must satisfy in addition to the type of its field. Numbers: an interval, closed unless open_least or
// open_most. Text: one of `choices`, if there are any.
struct Limits {
  double least = 0, most = 0;
  bool open_least = false, open_most = false;
  std::vector<std::string> choices;
  bool file_name = false;  // text that becomes part of a file name
  bool single = false;     // numbers must also be in the interval as 32-bit floats, because kernels read those
  enum class Path : uint8_t { none, expanded, absolute } path = Path::none;  // text that is a path (user_path.h)
  std::string word;                                                          // for paths: a text that is not a path
};

// The condition under which an option has an effect.
struct Effect {
  std::string needs;
  std::function<bool(const Settings&)> condition;  // empty: always holds
  bool holds(const Settings& settings) const { return !condition || condition(settings); }
};

struct Option {
  std::string group, key;
  Field field;
  OnResume on_resume;
  Limits limits;
  std::string help;
  Effect effect = {};
  // Newer than the first checkpoints, which do not contain it. It is fixed, but stored only if it is not the default,
  // which is the behaviour before the option existed.
  bool younger = false;

  std::string flag() const;         // "--width-g"
  std::string environment() const;  // "POISE_WIDTH_G"
  std::string expected() const;     // "an integer from 1 to 4096"
  // Reads a text as the option's type. If that fails, returns the text itself, which set() then rejects.
  Value parse(const std::string& text) const;
  bool is_boolean() const { return field.type == Field::Type::boolean; }
  const std::vector<std::string>& choices() const { return field.choices.empty() ? limits.choices : field.choices; }
};

constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53: up to here every TOML or JSON reader is exact

const std::vector<Option>& option_table();
const Option* find_option(const std::string& key);  // null if there is none
std::vector<std::string> option_keys();

inline Value value_of(const Settings& settings, const Option& option) { return option.field.get(settings); }
std::string to_toml(const Value& value);  // reads back as the same value, bit for bit

// Settings, and the origin of each value.
class OptionSet {
 public:
  OptionSet();

  const Settings& settings() const { return settings_; }
  const std::string& origin(const std::string& key) const;  // Error(runtime) for a key that no option has
  bool is_default(const Option& option) const;

  // Takes a value if it is valid; otherwise, or for an unknown key, adds a problem. Throws nothing. set_text() is for
  // the environment and the command line: it reads text as the option's type.
  void set(const std::string& key, const Value& value, const std::string& origin);
  void set_text(const std::string& key, const std::string& text, const std::string& origin);
  void set_origin(const std::string& key, const std::string& origin);  // of the current value

  void add_problem(const std::string& problem) { problems_.push_back(problem); }
  const std::vector<std::string>& problems() const { return problems_; }
  // Error(usage) with all problems: a single line for one problem, otherwise a line for each.
  void throw_if_problems() const;

  // For the user to consider; the run can continue.
  void add_warning(const std::string& warning) { warnings_.push_back(warning); }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Decisions that were made for the user.
  void add_note(const std::string& note) { notes_.push_back(note); }
  const std::vector<std::string>& notes() const { return notes_; }

  // The text of a configuration file, in groups; `with_origins` adds "  # origin" to each line.
  std::string to_toml(bool with_origins) const;

 private:
  Settings settings_;
  std::vector<std::string> origins_;  // in the order of the table
  std::vector<std::string> problems_, warnings_, notes_;
};

// The settings that a checkpoint must match (OnResume::fixed), each as to_toml() writes it, in the order of the table.
using FixedSettings = std::vector<std::pair<const Option*, std::string>>;
FixedSettings fixed_settings(const Settings& settings);
// FNV-1a over these settings as "key=value" lines, in 16 hexadecimal digits.
std::string config_hash(const FixedSettings& fixed);

}  // namespace poise
