#include "data/image_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>

#include "data/decode_picture.h"
#include "data/md5.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

struct Header {
  char magic[16] = "poise.images/1";
  int64_t count = 0, side = 0, classes = 0, has_labels = 0, crc = 0, zero = 0;
};
static_assert(sizeof(Header) == 64);

template <class T>
std::span<const uint8_t> bytes_of(const T* first, size_t count) {
  return {reinterpret_cast<const uint8_t*>(first), count * sizeof(T)};
}

bool write_all(int descriptor, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return true;
}

std::optional<ImageSet> parse(const DataFile& file, const ImageSource& source, int64_t side) {
  Header header;
  if (file.size() < static_cast<int64_t>(sizeof header)) return {};
  file.read(0, {reinterpret_cast<uint8_t*>(&header), sizeof header});
  const auto classes = static_cast<int64_t>(source.class_names.size());
  const bool same = std::memcmp(header.magic, Header{}.magic, sizeof header.magic) == 0 &&
                    header.count == source.count && header.side == side && header.classes == classes &&
                    header.has_labels == (source.labels.empty() ? 0 : 1) && header.zero == 0;
  if (!same) return {};
  const int64_t pixels = header.count * side * side * 3, labels = header.has_labels * header.count * 4;
  std::string names;
  for (const std::string& name : source.class_names) names += name + "\n";
  if (file.size() != static_cast<int64_t>(sizeof header + names.size()) + pixels + labels) return {};

  ImageSet set = blank_images(source, side);
  file.read(sizeof header, set.pixels);
  set.crc = crc_of(set);
  if (set.crc != header.crc) return {};
  return set;
}

}  // namespace

std::string cache_path(const std::string& cache_folder, const ImageSource& source, int64_t side) {
  const std::string key = fmt::format("1\n{}\n{}\n{}\n{}", source.name, side, jpeg_decoder(), source.fingerprint);
  return path_in(cache_folder, fmt::format("images-{}-{}-{}.bin", source.name, side, md5_of(key)));
}

std::optional<ImageSet> read_cached(const std::string& path, const ImageSource& source, int64_t side) {
  if (!path_exists(path)) return {};
  try {
    return parse(DataFile({"cache", "delete it"}, path), source, side);
  } catch (const Error&) {
    return {};  // it will be made again
  }
}

bool write_cached(const std::string& path, const ImageSet& set) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0) return false;
  Header header;
  header.count = set.count;
  header.side = set.height;
  header.classes = static_cast<int64_t>(set.class_names.size());
  header.has_labels = set.labels.empty() ? 0 : 1;
  header.crc = set.crc;
  std::string names;
  for (const std::string& name : set.class_names) names += name + "\n";
  bool good = write_all(descriptor, bytes_of(&header, 1)) && write_all(descriptor, set.pixels) &&
              write_all(descriptor, bytes_of(set.labels.data(), set.labels.size())) &&
              write_all(descriptor, bytes_of(names.data(), names.size())) && ::fsync(descriptor) == 0;
  good = ::close(descriptor) == 0 && good;
  good = good && ::rename(temporary.c_str(), path.c_str()) == 0;
  if (!good) ::unlink(temporary.c_str());
  return good;
}

}  // namespace poise
