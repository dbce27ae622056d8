// The plan of the house, held to: which layer may include which, and the reading path that the README promises.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;
const fs::path kRoot = POISE_SOURCE_DIR;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"kernels", {"kernels"}},
    {"engine", {"kernels", "engine"}},
    {"data", {"kernels", "data"}},
    {"models", {"kernels", "engine", "models"}},
    {"apps", {"kernels", "engine", "models", "data", "apps"}},
    {"bench", {"kernels", "engine", "models", "data", "apps", "bench", "tests"}},
    {"tests", {"kernels", "engine", "models", "data", "apps", "tests"}},
};

TEST(House, IncludesGoDownwardsOnly) {
  const std::regex include(R"re(#include "([a-z]+)/)re");
  int seen = 0;
  for (const auto& [layer, allowed] : kMayInclude) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / layer)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
      const std::string text = text_of(entry.path());
      for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it, ++seen) {
        const std::string used = (*it)[1];
        if (!kMayInclude.count(used)) continue;  // a system folder in quotes
        EXPECT_TRUE(allowed.count(used)) << entry.path() << " includes a header of " << used << "/";
      }
    }
  }
  EXPECT_GT(seen, 100);
}

TEST(House, ReadingPathExistsAndIsShort) {
  const std::string readme = text_of(kRoot / "README.md");
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
