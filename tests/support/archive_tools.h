// Builds archives for tests, including malformed and hostile ones.
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include <string>
#include <vector>

#include "tests/support/file_test_tools.h"

namespace poise::test {

struct ArchiveEntry {
  std::string path, bytes;
  unsigned type = AE_IFREG;
  std::string link;  // target of a symbolic link; with type AE_IFREG, of a hard link
};

enum class ArchiveKind : uint8_t { tar, tar_gz, zip };

// The bytes of an archive with these entries. Throws if libarchive reports an error.
inline std::string archive_bytes(ArchiveKind kind, const std::vector<ArchiveEntry>& entries) {
  std::string bytes;
  ::archive* writer = ::archive_write_new();
  const auto check = [&](la_ssize_t status) {
    if (status < 0) throw std::runtime_error(::archive_error_string(writer));
  };
  if (kind == ArchiveKind::zip)
    check(::archive_write_set_format_zip(writer));
  else
    check(::archive_write_set_format_pax_restricted(writer));
  if (kind == ArchiveKind::tar_gz) {
    check(::archive_write_add_filter_gzip(writer));
    check(::archive_write_set_filter_option(writer, "gzip", "compression-level", "1"));
  }
  const auto append = [](::archive*, void* to, const void* block, size_t size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(block), size);
    return static_cast<la_ssize_t>(size);
  };
  check(::archive_write_open(writer, &bytes, nullptr, append, nullptr));
  for (const ArchiveEntry& each : entries) {
    ::archive_entry* entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, each.path.c_str());
    ::archive_entry_set_filetype(entry, each.type);
    ::archive_entry_set_perm(entry, 0644);
    ::archive_entry_set_size(entry, static_cast<la_int64_t>(each.bytes.size()));
    if (!each.link.empty() && each.type == AE_IFLNK) ::archive_entry_set_symlink(entry, each.link.c_str());
    if (!each.link.empty() && each.type == AE_IFREG) ::archive_entry_set_hardlink(entry, each.link.c_str());
    check(::archive_write_header(writer, entry));
    if (!each.bytes.empty()) check(::archive_write_data(writer, each.bytes.data(), each.bytes.size()));
    ::archive_entry_free(entry);
  }
  check(::archive_write_close(writer));
  ::archive_write_free(writer);
  return bytes;
}

// Every file below `folder`, under `inside` in the archive.
inline std::vector<ArchiveEntry> entries_of_folder(const std::string& folder, const std::string& inside) {
  std::vector<ArchiveEntry> entries = {{inside, "", AE_IFDIR, ""}};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string path = inside + "/" + std::filesystem::relative(entry.path(), folder).string();
    if (entry.is_directory())
      entries.push_back({path, "", AE_IFDIR, ""});
    else
      entries.push_back({path, read_bytes(entry.path().string())});
  }
  return entries;
}

}  // namespace poise::test
