// Paths as people write them: ~, relative ones, and names with any bytes, in options, files and variables. A run that was
// begun can be continued, from wherever and with whatever name it had.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "apps/run/run_settings.h"
#include "engine/io/user_path.h"
#include "engine/io/utf8.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::small_run;
using test::TemporaryFolder;

ProgramResult run_in(const std::string& folder, const std::string& program, const std::vector<std::string>& arguments,
                     const std::vector<std::string>& environment = {}) {
  return test::run_program_in({.folder = folder, .environment = environment}, program, arguments);
}
ProgramResult train(const std::string& folder, const std::vector<std::string>& more,
                    const std::vector<std::string>& environment = {}) {
  std::vector<std::string> arguments = small_run({"--iterations", "1"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_in(folder, POISE_TRAIN_GAN, arguments, environment);
}
ProgramResult resume(const std::string& folder, const std::string& run) {
  return run_in(folder, POISE_TRAIN_GAN, {"--resume", run, "--iterations", "2"});
}

TEST(UserPath, ExpandsHomeOnly) {
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(expand_home("~"), "/home/me");
  EXPECT_EQ(expand_home("~/a b"), "/home/me/a b");
  EXPECT_EQ(expand_home("~root/x"), "/root/x");
  for (const char* path : {"", "a~", "./~", "/~/x", "~nobody-has-this-name/x"}) EXPECT_EQ(expand_home(path), path);
  EXPECT_EQ(absolute_path("/a"), "/a");
  EXPECT_EQ(absolute_path("a"), fs::current_path().string() + "/a");
  EXPECT_EQ(absolute_path("."), fs::current_path().string());
}

TEST(UserPaths, TildeMeansHomeWhereNoShellSaysSo) {
  const TemporaryFolder folder;
  const std::string home = "HOME=" + folder.path();
  EXPECT_EQ(train(folder.path(), {"--runs=~/by flag"}, {home}).exit_code, 0);
  EXPECT_EQ(train(folder.path(), {}, {home, "POISE_RUNS=~/variable"}).exit_code, 0);
  test::write_bytes(folder / "c.toml", "[output]\nruns = \"~/file\"\n");
  EXPECT_EQ(train(folder.path(), {"--config=~/c.toml"}, {home}).exit_code, 0);
  for (const char* runs : {"by flag", "variable", "file"}) EXPECT_EQ(test::run_directories(folder / runs).size(), 1u);
  EXPECT_FALSE(fs::exists(folder / "~"));
  const ProgramResult drawn =
      run_in(folder.path(), POISE_SAMPLE_GAN, {"~/file/latest", "--output=~/out.png", "--raw=~/out.bin"}, {home});
  EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
  EXPECT_TRUE(fs::exists(folder / "out.png") && fs::exists(folder / "out.bin"));
  const ProgramResult continued = run_in(folder.path(), POISE_TRAIN_GAN, {"--resume=~/file/latest"}, {home});
  EXPECT_EQ(continued.exit_code, 0) << continued.err;
}

TEST(UserPaths, ARunFindsItsDataFromElsewhere) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "a/data");
  fs::create_directories(folder / "b");
  fs::copy_file(std::string(POISE_SAMPLE_DATA_DIR) + "/cifar10_sample.bin", folder / "a/data/cifar10_sample.bin");
  ASSERT_EQ(train(folder / "a", {"--data", "data"}).exit_code, 0);
  const ProgramResult elsewhere = resume(folder / "b", "../a/runs/latest");
  EXPECT_EQ(elsewhere.exit_code, 0) << elsewhere.err;
  EXPECT_EQ(stored_options(folder / "a/runs/latest").settings().data.data, fs::canonical(folder / "a/data"));
  // From a file too, and the new run of a template as well.
  test::write_bytes(folder / "a/c.toml", "[data]\ndata = \"data\"\n");
  ASSERT_EQ(train(folder / "a", {"--config", "c.toml"}).exit_code, 0);
  EXPECT_EQ(train(folder / "b", {"--config", "../a/runs/latest/config.toml"}).exit_code, 0);
}

TEST(UserPaths, BytesThatTomlForbids) {
  const TemporaryFolder folder;
  const std::string latin = "caf\xe9", control = "tab\tand\nline\x01";
  // In a value: control characters return, bytes that are no UTF-8 are refused before anything is written.
  for (const char* option : {"--data", "--runs"}) {
    const ProgramResult refused = train(folder.path(), {option, latin});
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_NE(refused.err.find("not UTF-8"), std::string::npos) << refused.err;
    EXPECT_TRUE(is_utf8(refused.err));
  }
  EXPECT_TRUE(folder.files().empty());
  fs::create_directories(folder / control);
  fs::copy_file(std::string(POISE_SAMPLE_DATA_DIR) + "/cifar10_sample.bin", folder / (control + "/cifar10_sample.bin"));
  ASSERT_EQ(train(folder.path(), {"--data", control, "--runs", control}).exit_code, 0);
  const ProgramResult continued = resume(folder.path(), control + "/latest");
  EXPECT_EQ(continued.exit_code, 0) << continued.err;
  // In the name of a file that options came from, which config.toml only mentions.
  for (const std::string& name : {latin, control}) {
    test::write_bytes(folder / (name + ".toml"), "[train]\nseed = 3\n");
    const ProgramResult made = train(folder.path(), {"--config", name + ".toml"});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    const ProgramResult again = resume(folder.path(), "runs/latest");
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(stored_options(folder / "runs/latest").settings().train.seed, 3);
  }
}

TEST(UserPaths, ReportsOfARunWithAnyNameAreUtf8) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "caf\xe9");
  const std::string inside = folder / "caf\xe9";
  ASSERT_EQ(train(inside, {}).exit_code, 0);
  const std::string latest = inside + "/runs/latest";
  for (const char* file : {"/report.html", "/report.md", "/config.toml", "/env.json", "/train.jsonl"}) {
    EXPECT_TRUE(is_utf8(test::read_bytes(latest + file))) << file;
  }
  const ProgramResult summary = run_in(folder.path(), POISE_INSPECT_RUN, {"summary", latest});
  EXPECT_EQ(summary.exit_code, 0) << summary.err;
  const ProgramResult continued = resume(folder.path(), latest);
  EXPECT_EQ(continued.exit_code, 0) << continued.err;
}

TEST(UserPaths, AnEmptyVariableIsNone) {
  const TemporaryFolder folder;
  const ProgramResult result =
      train(folder.path(), {}, {"POISE_SEED=", "POISE_INCEPTION=", "POISE_DATA=", "POISE_PRESETS=", "POISE_CACHE="});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(stored_options(folder / "runs/latest").settings().train.seed, 1);
}

TEST(UserPaths, OutputGoesWhereANameLeads) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder.path(), {}).exit_code, 0);
  const auto sample = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"runs/latest", "--seeds", "0-3"});
    return run_in(folder.path(), POISE_SAMPLE_GAN, arguments);
  };
  ASSERT_EQ(sample({"-o", "plain.png"}).exit_code, 0);
  const std::string png = test::read_bytes(folder / "plain.png");
  ASSERT_TRUE(png.starts_with("\x89PNG"));
  for (const char* out : {"-", "/dev/stdout", "/dev/fd/1"}) {
    const ProgramResult result = sample({"-o", out});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, png) << out;
  }
  EXPECT_FALSE(fs::exists(folder / "-"));
  fs::create_directories(folder / "elsewhere");
  fs::create_symlink("elsewhere/target.png", folder / "link.png");
  EXPECT_EQ(sample({"-o", "link.png"}).exit_code, 0);
  EXPECT_TRUE(fs::is_symlink(folder / "link.png"));
  EXPECT_EQ(test::read_bytes(folder / "elsewhere/target.png"), png);
  EXPECT_EQ(sample({"-o", "/dev/null"}).exit_code, 0);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const std::string longest = std::string(251, 'n') + ".png";
  EXPECT_EQ(sample({"-o", longest}).exit_code, 0);
  EXPECT_EQ(test::read_bytes(folder / longest), png);

  const auto refused = [&](std::vector<std::string> arguments, const char* part) {
    const ProgramResult result = sample(std::move(arguments));
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  for (const char* name : {"a.jpg", "a.JPEG", "a.gif", "a.webp"}) refused({"-o", name}, "the grid is a PNG");
  refused({"-o", "-", "--raw", "-"}, "only one of them");
  refused({"-o", "a.png", "-o", "b.png"}, "expected once");
  refused({"--raw", "a.bin", "--scale", "2"}, "--scale: has no effect");
  refused({"--raw", "a.bin", "--columns", "2"}, "--columns: has no effect");
}

}  // namespace
}  // namespace poise
