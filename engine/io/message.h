// Parts of error messages: what a system call's errno means for the user, and text from a file made fit for one line.
#pragma once
#include <string>
#include <string_view>

namespace poise {

std::string errno_text(int error);  // "No space left on device"

// What to do about an errno of a write: "free some space or choose another disk".
const char* write_remedy(int error);

// Text from a file, quoted, without control characters and cut after 60 bytes: a message stays one line regardless of
// what a damaged or hostile file contains.
std::string in_quotes(std::string_view text);

// A message with its control characters, which names and values in it may contain, written as \xNN.
std::string on_one_line(std::string_view message);

// "runs/1/ckpt/a.png" -> {"runs/1/ckpt", "a.png"}; "a.png" -> {".", "a.png"}.
struct PathParts {
  std::string folder, name;
};
PathParts split_path(const std::string& path);
std::string join_path(const std::string& folder, const std::string& name);

}  // namespace poise
