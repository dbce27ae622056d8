// The architecture, enforced: which layer may include which, and the reading path that kernels/README.md promises.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
const fs::path kRoot = POISE_SOURCE_DIR;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

using Map = std::map<std::string, std::set<std::string>>;

const Map kLayers = {
    {"kernels", {"kernels"}},
    {"engine", {"kernels", "engine"}},
    {"data", {"kernels", "engine/io", "data"}},
    {"models", {"kernels", "engine", "models"}},
    {"apps", {"kernels", "engine", "models", "data", "apps"}},
    {"bench", {"kernels", "engine", "models", "data", "apps", "bench", "tests"}},
    {"tests", {"kernels", "engine", "models", "data", "apps", "tests"}},
};

// The folders ("rooms") of apps, from the ground floor up. Each may include itself and the ones below it.
const std::vector<std::string> kFloorsOfApps = {"console", "training", "evaluation", "options", "run",
                                                "export",  "report",   "sweep",      "programs"};

// Folders that hold one kind of kernel, and what each may include: nothing of its neighbours except what is listed.
const Map kRoomsOfKernels = {
    {"core", {"core", "gpu"}},  // OwnedTensor frees memory of any device
    {"dense/conv2d", {"core", "gpu", "dense/conv2d"}},
    {"dense/linear", {"core", "gpu", "dense/linear"}},
    {"dense/norm", {"core", "gpu", "dense/norm", "ranks"}},
    {"dense/pointwise", {"core", "gpu", "dense/pointwise"}},
    {"dense/space", {"core", "gpu", "dense/space"}},
    {"dense/conditional", {"core", "gpu", "dense/conditional"}},
    {"dense/attention", {"core", "gpu", "dense/attention"}},
    {"dense/loss", {"core", "gpu", "dense/loss"}},
    {"sparse/masks", {"core", "gpu", "sparse/masks"}},
    {"sparse/block", {"core", "gpu", "sparse/block", "dense/conv2d"}},
    {"sparse/weights", {"core", "gpu", "sparse/weights", "sparse/masks", "dense/conv2d"}},
    {"sparse/cusparse", {"core", "gpu", "sparse/cusparse", "sparse/block", "dense/conv2d"}},
    {"train", {"core", "gpu", "train", "sparse/masks"}},
    {"ranks", {"core", "gpu", "gpu/cuda", "gpu/emulated", "ranks"}},
};

// Calls f(file, include) for every quoted include in the files of `folder`, and returns how many there are.
template <class F>
int for_each_include(const fs::path& folder, const F& f) {
  const std::regex include(R"re(#include "([^"]+)")re");
  int seen = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
    const std::string text = text_of(entry.path());
    for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it, ++seen) {
      f(entry.path(), fs::path((*it)[1].str()));
    }
  }
  return seen;
}

TEST(House, IncludesGoDownwardsOnly) {
  int seen = 0;
  for (const auto& [layer, allowed] : kLayers) {
    seen += for_each_include(kRoot / layer, [&](const fs::path& file, const fs::path& used) {
      const std::string other = used.begin()->string();
      if (!kLayers.count(other)) return;  // a system folder in quotes
      EXPECT_TRUE(allowed.count(other) || allowed.count(used.parent_path().string())) << file << " includes " << used;
    });
  }
  EXPECT_GT(seen, 1000);
}

TEST(House, FilesAreALayerOfTheirOwn) {
  for_each_include(kRoot / "engine/io", [&](const fs::path& file, const fs::path& used) {
    const std::string room = used.parent_path().string();
    EXPECT_TRUE(room == "engine/io" || room == "kernels/core" || room == "stb") << file << " includes " << used;
  });
}

TEST(House, RoomsOfAppsLookDownwardsOnly) {
  std::set<std::string> below;
  for (const std::string& room : kFloorsOfApps) {
    below.insert(room);
    const int seen = for_each_include(kRoot / "apps" / room, [&](const fs::path& file, const fs::path& used) {
      if (*used.begin() != "apps") return;
      EXPECT_TRUE(below.count(std::next(used.begin())->string())) << file << " includes " << used;
    });
    EXPECT_GT(seen, 0) << room;
  }
  for (const auto& entry : fs::directory_iterator(kRoot / "apps")) {
    const std::string name = entry.path().filename().string();
    const std::set<std::string> others = {"CMakeLists.txt", "README.md", "presets", "install", "example"};
    EXPECT_TRUE(below.count(name) || others.count(name)) << name << " belongs into a room";
  }
}

TEST(House, RoomsOfKernelsKeepToThemselves) {
  for (const auto& [room, allowed] : kRoomsOfKernels) {
    for_each_include(kRoot / "kernels" / room, [&](const fs::path& file, const fs::path& used) {
      if (*used.begin() != "kernels" || used.parent_path() == "kernels") return;
      const std::string other = used.parent_path().lexically_relative("kernels").string();
      EXPECT_TRUE(allowed.count(other)) << file << " includes " << used;
    });
  }
}

// The interpreter must not share headers with the kernels, or it would be no independent oracle for nvcc's code.
TEST(House, TheInterpreterOfPtxKnowsNothingOfTheKernels) {
  const fs::path interpreter = "tests/ptx/interpreter", stand_in = "tests/ptx/stand_in";
  for (const fs::path& room : {interpreter, stand_in}) {
    const int seen = for_each_include(kRoot / room, [&](const fs::path& file, const fs::path& used) {
      const fs::path other = used.parent_path();
      EXPECT_TRUE(other == interpreter || other == room) << file << " includes " << used;
    });
    EXPECT_GT(seen, 0) << room;
  }
}

TEST(House, ReadingPathExistsAndIsShort) {
  const std::string readme = text_of(kRoot / "kernels/README.md");
  const std::regex line(R"((?:^|\n)\d+\. `([^`]+)`)");
  int files = 0;
  long lines = 0;
  for (std::sregex_iterator it(readme.begin(), readme.end(), line), end; it != end; ++it, ++files) {
    const fs::path path = kRoot / std::string((*it)[1]);
    ASSERT_TRUE(fs::is_regular_file(path)) << path;
    const std::string text = text_of(path);
    lines += std::count(text.begin(), text.end(), '\n');
  }
  EXPECT_GE(files, 10);
  EXPECT_LE(lines, 1500);
}

}  // namespace
