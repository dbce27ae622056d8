// Reads a whole file into memory. It is not mapped, because truncating a mapped file would kill the process.
//
// `kind` is the kind of the error for a path that does not exist or is not a file; failures of the system are
// Error(environment) (system_file.h).
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace poise {

// `missing_remedy` tells the user what to do if the file does not exist.
std::vector<std::byte> read_file(const std::string& path, ErrorKind kind, const std::string& missing_remedy);

// The same for text; nullopt if the file does not exist.
std::optional<std::string> read_text_if_exists(const std::string& path, ErrorKind kind);

// Text of at most `most` bytes from a file or a pipe, waiting for the pipe; nullopt if there is more.
std::optional<std::string> read_short_text(const std::string& path, size_t most);

}  // namespace poise
