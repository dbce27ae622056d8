// The arguments of a program, as text. Only this module depends on the library that parses argv.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace poise {

struct Flag {
  enum class Kind : uint8_t {
    on,       // no value
    value,    // one value; the last one given is used
    once,     // one value, for files and folders: giving two is an error, as neither should replace the other
    list,     // one value each time it is given
    boolean,  // a value that may be left out: --flip means --flip true
  };
  std::string name;  // "--preset" or "-o,--output"
  Kind kind = Kind::on;
  std::string value_name;
  std::string help;
  std::string group = "Options";
};

struct CommandLineSpec {
  std::string description;
  std::vector<Flag> flags;                  // in addition to --help
  std::string positional, positional_help;  // one optional argument, or ""
  std::string footer;
  bool several = false;  // the positional argument may be given any number of times
};

struct CommandLine {
  std::map<std::string, std::vector<std::string>> values;  // by long name without dashes; Kind::on has one empty value
  std::string positional;                                  // the last one
  std::vector<std::string> positionals;                    // all of them
  std::string help;                                        // what --help prints
  bool wants_help = false;
  std::vector<std::string> problems;  // unknown flags (with a suggestion), missing values, stray arguments

  bool has(const std::string& name) const { return values.count(name) > 0; }
  // The value of a flag, or `otherwise`.
  std::string get(const std::string& name, const std::string& otherwise) const;
};

// Throws an Error(usage) that names all problems: on one line if there is one, otherwise one line each under a heading
// that ends in `where` ("3 problems with the options:"). Does nothing if there are none.
void throw_if_problems(const std::vector<std::string>& problems, const std::string& where = "");

CommandLine parse_command_line(const CommandLineSpec& spec, int argc, const char* const* argv);

}  // namespace poise
