// The classes of a conditional model are those of its data, and are selected by number or by name.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "apps/console/number_list.h"
#include "apps/run/run_settings.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::TemporaryFolder;

ProgramResult run(const TemporaryFolder& folder, const std::string& program,
                  const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path(), .environment = {"POISE_CACHE=" + (folder / "cache")}}, program,
                              arguments);
}

std::vector<std::string> conditional(const std::vector<std::string>& more) {
  std::vector<std::string> arguments =
      test::small_run({"--iterations", "1", "--model", "biggan32", "--dataset", "folder", "--data", "pictures"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

void make_classes(const TemporaryFolder& folder, const std::vector<std::string>& names, const std::string& empty = "") {
  for (const std::string& name : names) {
    fs::create_directories(folder / ("pictures/" + name));
    for (int i = 0; i < 4 && name != empty; ++i) {
      fs::copy_file(std::string(POISE_GOLDEN_DIR) + "/pictures/rgb.bmp",
                    folder / ("pictures/" + name + "/" + std::to_string(i) + ".bmp"));
    }
  }
}

TEST(Classes, AreThoseOfTheData) {
  const TemporaryFolder folder;
  make_classes(folder, {"cat", "dog", "two words, or three"});
  ASSERT_EQ(run(folder, POISE_TRAIN_GAN, conditional({})).exit_code, 0);
  EXPECT_EQ(stored_options(folder / "runs/latest").settings().model.classes, 3);
  const auto environment = nlohmann::json::parse(test::read_bytes(folder / "runs/latest/env.json"));
  EXPECT_EQ(environment["classes"], (std::vector<std::string>{"cat", "dog", "two words, or three"}));
  EXPECT_NE(test::read_bytes(folder / "runs/latest/report.html").find("two words, or three"), std::string::npos);
  for (const char* wrong : {"2", "100"}) {
    const ProgramResult refused = run(folder, POISE_TRAIN_GAN, conditional({"--classes", wrong}));
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_NE(refused.err.find("classes: expected 3"), std::string::npos) << refused.err;
  }
  EXPECT_EQ(run(folder, POISE_TRAIN_GAN, conditional({"--classes", "3", "--dry-run"})).exit_code, 0);

  const auto drawn = [&](const std::string& classes) {
    const ProgramResult result =
        run(folder, POISE_SAMPLE_GAN, {"runs/latest", "--seeds", "0-5", "--class", classes, "--raw", "-"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  EXPECT_EQ(drawn("dog"), drawn("1"));
  EXPECT_NE(drawn("dog"), drawn("0"));
  EXPECT_EQ(drawn("dog,cat"), drawn("1,0"));
  EXPECT_EQ(drawn("two words, or three"), drawn("2"));
  EXPECT_EQ(drawn("two words,cat"), drawn("2,0"));
  const ProgramResult unknown = run(folder, POISE_SAMPLE_GAN, {"runs/latest", "--class", "dgo", "--raw", "x"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.err.find("did you mean dog?"), std::string::npos) << unknown.err;
}

TEST(Classes, WithoutPicturesAreAnError) {
  const TemporaryFolder folder;
  make_classes(folder, {"c0", "c1", "c2", "c3"}, "c2");
  const ProgramResult result = run(folder, POISE_TRAIN_GAN, conditional({}));
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_NE(result.err.find("c2"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(folder / "runs"));
}

TEST(Classes, ByNumberRangeOrName) {
  const std::vector<std::string> names = {"ant", "bee", "cat"};
  EXPECT_EQ(parse_classes("class", "0-2,1", 3, names), (std::vector<int32_t>{0, 1, 2, 1}));
  EXPECT_EQ(parse_classes("class", "bee,2", 3, names), (std::vector<int32_t>{1, 2}));
  for (const char* wrong : {"3", "wasp", "", "ant,", "1-"})
    EXPECT_THROW(parse_classes("class", wrong, 3, names), Error) << wrong;
  EXPECT_THROW(parse_classes("class", "ant", 3, {}), Error);
}

// With folders 1, 10 and 2, the class that a user calls 2 is not class number 2.
TEST(Classes, CalledByNumbersAreMeantByThem) {
  const std::vector<std::string> names = {"1", "10", "2"}, padded = {"01", "02", "03"};
  EXPECT_EQ(parse_classes("class", "2", 3, names), std::vector<int32_t>{2});
  EXPECT_EQ(parse_classes("class", "10,1", 3, names), (std::vector<int32_t>{1, 0}));
  EXPECT_EQ(parse_classes("class", "1-2", 3, names), (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(parse_classes("class", "2,03", 3, padded), (std::vector<int32_t>{1, 2}));
  EXPECT_THROW(parse_classes("class", "0", 3, names), Error);
  EXPECT_THROW(parse_classes("class", "1-3", 3, names), Error);
}

TEST(Classes, OfTheSameNameAreToldByNumber) {
  const std::vector<std::string> names = {"crane", "crane", "bat, a stick", "bat, an animal"};
  test::expect_error(ErrorKind::usage, {"the classes 0, 1 are all called \"crane\""},
                     [&] { parse_classes("class", "crane", 4, names); });
  test::expect_error(ErrorKind::usage, {"2, 3"}, [&] { parse_classes("class", "bat", 4, names); });
  EXPECT_EQ(parse_classes("class", "bat, an animal", 4, names), std::vector<int32_t>{3});
  EXPECT_EQ(parse_classes("class", "1,3", 4, names), (std::vector<int32_t>{1, 3}));
}

}  // namespace
}  // namespace poise
