// Files that grow while a program runs: what one append() is given is with the operating system when it returns, all of
// it or nothing. A killed program leaves at most its last piece torn.
#pragma once
#include <string>
#include <string_view>

namespace poise {

class AppendFile {
 public:
  // Creates the file if need be. `piece` is what one append() writes, for messages: "a line". Error(runtime), as of all
  // that follow.
  AppendFile(const std::string& path, std::string piece);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // If it does not fit on the disk, none of it stays.
  void append(std::string_view bytes);
  void sync();  // also survives a power failure; costs milliseconds, so only before a checkpoint
  // The last byte of the file; nothing (0) where it is empty, or no regular file.
  char last_byte() const;

 private:
  std::string path_, piece_;
  int descriptor_ = -1;
};

}  // namespace poise
