// Files that grow while a program runs. append() passes all of its bytes to the operating system before it returns, or
// none of them if it fails. A killed program leaves at most its last piece incomplete.
#pragma once
#include <string>
#include <string_view>

namespace poise {

class AppendFile {
 public:
  // Creates the file if it does not exist. `piece` names what one append() writes, for messages: "a line". Failures
  // here, in append() and in sync() are Error(runtime).
  AppendFile(const std::string& path, std::string piece);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // If the bytes do not fit on the disk, none of them remain in the file.
  void append(std::string_view bytes);
  void sync();  // lets them survive a power failure too; costs milliseconds, so only before a checkpoint
  // The last byte of the file; 0 if it is empty or not a regular file.
  char last_byte() const;

 private:
  std::string path_, piece_;
  int descriptor_ = -1;
};

}  // namespace poise
