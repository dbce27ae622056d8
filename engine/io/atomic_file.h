// Output files, written so that no crash and no full disk can leave half of one: readers see the old file or the new
// one. The bytes go to ".<name>.tmp-<16 digits>" beside the target; commit() makes them durable and renames.
//
// A link is written through: the file that it leads to is replaced, the link stays. What is no regular file (a device,
// a pipe, "-" and /dev/stdout for standard output) is written as it is, never replaced.
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

  // Small pieces are gathered; an error may come with a later call, at the latest with commit().
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
  std::string target_;  // the file to replace; "" where bytes go straight to their place
  std::string folder_, temporary_;
  std::string gathered_;
  int descriptor_ = -1;
  bool pending_ = false;  // the temporary exists
};

void write_file_atomically(const std::string& path, const void* bytes, size_t size);
void write_file_atomically(const std::string& path, std::string_view text);

// Is this a name for standard output: "-", /dev/stdout, or a link to it?
bool is_standard_output(const std::string& path);

// Removes temporaries in `folder` that killed processes left behind. The writer of one holds a lock on it, which
// vanishes with the process, so those of others at work stay. Returns how many. A courtesy: where the folder cannot be
// read, or has no locks, they stay.
int remove_stale_temporaries(const std::string& folder);

// Takes the lock that marks a file or folder as in use. False if another process has it; true also where the file
// system has no locks.
bool lock_if_free(int descriptor);
// 16 digits that no other process will come upon.
std::string unlikely_digits();

}  // namespace poise
