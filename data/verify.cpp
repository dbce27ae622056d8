#include "data/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>

#include "data/data_folder.h"
#include "data/image_folder.h"
#include "data/md5.h"
#include "data/tiny_imagenet.h"
#include "kernels/core/error.h"
#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"

namespace poise {
namespace {

using State = FileVerdict::State;
constexpr int64_t kPiece = int64_t{1} << 20;
constexpr size_t kMostNamed = 20;  // unusable pictures

class Counted {
 public:
  Counted(const ReadProgress& progress, int64_t total) : progress_(progress), total_(total) {}
  void advance() {
    if (progress_) progress_(++done_, total_);
  }

 private:
  const ReadProgress& progress_;
  int64_t done_ = 0, total_;
};

std::string md5_of_file(const DataFile& file, Counted& progress) {
  Md5 md5;
  std::vector<uint8_t> piece;
  for (int64_t at = 0; at < file.size(); at += kPiece) {
    piece.resize(static_cast<size_t>(std::min(kPiece, file.size() - at)));
    file.read(at, piece);
    md5.update(piece);
    progress.advance();
  }
  return md5.hex();
}

FileVerdict verify_file(const OfficialFile& official, const DataFolder& folder, Counted& progress) {
  FileVerdict verdict{.file = official.name};
  if (!folder.has_file(official.name)) {
    verdict.state = State::missing;
    verdict.text = fmt::format("expected {} bytes; needed for {}", official.bytes, fmt::join(official.splits, ", "));
    return verdict;
  }
  try {
    const DataFile file = folder.file(official.name);
    if (file.size() != official.bytes) {
      verdict.state = State::damaged;
      verdict.text = fmt::format("expected {} bytes, found {}: {}", official.bytes, file.size(),
                                 file.size() < official.bytes ? "truncated" : "oversized");
    } else if (official.md5.empty()) {
      verdict.text = fmt::format("{} bytes; no published checksum", file.size());
    } else {
      const std::string md5 = md5_of_file(file, progress);
      verdict.text = fmt::format("{} bytes, md5 {}", file.size(), md5);
      if (md5 != official.md5) {
        verdict.state = State::damaged;
        verdict.text = fmt::format("expected md5 {}, found {}", official.md5, md5);
      }
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;  // an unreadable file is not known to be damaged
    verdict.state = State::damaged;
    verdict.text = error.what();
  }
  return verdict;
}

DataVerdict verify_official(const DataSetFacts& set, const std::string& given, const ReadProgress& progress) {
  const DataFolder folder(set, given, [&](const std::string& name) {
    return std::any_of(set.files.begin(), set.files.end(), [&](const OfficialFile& file) { return file.name == name; });
  });
  DataVerdict verdict{.folder = folder.path()};
  int64_t pieces = 0;
  for (const OfficialFile& file : set.files) {
    if (!file.md5.empty() && folder.has_file(file.name)) pieces += ceil_div(file.bytes, kPiece);
  }
  Counted counted(progress, pieces);
  verdict.splits = set.splits;
  bool damaged = false;
  for (const OfficialFile& file : set.files) {
    verdict.files.push_back(verify_file(file, folder, counted));
    if (verdict.files.back().state == State::good) continue;
    damaged = damaged || verdict.files.back().state == State::damaged;
    std::erase_if(verdict.splits, [&](const std::string& split) {
      return std::find(file.splits.begin(), file.splits.end(), split) != file.splits.end();
    });
  }
  const bool all = verdict.splits.size() == set.splits.size();
  verdict.good = !damaged && !verdict.splits.empty() && verdict.splits[0] == set.splits[0];
  verdict.summary =
      all       ? "complete"
      : damaged ? "damaged: replace the damaged files"
                : fmt::format("incomplete: the complete splits are {}",
                              verdict.splits.empty() ? "(none)" : fmt::format("{}", fmt::join(verdict.splits, ", ")));
  return verdict;
}

// Decodes all pictures and names the unusable ones.
void verify_pictures(const ImageSource& source, const ReadProgress& progress, DataVerdict& verdict) {
  constexpr int64_t kRound = 512;
  int64_t bad = 0;
  for (int64_t first = 0; first < source.count; first += kRound) {
    const int64_t last = std::min(source.count, first + kRound);
    std::vector<std::string> problems(static_cast<size_t>(last - first));
    std::vector<std::exception_ptr> failures(problems.size());
    parallel_for(last - first, [&](int64_t i) {
      try {
        source.picture(first + i);
      } catch (const Error& problem) {
        if (problem.kind() == ErrorKind::data)
          problems[static_cast<size_t>(i)] = problem.what();
        else
          failures[static_cast<size_t>(i)] = std::current_exception();
      } catch (...) {
        failures[static_cast<size_t>(i)] = std::current_exception();
      }
    });
    for (const std::exception_ptr& failure : failures) {
      if (failure) std::rethrow_exception(failure);  // a failure of the system, not of a picture
    }
    for (const std::string& problem : problems) {
      if (problem.empty()) continue;
      if (++bad <= static_cast<int64_t>(kMostNamed)) verdict.files.push_back({"", State::damaged, problem});
    }
    if (progress) progress(last, source.count);
  }
  verdict.good = verdict.good && bad == 0;
  verdict.summary += fmt::format("{} of {} images readable", source.count - bad, source.count);
  verdict.warnings.insert(verdict.warnings.end(), source.warnings.begin(), source.warnings.end());
}

DataVerdict verify_tiny_imagenet(const std::string& folder, const ReadProgress& progress) {
  DataVerdict verdict{.folder = folder, .good = true};
  const struct {
    TinyImagenetSplit split;
    const char* name;
    int64_t per_class;
  } splits[] = {{TinyImagenetSplit::train, "train", 500}, {TinyImagenetSplit::val, "val", 50}};
  for (const auto& [split, name, per_class] : splits) {
    const auto source = open_tiny_imagenet(folder, split);
    verdict.folder = source->source;
    std::map<int32_t, int64_t> counts;
    for (const int32_t label : source->labels) ++counts[label];
    const auto whole =
        std::count_if(counts.begin(), counts.end(), [&](const auto& c) { return c.second == per_class; });
    FileVerdict file{.file = name};
    file.text = fmt::format("{} images of {} classes; {} classes have their {}; no published checksum", source->count,
                            source->class_names.size(), whole, per_class);
    if (whole != 200 || source->class_names.size() != 200) {
      file.state = State::missing;
      if (split == TinyImagenetSplit::train) verdict.good = false;
    } else {
      verdict.splits.emplace_back(name);
    }
    verdict.files.push_back(file);
    verdict.summary += verdict.summary.empty() ? "" : "; ";
    verdict.summary += std::string(name) + ": ";
    verify_pictures(*source, progress, verdict);
  }
  return verdict;
}

}  // namespace

DataVerdict verify_data(const std::string& name, const std::string& folder, const ReadProgress& progress) {
  const DataSetFacts& set = data_set_facts(name);
  if (!set.files.empty()) return verify_official(set, folder, progress);
  if (name == tiny_imagenet_facts().name) return verify_tiny_imagenet(folder, progress);
  DataVerdict verdict{.folder = folder, .good = true};
  const auto source = open_image_folder(folder);
  if (!source->class_names.empty()) verdict.summary = fmt::format("{} classes, ", source->class_names.size());
  verify_pictures(*source, progress, verdict);
  return verdict;
}

std::string verdict_text(const std::string& name, const DataVerdict& verdict) {
  constexpr const char* kWords[] = {"ok", "missing", "damaged"};
  std::string text = fmt::format("{} in {}\n", name, verdict.folder);
  for (const FileVerdict& file : verdict.files) {
    text += fmt::format("  {:<8} {}{}{}\n", kWords[static_cast<int>(file.state)], file.file,
                        file.file.empty() ? "" : "  ", file.text);
  }
  text += verdict.summary + "\n";
  for (const std::string& warning : verdict.warnings) text += "warning: " + warning + "\n";
  const bool lacking = std::any_of(verdict.files.begin(), verdict.files.end(),
                                   [](const FileVerdict& file) { return file.state != State::good; });
  if (lacking && name != image_folder_facts().name) {
    text += "to complete it " + data_set_facts(name).where_to_get + "; Poise downloads nothing\n";
  }
  return text;
}

}  // namespace poise
