#include "data/image_source.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <exception>
#include <map>
#include <mutex>
#include <new>
#include <set>

#include "data/decode_picture.h"
#include "data/md5.h"
#include "kernels/core/error.h"
#include "kernels/core/parallel.h"

namespace poise {
namespace {

constexpr int64_t kPicturesPerRound = 512;  // between two progress calls; far more than threads
constexpr int64_t kPicturesPerTask = 8;

// Problems by picture. All are reported together, but an error that is not the fault of a picture is thrown alone.
class Problems {
 public:
  void add(int64_t picture, std::exception_ptr problem) {
    const std::lock_guard lock(mutex_);
    problems_.emplace(picture, std::move(problem));
  }
  void throw_if_any(const ImageSource& source) const {
    if (problems_.empty()) return;
    std::string text;
    int named = 0;
    for (const auto& [picture, problem] : problems_) {
      try {
        std::rethrow_exception(problem);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::data || problems_.size() == 1) throw;
        if (named++ < 3) text += fmt::format("{}{}", named > 1 ? "; " : "", error.what());
      }
    }
    fail(ErrorKind::data, fmt::format("{} of {} pictures in {} cannot be used; repair or remove them: {}{}",
                                      problems_.size(), source.count, source.source, text, named > 3 ? "; .." : ""));
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::exception_ptr> problems_;
};

// Calls f(i) for every picture, on all threads. Throws the collected problems at the end.
template <class F>
void for_each_picture(const ImageSource& source, const ReadProgress& progress, const F& f) {
  Problems problems;
  for (int64_t first = 0; first < source.count; first += kPicturesPerRound) {
    const int64_t last = std::min(source.count, first + kPicturesPerRound);
    parallel_chunks(last - first, kPicturesPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = first + begin; i < first + end; ++i) {
        try {
          f(i);
        } catch (...) {
          problems.add(i, std::current_exception());
        }
      }
    });
    if (progress) progress(last, source.count);
  }
  problems.throw_if_any(source);
}

std::string md5_of(const std::vector<uint8_t>& bytes) {
  Md5 md5;
  md5.update(bytes);
  return md5.hex();
}

std::string content_of_hashes(const ImageSource& source, const std::vector<std::string>& hashes) {
  std::string text;
  for (const std::string& hash : hashes) text += hash + "\n";
  for (const int32_t label : source.labels) text += fmt::format("{}\n", label);
  for (const std::string& name : source.class_names) text += name + "\n";
  return poise::md5_of(text);
}

}  // namespace

Picture decode_named(const DataSetFacts& set, const std::string& path, std::span<const uint8_t> bytes) {
  try {
    return decode_picture(bytes);
  } catch (const Error&) {
    throw;
  } catch (const std::runtime_error& refusal) {
    fail_data(set, fmt::format("{}: {}", path, refusal.what()));
  }
}

ImageSet blank_images(const ImageSource& source, int64_t side) {
  ImageSet set{.name = source.name,
               .source = source.source,
               .count = source.count,
               .height = side,
               .width = side,
               .channels = 3,
               .labels = source.labels,
               .class_names = source.class_names,
               .warnings = source.warnings,
               .resize = kCropAndResize};
  set.pixels.resize(static_cast<size_t>(source.count * side * side * set.channels));
  return set;
}

ImageSet prepare_images(const ImageSource& source, int64_t side, const ReadProgress& progress, std::string* content) {
  ImageSet set = blank_images(source, side);
  const int64_t size = side * side * 3;
  std::vector<std::string> hashes(content ? static_cast<size_t>(source.count) : 0);
  for_each_picture(source, progress, [&](int64_t i) {
    const std::vector<uint8_t> bytes = source.bytes(i);
    if (content) hashes[static_cast<size_t>(i)] = md5_of(bytes);
    crop_and_resize(source.decode(i, bytes), side, set.pixels.data() + i * size);
  });
  if (content) *content = content_of_hashes(source, hashes);
  set.crc = crc_of(set);
  return set;
}

namespace {

// True for file systems that set a file's time of last change (ctime) themselves, by the clock. In a mounted image
// (squashfs, ISO) its creator has set it, a file server may report it late, and below an overlay it is unknown.
bool keeps_times_of_change(const struct statfs& system) {
  constexpr std::array<uint32_t, 6> known = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                             F2FS_SUPER_MAGIC, TMPFS_MAGIC,     0x2fc12fc1 /* ZFS */};
  return std::find(known.begin(), known.end(), static_cast<uint32_t>(system.f_type)) != known.end();
}

}  // namespace

std::string stamp_of(const ImageSource& source, const std::vector<std::string>& paths) {
  using Facts = std::array<int64_t, 7>;
  constexpr int64_t kFilesPerTask = 1024, kSecondsToSettle = 3;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::vector<Facts> facts(paths.size());
  std::atomic<bool> settled = true;
  parallel_chunks(static_cast<int64_t>(paths.size()), kFilesPerTask, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      struct stat s {};
      if (::stat(paths[i].c_str(), &s) != 0 ||
          std::max(s.st_ctim.tv_sec, s.st_mtim.tv_sec) > now.tv_sec - kSecondsToSettle)
        settled = false;
      facts[i] = {static_cast<int64_t>(s.st_dev),
                  static_cast<int64_t>(s.st_ino),
                  s.st_size,
                  s.st_mtim.tv_sec,
                  s.st_mtim.tv_nsec,
                  s.st_ctim.tv_sec,
                  s.st_ctim.tv_nsec};
    }
  });
  if (!settled) return "";
  Md5 md5;
  const auto add = [&md5](const void* bytes, size_t size) { md5.update({static_cast<const uint8_t*>(bytes), size}); };
  std::set<int64_t> devices;
  for (size_t i = 0; i < paths.size(); ++i) {
    if (!devices.insert(facts[i][0]).second) continue;
    struct statfs system {};
    if (::statfs(paths[i].c_str(), &system) != 0 || !keeps_times_of_change(system)) return "";
    add(&system.f_fsid, sizeof system.f_fsid);  // tells another disk in the same place apart
  }
  add(facts.data(), facts.size() * sizeof(Facts));
  add(source.labels.data(), source.labels.size() * sizeof(int32_t));
  for (const auto* texts : {&paths, &source.class_names}) {
    for (const std::string& text : *texts) add(text.c_str(), text.size() + 1);
  }
  return md5.hex();
}

std::string content_of(const ImageSource& source, const ReadProgress& progress) {
  std::vector<std::string> hashes(static_cast<size_t>(source.count));
  for_each_picture(source, progress, [&](int64_t i) { hashes[static_cast<size_t>(i)] = md5_of(source.bytes(i)); });
  return content_of_hashes(source, hashes);
}

}  // namespace poise
