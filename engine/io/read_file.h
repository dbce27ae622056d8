// A whole file in memory. Reading rather than mapping: a mapped file that someone truncates kills the process.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace poise {

// Errors have the kind given and the remedy that `missing_remedy` names for a file that is not there.
std::vector<std::byte> read_file(const std::string& path, ErrorKind kind, const std::string& missing_remedy);

// The same for text; nothing if there is no such file.
std::optional<std::string> read_text_if_exists(const std::string& path, ErrorKind kind);

}  // namespace poise
