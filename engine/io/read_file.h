// A whole file in memory. Reading rather than mapping: a mapped file that someone truncates kills the process.
//
// `kind` is that of errors for a file that is not there, or is none; what the system fails to do is Error(environment)
// (system_file.h).
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace poise {

// The remedy that `missing_remedy` names is that for a file that is not there.
std::vector<std::byte> read_file(const std::string& path, ErrorKind kind, const std::string& missing_remedy);

// The same for text; nothing if there is no such file.
std::optional<std::string> read_text_if_exists(const std::string& path, ErrorKind kind);

// Text of at most `most` bytes from a file or a pipe, for which it waits; nothing if there is more.
std::optional<std::string> read_short_text(const std::string& path, size_t most);

}  // namespace poise
