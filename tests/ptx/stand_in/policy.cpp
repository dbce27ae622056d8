#include "tests/ptx/stand_in/policy.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

namespace poise::stand_in {
namespace {

Policy from_environment() {
  Policy policy;
  const char* order = std::getenv("POISE_STAND_IN_ORDER");
  const std::string text = order ? order : "";
  if (text == "descending") policy.order = ptx::Order::descending;
  if (text.compare(0, 6, "random") == 0) {
    policy.order = ptx::Order::random;
    if (text.size() > 7) policy.seed = std::strtoull(text.c_str() + 7, nullptr, 10);
  }
  return policy;
}

struct Change {
  std::string kernel, from, to;
  int which = 0;
};

Change change_of(const char* path) {
  Change change;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t blank = line.find(' ');
    const std::string word = line.substr(0, blank), rest = blank == std::string::npos ? "" : line.substr(blank + 1);
    if (word == "kernel") change.kernel = rest;
    if (word == "from") change.from = rest;
    if (word == "to") change.to = rest;
    if (word == "which") change.which = std::atoi(rest.c_str());
  }
  return change;
}

// Applies a change to the instructions of one kernel, line by line.
std::string changed(const std::string& body, const Change& change) {
  const std::regex from(change.from);
  std::string result;
  int seen = 0;
  for (size_t begin = 0; begin < body.size();) {
    const size_t end = std::min(body.find('\n', begin), body.size() - 1) + 1;
    const std::string line = body.substr(begin, end - begin);
    begin = end;
    const bool matches = std::regex_search(line, from);
    seen += matches;
    result += matches && (change.which == 0 || seen == change.which) ? std::regex_replace(line, from, change.to) : line;
  }
  return result;
}

}  // namespace

const Policy& policy() {
  static const Policy from_outside = from_environment();
  return from_outside;
}

std::string changed_by_policy(std::string ptx) {
  static const char* path = std::getenv("POISE_STAND_IN_CHANGE");
  if (!path) return ptx;
  static const Change change = change_of(path);
  std::string result;
  size_t begin = 0;
  for (size_t entry; (entry = ptx.find(".entry ", begin)) != std::string::npos;) {
    const size_t name_end = ptx.find('(', entry), end = std::min(ptx.find("\n}", entry), ptx.size());
    const std::string name = ptx.substr(entry, name_end - entry);
    result += ptx.substr(begin, entry - begin);
    const std::string body = ptx.substr(entry, end - entry);
    result += name.find(change.kernel) == std::string::npos ? body : changed(body, change);
    begin = end;
  }
  return result + ptx.substr(begin);
}

void complain(const char* call, const std::string& why) {
  std::fprintf(stderr, "stand-in for CUDA: %s: %s\n", call, why.c_str());
}

}  // namespace poise::stand_in
