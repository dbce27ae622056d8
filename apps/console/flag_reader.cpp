#include "apps/console/flag_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "apps/console/suggestion.h"
#include "engine/io/message.h"
#include "engine/io/system_file.h"
#include "engine/io/user_path.h"

namespace poise {
namespace {

// Reads all of `text` as a number.
template <class T>
bool read_number(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return words;
}

std::string FlagReader::choice(const std::string& name, const std::vector<std::string>& words) {
  const std::string word = args_.get(name, words[0]);
  if (std::find(words.begin(), words.end(), word) == words.end()) {
    add_problem(fmt::format("--{}: expected {} but got \"{}\"{}", name, join_alternatives(words), word,
                            did_you_mean(word, words)));
  }
  return word;
}

int64_t FlagReader::integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most) {
  if (!args_.has(name)) return otherwise;
  const std::string text = args_.get(name, "");
  int64_t value = 0;
  if (!read_number(text, value) || value < least || value > most) {
    add_problem(fmt::format("--{}: expected an integer from {} to {} but got \"{}\"", name, least, most, text));
  }
  return value;
}

int FlagReader::threads() { return static_cast<int>(integer("threads", 0, 1, kMostThreads)); }

double FlagReader::real(const std::string& name, double otherwise, double least) {
  if (!args_.has(name)) return otherwise;
  const std::string text = args_.get(name, "");
  double value = otherwise;
  if (!read_number(text, value) || !(value >= least)) {
    add_problem(fmt::format("--{}: expected a real number from {} but got \"{}\"", name, least, text));
  }
  return value;
}

std::string FlagReader::positional(const std::string& problem) {
  if (args_.positional.empty()) add_problem(problem);
  return expand_home(args_.positional);
}

std::string FlagReader::path(const std::string& name) const { return expand_home(args_.get(name, "")); }

void FlagReader::refuse_other_ending(const std::string& name, const std::string& what,
                                     const std::vector<std::string>& endings) {
  constexpr std::array known = {".png",  ".jpg", ".jpeg", ".jfif", ".jpe",  ".gif",        ".bmp",  ".dib",
                                ".webp", ".tif", ".tiff", ".ppm",  ".pgm",  ".avif",       ".heic", ".jxl",
                                ".svg",  ".pdf", ".mp4",  ".npy",  ".npz",  ".raw",        ".bin",  ".html",
                                ".txt",  ".md",  ".json", ".csv",  ".onnx", ".safetensors"};
  const std::string file = split_path(path(name)).name;
  std::string said = file.substr(std::min(file.rfind('.'), file.size()));
  for (char& c : said) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool right = std::find(endings.begin(), endings.end(), said) != endings.end();
  if (right || std::find(known.begin(), known.end(), said) == known.end()) return;
  add_problem(fmt::format("--{}: {}, but the name {} suggests otherwise; end it in {}", name, what, file,
                          join_alternatives(endings)));
}

void FlagReader::refuse_overwriting(const std::vector<std::string>& names, const std::vector<std::string>& inputs) {
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string output = path(names[i]);
    if (output.empty()) continue;
    for (const std::string& input : inputs) {
      if (!same_file(output, input)) continue;
      add_problem(fmt::format("--{}: {} is an input and would be replaced; choose another name", names[i], output));
    }
    for (size_t j = 0; j < i; ++j) {
      if (!same_file(output, path(names[j]))) continue;
      add_problem(fmt::format("--{}, --{}: both name {}; choose another name", names[j], names[i], output));
    }
  }
}

void FlagReader::throw_if_problems() const {
  std::vector<std::string> all = args_.problems;
  all.insert(all.end(), problems_.begin(), problems_.end());
  poise::throw_if_problems(all);
}

}  // namespace poise
