#include "bench/kernel_name.h"

#include <cxxabi.h>

#include <cstdlib>
#include <cstring>

namespace poise {

std::string kernel_name(const std::string& mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : mangled;
  std::free(text);
  for (const char* noise : {"poise::cuda::", "(anonymous namespace)::", "poise::", "void ", "_kernel"}) {
    for (size_t at; (at = name.find(noise)) != std::string::npos;) name.erase(at, std::strlen(noise));
  }
  // Removes the parameters: everything from the bracket that matches the last one.
  if (const size_t end = name.rfind(')'); end != std::string::npos && end == name.size() - 1) {
    int depth = 0;
    for (size_t i = end + 1; i-- > 0;) {
      depth += name[i] == ')' ? 1 : name[i] == '(' ? -1 : 0;
      if (depth == 0) {
        name.resize(i);
        break;
      }
    }
  }
  return name;
}

}  // namespace poise
