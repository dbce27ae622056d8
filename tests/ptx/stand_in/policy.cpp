#include "tests/ptx/stand_in/policy.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

namespace poise::stand_in {
namespace {

Policy from_environment() {
  Policy policy;
  const char* order = std::getenv("STAND_IN_ORDER");
  const std::string text = order ? order : "";
  if (text == "descending") policy.order = ptx::Order::descending;
  if (text.compare(0, 6, "random") == 0) {
    policy.order = ptx::Order::random;
    if (text.size() > 7) policy.seed = std::strtoull(text.c_str() + 7, nullptr, 10);
  }
  const char* run = std::getenv("STAND_IN_RUN");
  const std::string runs = run ? run : "";
  if (runs.compare(0, 7, "sample:") == 0) {
    policy.sampled_blocks = std::max<uint64_t>(2, std::strtoull(runs.c_str() + 7, nullptr, 10));
  }
  return policy;
}

struct Change {
  std::regex kernel, from;
  std::string to;
};

Change change_of(const char* path) {
  Change change;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t blank = std::min(line.find(' '), line.size());
    const std::string word = line.substr(0, blank), rest = line.substr(std::min(blank + 1, line.size()));
    if (word == "kernel") change.kernel = rest;
    if (word == "from") change.from = rest;
    if (word == "to") change.to = rest;
  }
  return change;
}

// Works line by line, so that a match cannot extend into the next instruction.
std::string changed(const std::string& body, const Change& change) {
  std::string result;
  for (size_t begin = 0; begin < body.size();) {
    const size_t end = std::min(body.find('\n', begin), body.size());
    result += std::regex_replace(body.substr(begin, end - begin), change.from, change.to) + "\n";
    begin = end + 1;
  }
  return result;
}

Policy& changeable() {
  static Policy policy = from_environment();
  return policy;
}

}  // namespace

const Policy& policy() { return changeable(); }

void set_order(uint64_t seed) {
  changeable() = from_environment();
  if (seed == 0) return;
  changeable().order = seed == 1 ? ptx::Order::descending : ptx::Order::random;
  changeable().seed = seed;
}

std::string changed_by_policy(std::string ptx) {
  static const char* path = std::getenv("STAND_IN_CHANGE");
  if (!path) return ptx;
  static const Change change = change_of(path);
  std::string result;
  size_t begin = 0;
  for (size_t entry; (entry = ptx.find(".entry ", begin)) != std::string::npos;) {
    const size_t name_end = ptx.find('(', entry), end = std::min(ptx.find("\n}", entry), ptx.size());
    const std::string name = ptx.substr(entry, name_end - entry);
    result += ptx.substr(begin, entry - begin);
    const std::string body = ptx.substr(entry, end - entry);
    result += std::regex_search(name, change.kernel) ? changed(body, change) : body;
    begin = end;
  }
  return result + ptx.substr(begin);
}

void complain(const char* call, const std::string& why) {
  std::fprintf(stderr, "stand-in for CUDA: %s: %s\n", call, why.c_str());
}

}  // namespace poise::stand_in
