#include "data/image_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <mutex>
#include <new>

#include "data/decode_picture.h"
#include "kernels/core/error.h"
#include "kernels/core/parallel.h"

namespace poise {
namespace {

constexpr int64_t kPicturesPerRound = 512;  // between two calls of the progress: well above the number of threads
constexpr int64_t kPicturesPerTask = 8;

// What went wrong with which picture: any number, but of an error that is no picture's fault one is enough.
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
    fail(ErrorKind::data, fmt::format("{} of {} pictures in {} are of no use; repair or remove them: {}{}",
                                      problems_.size(), source.count, source.source, text, named > 3 ? "; .." : ""));
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::exception_ptr> problems_;
};

}  // namespace

Picture read_picture(const DataSetFacts& set, const std::string& path) {
  const DataFile file(set, path);
  try {
    return decode_picture(file.read_all());
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
               .class_names = source.class_names};
  set.pixels.resize(static_cast<size_t>(source.count * side * side * set.channels));
  return set;
}

ImageSet prepare_images(const ImageSource& source, int64_t side, const ReadProgress& progress) {
  ImageSet set = blank_images(source, side);
  const int64_t bytes = side * side * 3;
  Problems problems;
  for (int64_t first = 0; first < source.count; first += kPicturesPerRound) {
    const int64_t last = std::min(source.count, first + kPicturesPerRound);
    parallel_chunks(last - first, kPicturesPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = first + begin; i < first + end; ++i) {
        try {
          crop_and_resize(source.picture(i), side, set.pixels.data() + i * bytes);
        } catch (...) {
          problems.add(i, std::current_exception());
        }
      }
    });
    if (progress) progress(last, source.count);
  }
  problems.throw_if_any(source);
  set.crc = crc_of(set);
  return set;
}

}  // namespace poise
