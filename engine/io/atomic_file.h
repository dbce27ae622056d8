// Output files, written so that no crash and no full disk can leave half of one: readers see the old file or the new
// one. The bytes go to ".<name>.tmp-<16 digits>" next to the target; commit() makes them durable and renames the file.
//
// If the target is a link, the file that it points to is replaced and the link stays. A target that is not a regular
// file (a device, a pipe, "-" and /dev/stdout for standard output) is written to directly and never replaced.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace poise {

class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);  // opens the temporary
  ~AtomicFile();                                 // without commit(): removes it, the target stays as it was
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Small pieces are buffered, so an error may be reported by a later call, at the latest by commit().
  void write(const void* bytes, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }

  // fsync, rename, fsync of the folder. After it returns the file survives a power failure.
  void commit();

 private:
  [[noreturn]] void fail_with(const char* action, int error);
  void open_special(const std::string& path);
  void open_temporary();
  void discard() noexcept;
  void flush(const char* bytes, size_t size);

  std::string path_;    // as it was given, for messages
  std::string target_;  // the file to replace; "" if bytes are written to their destination directly
  std::string folder_, temporary_;
  std::string gathered_;
  int descriptor_ = -1;
  bool pending_ = false;  // the temporary exists
};

void write_file_atomically(const std::string& path, const void* bytes, size_t size);
void write_file_atomically(const std::string& path, std::string_view text);

// Is this a name for standard output: "-", /dev/stdout, or a link to it?
bool is_standard_output(const std::string& path);

// Removes temporaries in `folder` that killed processes left behind, and returns how many. A writer holds a lock on its
// temporary, which vanishes with the process, so those of running processes stay. Best effort: if the folder cannot be
// read or does not support locks, all of them stay.
int remove_stale_temporaries(const std::string& folder);

// Takes the lock that marks a file or folder as in use. False if another process holds it; true also if the file system
// does not support locks.
bool lock_if_free(int descriptor);
// 16 hexadecimal digits that another process is unlikely to choose.
std::string unlikely_digits();

}  // namespace poise
