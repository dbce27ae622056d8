// Whole files, written so that no crash and no full disk can leave half of one: readers see the old file or the new
// one. The bytes go to ".<name>.tmp-<pid>" beside the target; commit() makes them durable and renames.
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

  void write(const void* bytes, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }

  // fsync, rename, fsync of the folder. After it returns the file survives a power failure.
  void commit();

 private:
  [[noreturn]] void fail_with(const char* action, int error);
  void discard() noexcept;

  std::string path_, folder_, temporary_;
  int descriptor_ = -1;
  bool pending_ = false;  // the temporary exists
};

void write_file_atomically(const std::string& path, const void* bytes, size_t size);
void write_file_atomically(const std::string& path, std::string_view text);

// Removes temporaries in `folder` that killed processes left behind: those of processes that no longer live, and those
// with our own process number, so call it before writing. Returns how many. A folder that is not there has none.
int remove_stale_temporaries(const std::string& folder);

}  // namespace poise
