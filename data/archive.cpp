#include "data/archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/core/error.h"

#ifdef POISE_HAVE_LIBARCHIVE
#include <archive.h>
#include <archive_entry.h>

#include <exception>
#include <mutex>
#include <utility>
#endif

namespace poise {
namespace {

[[maybe_unused]] constexpr int64_t kMiB = int64_t{1} << 20;

}  // namespace

bool is_archive(const std::string& path) {
  if (!is_regular_file(path)) return false;
  const DataFile file({}, path);
  std::array<uint8_t, 262> begin{};
  file.read(0, std::span(begin).first(std::min(begin.size(), static_cast<size_t>(file.size()))));
  const std::string_view text(reinterpret_cast<const char*>(begin.data()), begin.size());
  return text.starts_with("\x1f\x8b") || text.starts_with("PK\3\4") || text.substr(257) == "ustar";
}

#ifndef POISE_HAVE_LIBARCHIVE

std::vector<std::string> first_paths_in_archive(const DataSetFacts&, const std::string&, size_t) { return {}; }

Archive::Archive(const DataSetFacts&, const std::string& path, const Wanted&, int64_t) {
  fail(ErrorKind::environment, path +
                                   ": this build reads no archives: unpack it (tar xzf or unzip), or install "
                                   "libarchive (libarchive-dev), configure and build again");
}

#else

namespace {

// Limits for a data set. STL-10 has 3.1 GB, Tiny-ImageNet 120,000 pictures.
constexpr int64_t kMostBytes = 16384 * kMiB, kMostKept = 4096 * kMiB, kMostEntries = 400'000;
constexpr int64_t kMostExpansion = 200, kAnyExpansion = 64 * kMiB;  // zeros compress to a thousandth; pictures do not
constexpr size_t kMostPath = 1024;
constexpr size_t kWindow = size_t{32} << 20;  // for large files: threads that read neighbouring pictures stay within

struct Entry {
  std::string path;  // without leading ./ and trailing /
  bool folder = false;
  int64_t size = -1;  // as declared; -1: not declared
};

// Walks through an archive from its beginning, entry by entry, and checks each one.
class Walk {
 public:
  Walk(const DataSetFacts& set, const std::string& path) : set_(set), file_(set, path), archive_(::archive_read_new()) {
    if (!archive_) throw std::bad_alloc();
    ::archive_read_support_filter_gzip(archive_);
    ::archive_read_support_format_tar(archive_);
    ::archive_read_support_format_zip(archive_);
    ::archive_read_set_callback_data(archive_, this);
    ::archive_read_set_read_callback(archive_, read_block);
    ::archive_read_set_skip_callback(archive_, skip);
    ::archive_read_set_seek_callback(archive_, seek);
    try {
      check(::archive_read_open1(archive_));
    } catch (...) {
      ::archive_read_free(archive_);
      throw;
    }
  }
  ~Walk() { ::archive_read_free(archive_); }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  // The next file or folder; false at the end.
  bool next(Entry& entry) {
    ::archive_entry* header = nullptr;
    const int status = ::archive_read_next_header(archive_, &header);
    if (status == ARCHIVE_EOF) return false;
    check(status);
    const char* path = ::archive_entry_pathname(header);
    if (!path) refuse("a file without a name that can be read");
    entry = {.path = path, .folder = ::archive_entry_filetype(header) == AE_IFDIR};
    if (++entries_ > kMostEntries) refuse(fmt::format("more than {} files", kMostEntries));
    check_kind(header, entry.path);
    while (entry.path.starts_with("./")) entry.path.erase(0, 2);
    while (entry.folder && entry.path.ends_with('/')) entry.path.pop_back();
    if (entry.path == ".") entry.path.clear();
    check_path(entry);
    if (::archive_entry_size_is_set(header)) entry.size = std::max<int64_t>(::archive_entry_size(header), 0);
    left_ = entry.size;
    if (entry.size > 0) add(entry.size, entry.path);
    return true;
  }

  // Reads the next bytes of the current file; fewer than requested only at its end.
  size_t read(std::span<uint8_t> to) {
    size_t done = 0;
    while (done < to.size()) {
      const la_ssize_t got = ::archive_read_data(archive_, to.data() + done, to.size() - done);
      if (got < 0) check(static_cast<int>(got));
      if (got <= 0) break;
      done += static_cast<size_t>(got);
      if (left_ < 0)
        add(got, "a file of unknown size");
      else if ((left_ -= got) < 0)
        refuse("a file of more bytes than it claims");
    }
    return done;
  }

  [[noreturn]] void refuse(const std::string& found) const {
    fail_data(set_, fmt::format("{}: expected a data set's files, found {}; get the archive again: {}", file_.path(),
                                found, set_.where_to_get));
  }

 private:
  void check(int status) {
    if (const std::exception_ptr error = std::exchange(error_, nullptr)) std::rethrow_exception(error);
    if (status >= ARCHIVE_WARN) return;
    const char* text = ::archive_error_string(archive_);
    fail_data(set_, fmt::format("{}: the archive is damaged or of another kind ({}); {}", file_.path(),
                                quoted_text(text ? text : "no reason given"), set_.where_to_get));
  }

  void check_kind(::archive_entry* header, const std::string& path) const {
    const auto type = ::archive_entry_filetype(header);
    if (::archive_entry_hardlink(header) || ::archive_entry_symlink(header) || (type != AE_IFREG && type != AE_IFDIR)) {
      refuse("a link or a device, " + quoted_text(path));
    }
    if (::archive_entry_is_encrypted(header)) refuse("an encrypted file, " + quoted_text(path));
  }

  void check_path(const Entry& entry) const {
    const std::string& path = entry.path;
    const auto plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != '\\'; };
    bool good =
        path.size() <= kMostPath && std::all_of(path.begin(), path.end(), plain) && (entry.folder || !path.empty());
    for (size_t at = 0; good && !path.empty() && at <= path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      const std::string_view part = std::string_view(path).substr(at, end - at);
      good = !part.empty() && part != "." && part != "..";
      at = end + 1;
    }
    if (!good) refuse("the path " + quoted_text(path));
  }

  void add(int64_t bytes, const std::string& path) {
    total_ = bytes > kMostBytes - total_ ? kMostBytes + 1 : total_ + bytes;
    if (total_ > kMostBytes) refuse(fmt::format("more than {} bytes at {}", kMostBytes, quoted_text(path)));
    if (total_ > kAnyExpansion && total_ / kMostExpansion > file_.size()) {
      refuse(fmt::format("{} bytes in a file of {}, at {}", total_, file_.size(), quoted_text(path)));
    }
  }

  // Exceptions must not pass through C code, so they are kept until libarchive has returned.
  template <class F>
  auto guarded(const F& f) noexcept -> decltype(f()) {
    try {
      return f();
    } catch (...) {
      error_ = std::current_exception();
      return ARCHIVE_FATAL;
    }
  }
  static la_ssize_t read_block(::archive*, void* self, const void** block) {
    return static_cast<Walk*>(self)->guarded([self, block]() -> la_ssize_t {
      Walk& walk = *static_cast<Walk*>(self);
      const size_t size = std::min(walk.block_.size(), static_cast<size_t>(walk.file_.size() - walk.at_));
      walk.file_.read(walk.at_, std::span(walk.block_).first(size));
      walk.at_ += static_cast<int64_t>(size);
      *block = walk.block_.data();
      return static_cast<la_ssize_t>(size);
    });
  }
  static la_int64_t skip(::archive*, void* self, la_int64_t bytes) {
    Walk& walk = *static_cast<Walk*>(self);
    const la_int64_t skipped = std::clamp<la_int64_t>(bytes, 0, walk.file_.size() - walk.at_);
    walk.at_ += skipped;
    return skipped;
  }
  static la_int64_t seek(::archive*, void* self, la_int64_t offset, int whence) {
    Walk& walk = *static_cast<Walk*>(self);
    const la_int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? walk.at_ : walk.file_.size();
    if (offset < -from || offset > walk.file_.size() - from) return ARCHIVE_FATAL;
    return walk.at_ = from + offset;
  }

  const DataSetFacts& set_;
  DataFile file_;
  ::archive* archive_;
  std::vector<uint8_t> block_ = std::vector<uint8_t>(size_t{1} << 18);
  std::exception_ptr error_;
  int64_t at_ = 0, entries_ = 0, total_ = 0;
  int64_t left_ = -1;  // of the current file, as declared; -1: not declared
};

class KeptBytes : public ByteSource {
 public:
  explicit KeptBytes(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  void read(int64_t offset, std::span<uint8_t> to) const override {
    std::copy_n(bytes_.begin() + offset, to.size(), to.begin());
  }

 private:
  std::vector<uint8_t> bytes_;
};

// A large file, read through a window that moves forwards. Reading before the window restarts from the beginning.
class PassingBytes : public ByteSource {
 public:
  PassingBytes(const DataSetFacts& set, const std::string& archive, const std::string& name, int64_t size)
      : set_(set), archive_(archive), name_(name), size_(size) {}
  int64_t size() const override { return size_; }
  void read(int64_t offset, std::span<uint8_t> to) const override {
    const std::lock_guard lock(mutex_);
    if (!walk_ || offset < first_) restart();
    const int64_t end = offset + static_cast<int64_t>(to.size());
    while (first_ + static_cast<int64_t>(window_.size()) < end) advance(offset);
    std::copy_n(window_.begin() + (offset - first_), to.size(), to.begin());
  }

 private:
  void restart() const {
    walk_ = std::make_unique<Walk>(set_, archive_);
    window_.clear();
    first_ = 0;
    for (Entry entry; walk_->next(entry);) {
      if (!entry.folder && entry.path == name_) return;
    }
    changed();
  }

  // Reads on. Keeps half a window of earlier bytes, or more if they are needed from `offset` on.
  void advance(int64_t offset) const {
    if (window_.size() > kWindow) {
      const auto gone = std::min<int64_t>(static_cast<int64_t>(window_.size() - kWindow / 2), offset - first_);
      window_.erase(window_.begin(), window_.begin() + std::max<int64_t>(gone, 0));
      first_ += std::max<int64_t>(gone, 0);
    }
    const size_t before = window_.size();
    window_.resize(before + static_cast<size_t>(kMiB));
    const size_t got = walk_->read(std::span(window_).subspan(before));
    window_.resize(before + got);
    if (got == 0) changed();
  }

  [[noreturn]] void changed() const {
    fail(ErrorKind::environment, archive_ + ": the archive changed while it was read; try again");
  }

  const DataSetFacts set_;
  const std::string archive_, name_;
  const int64_t size_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<Walk> walk_;
  mutable std::vector<uint8_t> window_;
  mutable int64_t first_ = 0;  // offset of the window
};

}  // namespace

std::vector<std::string> first_paths_in_archive(const DataSetFacts& set, const std::string& path, size_t most) {
  Walk walk(set, path);
  std::vector<std::string> paths;
  for (Entry entry; paths.size() < most && walk.next(entry);) paths.push_back(entry.path);
  return paths;
}

Archive::Archive(const DataSetFacts& set, const std::string& path, const Wanted& wanted, int64_t large)
    : set_(set), path_(path) {
  Walk walk(set_, path);
  int64_t kept = 0;
  for (Entry entry; walk.next(entry);) {
    const std::string& name = entry.path;
    for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      folders_.insert(name.substr(0, slash));
    }
    if (entry.folder) {
      if (!name.empty()) folders_.insert(name);
      continue;
    }
    const auto [file, added] = files_.emplace(name, nullptr);
    if (!added) walk.refuse("the path " + quoted_text(name) + " twice");
    if (!wanted(name)) continue;
    std::vector<uint8_t> bytes;
    int64_t size = 0;
    for (size_t got = 0, asked = 0; got == asked; size += static_cast<int64_t>(got)) {
      asked = static_cast<size_t>(std::clamp<int64_t>(entry.size + 1 - size, 4096, kMiB));
      const size_t before = size <= large ? bytes.size() : 0;  // only the size of a large file is needed
      bytes.resize(before + asked);
      got = walk.read(std::span(bytes).subspan(before));
      bytes.resize(before + got);
    }
    if (size > large) {
      file->second = std::make_shared<PassingBytes>(set_, path, name, size);
      continue;
    }
    kept += size;
    if (kept > kMostKept) walk.refuse(fmt::format("more than {} bytes of small files", kMostKept));
    bytes.shrink_to_fit();
    file->second = std::make_shared<KeptBytes>(std::move(bytes));
  }
  for (const std::string& folder : folders_) {
    if (files_.count(folder)) walk.refuse("a file and a folder at the path " + quoted_text(folder));
  }
}

#endif

std::vector<std::string> Archive::names(const std::string& folder) const {
  const std::string prefix = folder.empty() ? "" : folder + "/";
  std::set<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path.starts_with(prefix) && path.size() > prefix.size())
      names.insert(path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size()));
  };
  for (auto it = files_.lower_bound(prefix); it != files_.end() && it->first.starts_with(prefix); ++it) add(it->first);
  for (auto it = folders_.lower_bound(prefix); it != folders_.end() && it->starts_with(prefix); ++it) add(*it);
  return {names.begin(), names.end()};
}

DataFile Archive::file(const std::string& name) const {
  const auto found = files_.find(name);
  const std::string path = join_path(path_, name);
  if (found == files_.end()) {
    fail_data(set_, fmt::format("{}: expected this file in the archive, found none; {}", path, set_.where_to_get));
  }
  require(found->second != nullptr, "a file of an archive that was not wanted");
  return DataFile(path, found->second);
}

}  // namespace poise
