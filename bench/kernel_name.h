#pragma once
#include <string>

namespace poise {

// A readable kernel name: demangled, without our namespaces and without parameters.
std::string kernel_name(const std::string& mangled);

}  // namespace poise
