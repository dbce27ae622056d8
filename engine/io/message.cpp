#include "engine/io/message.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace poise {

std::string errno_text(int error) { return std::generic_category().message(error); }

const char* write_remedy(int error) {
  switch (error) {
    case ENOSPC:
      return "the disk is full: free some space or choose another disk";
    case EDQUOT:
      return "your disk quota is used up: free some space or choose another disk";
    case EFBIG:
      return "a file size limit is set (ulimit -f): raise it";
    case EROFS:
      return "the file system is read-only: choose another folder";
    case EACCES:
    case EPERM:
      return "you may not write there: choose another folder or change its permissions";
    case ENOENT:
      return "create the folder first";
    case ENOTDIR:
      return "a part of the path is a file, not a folder: correct the path";
    case ENAMETOOLONG:
      return "use a shorter name";
    case EMFILE:
    case ENFILE:
      return "too many open files (ulimit -n): raise the limit";
    case EIO:
      return "the device reports an error: check the disk";
    default:
      return "check the path and the disk";
  }
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string out = "\"";
  for (const char c : text.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + (text.size() > kMost ? "...\"" : "\"");
}

std::string on_one_line(std::string_view message) {
  std::string out;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out;
}

PathParts split_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::string join_path(const std::string& folder, const std::string& name) {
  return folder.empty() || folder.back() == '/' ? folder + name : folder + "/" + name;
}

}  // namespace poise
