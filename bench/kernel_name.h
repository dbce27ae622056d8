#pragma once
#include <string>

namespace poise {

// A kernel's name as a person reads it: demangled, without our namespaces and without its parameters.
std::string kernel_name(const std::string& mangled);

}  // namespace poise
