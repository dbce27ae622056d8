#include "apps/options/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "apps/console/command_line.h"
#include "apps/console/suggestion.h"
#include "engine/io/user_path.h"
#include "engine/io/utf8.h"
#include "kernels/core/error.h"
#include "kernels/core/hash.h"

namespace poise {
namespace {

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : to_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\u{:04x}", byte);
    else
      out += c;
  }
  return out + "\"";
}

// An origin as a TOML comment, which is UTF-8 on one line; the origin may contain a file name with any bytes.
std::string comment(const std::string& origin) {
  std::string text = to_utf8(origin);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

std::string describe(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return toml_string(*text);
  const char* type = std::holds_alternative<bool>(value) ? "the boolean " : "";
  return type + to_toml(value);
}

bool is_file_name(const std::string& text) {
  const char* allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return text.size() <= 100 && text.find_first_not_of(allowed) == std::string::npos && !text.starts_with('.');
}

bool inside(double x, const Limits& l) {
  const bool above = l.open_least ? x > l.least : x >= l.least;
  const bool below = l.open_most ? x < l.most : x <= l.most;
  return above && below;  // false for NaN
}

// Denormal numbers are rejected, because some kernels flush them to 0.
bool inside_as_float(double x, const Limits& l) {
  const auto f = static_cast<float>(x);
  return inside(f, l) && (f == 0 || std::abs(f) >= std::numeric_limits<float>::min());
}

// Expands a path before it is stored, so that it names the same file regardless of the folder and program that read it.
Value kept(const Option& option, const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text || option.limits.path == Limits::Path::none || *text == option.limits.word) return value;
  return option.limits.path == Limits::Path::absolute ? absolute_path(*text) : expand_home(*text);
}

bool fits(const Option& option, const Value& value) {
  const Limits& limits = option.limits;
  if (const auto* x = std::get_if<int64_t>(&value)) {
    const auto real = static_cast<double>(*x);  // may be another number above 2^53
    return inside(real, limits) && static_cast<int64_t>(real) == *x;
  }
  if (const auto* x = std::get_if<double>(&value)) {
    return inside(*x, limits) && (!limits.single || inside_as_float(*x, limits));
  }
  const auto* text = std::get_if<std::string>(&value);
  if (!text) return true;
  if (text->find('\0') != std::string::npos || !is_utf8(*text)) return false;
  if (limits.file_name) return is_file_name(*text);
  const auto& choices = limits.choices;
  return choices.empty() ? !text->empty() : std::find(choices.begin(), choices.end(), *text) != choices.end();
}

}  // namespace

const Option* find_option(const std::string& key) {
  for (const Option& option : option_table())
    if (option.key == key) return &option;
  return nullptr;
}

std::vector<std::string> option_keys() {
  std::vector<std::string> keys;
  for (const Option& option : option_table()) keys.push_back(option.key);
  return keys;
}

std::string Option::flag() const {
  std::string text = "--" + key;
  for (char& c : text)
    if (c == '_') c = '-';
  return text;
}

std::string Option::environment() const {
  std::string text = "POISE_" + key;
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

Value Option::parse(const std::string& text) const {
  const char *begin = text.data(), *end = begin + text.size();
  if (is_boolean()) {
    for (const char* word : {"true", "1", "yes", "on"})
      if (text == word) return true;
    for (const char* word : {"false", "0", "no", "off"})
      if (text == word) return false;
  } else if (field.type != Field::Type::text) {
    int64_t integer = 0;
    if (const auto r = std::from_chars(begin, end, integer); r.ec == std::errc() && r.ptr == end) return integer;
    double real = 0;
    if (const auto r = std::from_chars(begin, end, real); r.ec == std::errc() && r.ptr == end) return real;
  }
  return text;
}

std::string Option::expected() const {
  if (is_boolean()) return "true or false";
  if (!choices().empty()) return join_alternatives(choices());
  if (!field.form.empty()) return field.form;
  if (limits.file_name) return "a word of at most 100 letters, digits, '.', '_' and '-'";
  if (field.type == Field::Type::text) return "text that is not empty";
  std::string text = field.type == Field::Type::integer ? "an integer" : "a real number";
  text += fmt::format("{} {}", limits.open_least ? " above" : " from", limits.least);
  if (limits.most < kLargestExactInteger)
    text += fmt::format(" {} {}", limits.open_most ? "to below" : "to", limits.most);
  return text;
}

std::string to_toml(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return toml_string(*text);
  std::string real = fmt::format("{}", std::get<double>(value));  // the shortest digits that read back the same
  if (real.find_first_of(".einf") == std::string::npos) real += ".0";
  return real;
}

OptionSet::OptionSet() : origins_(option_table().size(), "default") {}

const std::string& OptionSet::origin(const std::string& key) const {
  const Option* option = find_option(key);
  require(option, "the origin of an unknown option was asked for");
  return origins_[static_cast<size_t>(option - option_table().data())];
}

bool OptionSet::is_default(const Option& option) const {
  return value_of(settings_, option) == value_of(Settings{}, option);
}

void OptionSet::set(const std::string& key, const Value& given, const std::string& origin) {
  const Option* option = find_option(key);
  if (!option) {
    return add_problem(fmt::format("unknown option {}{} [{}]", key, did_you_mean(key, option_keys()), origin));
  }
  const Value value = kept(*option, given);
  if (fits(*option, value) && option->field.set(settings_, value)) {
    origins_[static_cast<size_t>(option - option_table().data())] = origin;
  } else {
    const auto* text = std::get_if<std::string>(&value);
    std::string hint = text ? did_you_mean(*text, option->choices()) : "";
    if (text && !is_utf8(*text))
      hint = ", which is not UTF-8 and so no text of config.toml; use a name that is, or a link";
    if (const auto* x = std::get_if<double>(&value); x && option->limits.single && inside(*x, option->limits)) {
      hint = fmt::format(", which is {} as a 32-bit float", static_cast<float>(*x));
    }
    if (const auto* n = std::get_if<int64_t>(&value); n && static_cast<double>(*n) > kLargestExactInteger)
      hint = ", which is above 2^53";
    add_problem(
        fmt::format("{}: expected {} but got {}{} [{}]", key, option->expected(), describe(value), hint, origin));
  }
}

void OptionSet::set_text(const std::string& key, const std::string& text, const std::string& origin) {
  const Option* option = find_option(key);
  set(key, option ? option->parse(text) : Value(text), origin);
}

void OptionSet::set_origin(const std::string& key, const std::string& origin) {
  const Option* option = find_option(key);
  require(option, "the origin of an unknown option was set");
  origins_[static_cast<size_t>(option - option_table().data())] = origin;
}

void OptionSet::throw_if_problems() const { poise::throw_if_problems(problems_, " with the options"); }

std::string OptionSet::to_toml(bool with_origins) const {
  std::string text, group;
  for (size_t i = 0; i < option_table().size(); ++i) {
    const Option& option = option_table()[i];
    if (option.group != group) text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", option.group);
    group = option.group;
    const std::string line = fmt::format("{} = {}", option.key, poise::to_toml(value_of(settings_, option)));
    text += with_origins ? fmt::format("{:<32}  # {}\n", line, comment(origins_[i])) : line + "\n";
  }
  return text;
}

FixedSettings fixed_settings(const Settings& settings) {
  FixedSettings fixed;
  for (const Option& option : option_table()) {
    if (option.on_resume != OnResume::fixed) continue;
    if (option.younger && value_of(settings, option) == value_of(Settings{}, option)) continue;
    fixed.emplace_back(&option, to_toml(value_of(settings, option)));
  }
  return fixed;
}

std::string config_hash(const FixedSettings& fixed) {
  std::string text;
  for (const auto& [option, value] : fixed) text += option->key + "=" + value + "\n";
  return fmt::format("{:016x}", fnv1a(text));
}

}  // namespace poise
