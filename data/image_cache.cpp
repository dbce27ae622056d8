#include "data/image_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <span>

#include "data/decode_picture.h"
#include "data/md5.h"
#include "engine/io/atomic_file.h"
#include "engine/io/read_file.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

struct Header {
  char magic[16] = "poise.images/1";
  int64_t count = 0, side = 0, classes = 0, has_labels = 0, crc = 0, zero = 0;
};
static_assert(sizeof(Header) == 64);

std::string lines_of(const std::vector<std::string>& class_names) {
  std::string lines;
  for (const std::string& name : class_names) lines += name + "\n";
  return lines;
}

int64_t cached_size(const ImageSource& source, int64_t side) {
  return static_cast<int64_t>(sizeof(Header) + lines_of(source.class_names).size() + 4 * source.labels.size()) +
         source.count * side * side * 3;
}

std::string beginning_of_name(const ImageSource& source, int64_t side) {
  return fmt::format("images-{}-{}-", source.name, side);
}

std::string path_of_content(const std::string& cache_folder, const std::string& stamp) {
  return join_path(cache_folder, "content-" + stamp + ".txt");
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
  if (file.size() != cached_size(source, side)) return {};

  ImageSet set = blank_images(source, side);
  file.read(sizeof header, set.pixels);
  set.crc = crc_of(set);
  if (set.crc != header.crc) return {};
  return set;
}

}  // namespace

std::string cache_path(const std::string& cache_folder, const ImageSource& source, int64_t side,
                       const std::string& content) {
  const std::string key = fmt::format("2\n{}\n{}\n{}\n{}", source.name, side, picture_decoders(), content);
  return join_path(cache_folder, beginning_of_name(source, side) + md5_of(key) + ".bin");
}

std::string known_content(const std::string& cache_folder, const std::string& stamp) {
  constexpr size_t kDigits = 32;
  if (stamp.empty()) return "";
  std::string text = read_text_if_exists(path_of_content(cache_folder, stamp), ErrorKind::environment).value_or("");
  if (text.ends_with('\n')) text.pop_back();
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos ? text : "";
}

void keep_content(const std::string& cache_folder, const std::string& stamp, const std::string& content) {
  if (stamp.empty()) return;
  try {
    write_file_atomically(path_of_content(cache_folder, stamp), content + "\n");
  } catch (const Error&) {
  }
}

bool cache_may_have(const std::string& cache_folder, const ImageSource& source, int64_t side) {
  for (const std::string& name : names_in_folder_if_exists(cache_folder)) {
    if (!name.starts_with(beginning_of_name(source, side)) || !name.ends_with(".bin")) continue;
    struct stat status {};
    const bool other = ::stat(join_path(cache_folder, name).c_str(), &status) == 0 &&
                       status.st_size != static_cast<off_t>(cached_size(source, side));
    if (!other) return true;
  }
  return false;
}

std::optional<ImageSet> read_cached(const std::string& path, const ImageSource& source, int64_t side) {
  if (!path_exists(path)) return {};
  return parse(DataFile({"cache", "delete it"}, path), source, side);
}

void write_cached(const std::string& path, const ImageSet& set) {
  const std::string folder = split_path(path).folder;
  make_folders(folder);
  remove_stale_temporaries(folder);
  Header header;
  header.count = set.count;
  header.side = set.height;
  header.classes = static_cast<int64_t>(set.class_names.size());
  header.has_labels = set.labels.empty() ? 0 : 1;
  header.crc = set.crc;
  AtomicFile file(path);
  file.write(&header, sizeof header);
  file.write(set.pixels.data(), set.pixels.size());
  file.write(set.labels.data(), set.labels.size() * sizeof(int32_t));
  file.write(lines_of(set.class_names));
  file.commit();
}

}  // namespace poise
