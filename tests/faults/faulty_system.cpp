#include "tests/faults/faulty_system.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace poise::faults {
namespace {

constexpr int kMostDescriptors = 1024;

struct State {
  bool active = false;
  std::string folder;
  Ledger* ledger = nullptr;
  Fault fault;
  std::string paths[kMostDescriptors];  // by descriptor; empty if the descriptor is not watched
};
State& state() {
  static State* all = new State;  // never destroyed: libraries write until the very end
  return *all;
}

template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

// Relative paths start at the watched folder, where the program was started.
bool concerns_us(const char* path) {
  return state().active && path &&
         (path[0] != '/' || std::strncmp(path, state().folder.c_str(), state().folder.size()) == 0);
}
bool concerns_us(int descriptor) {
  return state().active && descriptor >= 0 && descriptor < kMostDescriptors && !state().paths[descriptor].empty();
}
const char* path_of(int descriptor) { return state().paths[descriptor].c_str(); }

void remember(int descriptor, const char* path) {
  if (state().active && descriptor >= 0 && descriptor < kMostDescriptors) state().paths[descriptor] = path ? path : "";
}

enum class What : uint8_t { nothing, error, less };

// Counts the call and returns what it must do.
What fate(Call call, const char* path) {
  State& s = state();
  const int number = s.ledger->count++;
  if (number < Ledger::kMost) {
    Ledger::Entry& entry = s.ledger->calls[number];
    entry.call = call;
    std::strncpy(entry.path, path, sizeof entry.path - 1);
  }
  const bool now =
      number == s.fault.at || (s.fault.from_then_on && s.fault.at >= 0 && number > s.fault.at && writes(call));
  if (!now) return What::nothing;
  s.ledger->fired = true;
  if (s.fault.error == 0) return What::less;
  errno = s.fault.error;
  return What::error;
}
bool fails(Call call, const char* path) { return fate(call, path) == What::error; }

size_t less_of(size_t size) { return std::max<size_t>(size / 2, std::min<size_t>(size, 1)); }

}  // namespace

const char* name_of(Call call) {
  static constexpr const char* kNames[] = {"open to read", "open to write", "read",      "write",   "fsync",
                                           "rename",       "mkdir",         "opendir",   "readdir", "stat",
                                           "unlink",       "symlink",       "ftruncate", "flock",   "mmap"};
  return kNames[static_cast<int>(call)];
}

bool writes(Call call) {
  return call == Call::open_to_write || call == Call::write || call == Call::sync || call == Call::rename ||
         call == Call::make_folder || call == Call::link || call == Call::truncate;
}

void begin(const std::string& folder, Ledger& ledger, const Fault& fault) {
  State& s = state();
  s.folder = folder;
  s.ledger = &ledger;
  s.fault = fault;
  s.active = true;
  s.paths[STDOUT_FILENO] = "standard output";
}

}  // namespace poise::faults

using namespace poise::faults;  // NOLINT: the functions below are of the global namespace

namespace {

int open_with(const char* name, const char* path, int flags, mode_t mode) {
  if (concerns_us(path)) {
    const bool to_write = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    const Call call = to_write ? Call::open_to_write : (flags & O_DIRECTORY) ? Call::open_folder : Call::open_to_read;
    if (fails(call, path)) return -1;
  }
  const int descriptor = next<int(const char*, int, ...)>(name)(path, flags, mode);
  remember(descriptor, concerns_us(path) ? path : nullptr);
  return descriptor;
}

}  // namespace

extern "C" {

#define POISE_OPEN(name)                                              \
  int name(const char* path, int flags, ...) {                        \
    va_list rest;                                                     \
    va_start(rest, flags);                                            \
    const mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                     \
    return open_with(#name, path, flags, mode);                       \
  }
POISE_OPEN(open)
POISE_OPEN(open64)
#undef POISE_OPEN

int close(int descriptor) {
  remember(descriptor, nullptr);
  static const auto real = next<int(int)>("close");
  return real(descriptor);
}

ssize_t read(int descriptor, void* to, size_t size) {
  static const auto real = next<ssize_t(int, void*, size_t)>("read");
  if (concerns_us(descriptor)) {
    const What what = fate(Call::read, path_of(descriptor));
    if (what == What::error) return -1;
    if (what == What::less) size = less_of(size);
  }
  return real(descriptor, to, size);
}

#define POISE_PREAD(name)                                                     \
  ssize_t name(int descriptor, void* to, size_t size, off_t offset) {         \
    static const auto real = next<ssize_t(int, void*, size_t, off_t)>(#name); \
    if (concerns_us(descriptor)) {                                            \
      const What what = fate(Call::read, path_of(descriptor));                \
      if (what == What::error) return -1;                                     \
      if (what == What::less) size = less_of(size);                           \
    }                                                                         \
    return real(descriptor, to, size, offset);                                \
  }
POISE_PREAD(pread)
POISE_PREAD(pread64)
#undef POISE_PREAD

ssize_t write(int descriptor, const void* from, size_t size) {
  static const auto real = next<ssize_t(int, const void*, size_t)>("write");
  if (concerns_us(descriptor)) {
    const What what = fate(Call::write, path_of(descriptor));
    if (what == What::error) return -1;
    if (what == What::less) size = less_of(size);
  }
  return real(descriptor, from, size);
}

// Watched calls do not wait for the disk, which is the real system's task.
int fsync(int descriptor) {
  if (concerns_us(descriptor)) return fails(Call::sync, path_of(descriptor)) ? -1 : 0;
  return next<int(int)>("fsync")(descriptor);
}

int rename(const char* from, const char* to) {
  if (concerns_us(to) && fails(Call::rename, to)) return -1;
  return next<int(const char*, const char*)>("rename")(from, to);
}

int mkdir(const char* path, mode_t mode) {
  if (concerns_us(path) && fails(Call::make_folder, path)) return -1;
  return next<int(const char*, mode_t)>("mkdir")(path, mode);
}

int rmdir(const char* path) {
  if (concerns_us(path) && fails(Call::remove, path)) return -1;
  return next<int(const char*)>("rmdir")(path);
}

int unlink(const char* path) {
  if (concerns_us(path) && fails(Call::remove, path)) return -1;
  return next<int(const char*)>("unlink")(path);
}

int symlink(const char* target, const char* path) {
  if (concerns_us(path) && fails(Call::link, path)) return -1;
  return next<int(const char*, const char*)>("symlink")(target, path);
}

int ftruncate(int descriptor, off_t size) {
  if (concerns_us(descriptor) && fails(Call::truncate, path_of(descriptor))) return -1;
  return next<int(int, off_t)>("ftruncate")(descriptor, size);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // shadows the struct of the same name
int flock(int descriptor, int operation) {
  if (concerns_us(descriptor) && fails(Call::lock, path_of(descriptor))) return -1;
  return next<int(int, int)>("flock")(descriptor, operation);
}
#pragma GCC diagnostic pop

DIR* opendir(const char* path) {
  if (concerns_us(path) && fails(Call::open_folder, path)) return nullptr;
  DIR* folder = next<DIR*(const char*)>("opendir")(path);
  if (folder && concerns_us(path)) remember(::dirfd(folder), path);
  return folder;
}

#define POISE_READDIR(name, type)                                                                 \
  struct type* name(DIR* folder) {                                                                \
    const int descriptor = ::dirfd(folder);                                                       \
    if (concerns_us(descriptor) && fails(Call::read_folder, path_of(descriptor))) return nullptr; \
    return next<struct type*(DIR*)>(#name)(folder);                                               \
  }
POISE_READDIR(readdir, dirent)
POISE_READDIR(readdir64, dirent64)
#undef POISE_READDIR

#define POISE_STAT(name, type)                                        \
  int name(const char* path, struct type* status) {                   \
    if (concerns_us(path) && fails(Call::look, path)) return -1;      \
    return next<int(const char*, struct type*)>(#name)(path, status); \
  }
POISE_STAT(stat, stat)
POISE_STAT(stat64, stat64)
POISE_STAT(lstat, stat)
POISE_STAT(lstat64, stat64)
#undef POISE_STAT

#define POISE_FSTAT(name, type)                                                                                      \
  int name(int descriptor, struct type* status) {                                                                    \
    if (concerns_us(descriptor) && descriptor != STDOUT_FILENO && fails(Call::look, path_of(descriptor))) return -1; \
    return next<int(int, struct type*)>(#name)(descriptor, status);                                                  \
  }
POISE_FSTAT(fstat, stat)
POISE_FSTAT(fstat64, stat64)
#undef POISE_FSTAT

// Programs read files and do not map them: this test would notice a mapping. Not through dlsym(), which may map memory.
void* mmap(void* address, size_t size, int protection, int flags, int descriptor, off_t offset) {
  if (concerns_us(descriptor) && fails(Call::map, path_of(descriptor))) return MAP_FAILED;
  return reinterpret_cast<void*>(::syscall(SYS_mmap, address, size, protection, flags, descriptor, offset));
}

}  // extern "C"
