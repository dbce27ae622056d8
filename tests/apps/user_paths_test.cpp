// User-given paths in options, files and variables: ~, relative paths, and names with any bytes. A run can be continued
// from any folder and with any name.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "apps/run/run_settings.h"
#include "engine/io/cache_folder.h"
#include "engine/io/npz.h"
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
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"summary", "~/file/latest"},
                                                    {"report", "~/file/latest"},
                                                    {"flops", "~/file/latest"},
                                                    {"export", "~/file/latest", "-o", "~/g.safetensors"},
                                                    {"verify-data", "~/pictures", "--dataset", "folder"}}) {
    if (arguments[0] == "verify-data") fs::create_directories(folder / "pictures");
    const ProgramResult result = run_in(folder.path(), POISE_INSPECT_RUN, arguments, {home});
    EXPECT_EQ(result.err.find('~'), std::string::npos) << result.err;
    if (arguments[0] != "verify-data") {
      EXPECT_EQ(result.exit_code, 0) << arguments[0] << "\n" << result.err;
    }
  }
  EXPECT_TRUE(fs::exists(folder / "g.safetensors"));
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
  // The same for a path from a file, and for a new run from a template.
  test::write_bytes(folder / "a/c.toml", "[data]\ndata = \"data\"\n");
  ASSERT_EQ(train(folder / "a", {"--config", "c.toml"}).exit_code, 0);
  EXPECT_EQ(train(folder / "b", {"--config", "../a/runs/latest/config.toml"}).exit_code, 0);
}

TEST(UserPaths, BytesThatTomlForbids) {
  const TemporaryFolder folder;
  const std::string latin = "caf\xe9", control = "tab\tand\nline\x01";
  // In a value, control characters survive, and bytes that are not UTF-8 are refused before anything is written.
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
  // In the name of a file with options, which config.toml only mentions in comments.
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
  fs::rename(fs::canonical(latest), inside + "/runs/na\xefve");
  const ProgramResult flops = run_in(folder.path(), POISE_INSPECT_RUN, {"flops", inside + "/runs/na\xefve", "--json"});
  EXPECT_EQ(flops.exit_code, 0) << flops.err;
  EXPECT_TRUE(is_utf8(flops.out));
  const ProgramResult continued = resume(folder.path(), inside + "/runs/na\xefve");
  EXPECT_EQ(continued.exit_code, 0) << continued.err;
}

TEST(UserPaths, AnEmptyVariableIsNone) {
  const TemporaryFolder folder;
  const ProgramResult result =
      train(folder.path(), {}, {"POISE_SEED=", "POISE_INCEPTION=", "POISE_DATA=", "POISE_PRESETS=", "POISE_CACHE="});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(stored_options(folder / "runs/latest").settings().train.seed, 1);
}

TEST(UserPaths, ACacheIsInOnePlaceWhereverAProgramStarts) {
  const TemporaryFolder folder;
  ::setenv("HOME", "/home/me", 1);
  ::unsetenv("POISE_CACHE");
  for (const char* passed_over : {"relative", ""}) {
    ::setenv("XDG_CACHE_HOME", passed_over, 1);
    EXPECT_EQ(cache_folder(), "/home/me/.cache/poise");
  }
  ::setenv("XDG_CACHE_HOME", "~/x", 1);
  EXPECT_EQ(cache_folder(), "/home/me/x/poise");
  ::unsetenv("XDG_CACHE_HOME");
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
  refused({"--raw", "a.png"}, "pixels alone");
  refused({"--raw", "a.bin", "--save-latents", "a.png"}, "a NumPy array");
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"compare", "runs/latest", "runs/latest", "-o", "a.txt"},
        {"masks", "runs/latest", "-o", "a.jpg"}}) {
    const ProgramResult result = run_in(folder.path(), POISE_INSPECT_RUN, arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find("suggests otherwise; end it in"), std::string::npos) << result.err;
  }
  refused({"-o", "-", "--raw", "-"}, "only one of them");
  refused({"-o", "a.png", "-o", "b.png"}, "expected once");
  refused({"--raw", "a.bin", "--scale", "2"}, "--scale: has no effect");
  refused({"--raw", "a.bin", "--columns", "2"}, "--columns: has no effect");
}

TEST(UserPaths, NoOutputReplacesWhatIsReadOrAnother) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder.path(), {}).exit_code, 0);
  const std::string checkpoint = "runs/latest/checkpoints/step-00000001.safetensors";
  const std::string bytes = test::read_bytes(folder / checkpoint);
  fs::create_symlink(checkpoint, folder / "link.safetensors");
  const auto refused = [&](const std::string& program, const std::vector<std::string>& arguments, const char* part) {
    const ProgramResult result = run_in(folder.path(), program, arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(test::read_bytes(folder / checkpoint), bytes);
  };
  const char* replaced = "is an input and would be replaced";
  for (const std::string& source : {checkpoint, std::string("runs/latest")}) {
    for (const std::string& output : {checkpoint, std::string("link.safetensors")}) {
      refused(POISE_SAMPLE_GAN, {source, "-o", output}, replaced);
      refused(POISE_SAMPLE_GAN, {source, "--raw", output}, replaced);
      refused(POISE_INSPECT_RUN, {"export", source, "-o", output}, replaced);
    }
  }
  refused(POISE_SAMPLE_GAN, {checkpoint, "-o", "a.png", "--raw", "./a.png"}, "--output, --raw: both name");
  refused(POISE_SAMPLE_GAN, {checkpoint, "--raw", "z", "--save-latents", "z"}, "--raw, --save-latents: both name");
  const ProgramResult nowhere =
      run_in(folder.path(), POISE_SAMPLE_GAN, {checkpoint, "-o", "/dev/null", "--raw", "/dev/null"});
  EXPECT_EQ(nowhere.exit_code, 0) << nowhere.err;
}

// Only the file is written to standard output. The name of a file determines its format.
TEST(UserPaths, ExportsGoToStandardOutputWhole) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder.path(), {}).exit_code, 0);
  const auto exported = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"export", "runs/latest"});
    return run_in(folder.path(), POISE_INSPECT_RUN, arguments);
  };
  for (const std::vector<std::string>& format :
       {std::vector<std::string>{}, {"--format", "onnx"}, {"--format", "compact"}}) {
    const bool onnx = !format.empty() && format[1] == "onnx";
    std::vector<std::string> to_file = format, to_output = format;
    to_file.insert(to_file.end(), {"-o", onnx ? "g.onnx" : "g.safetensors"});
    to_output.insert(to_output.end(), {"-o", "-"});
    ASSERT_EQ(exported(to_file).exit_code, 0);
    EXPECT_TRUE(exported(to_output).out == test::read_bytes(folder / (onnx ? "g.onnx" : "g.safetensors")));
  }
  const std::pair<std::vector<std::string>, const char*> wrong[] = {
      {{"-o", "g.pth"}, "end it in .safetensors"},
      {{"-o", "g.onnx", "--format", "compact"}, "end it in .safetensors"},
      {{"-o", "g.safetensors", "--format", "onnx"}, "end it in .onnx"},
      {{"-o", "a.onnx", "-o", "b.onnx"}, "expected once"}};
  for (const auto& [arguments, part] : wrong) {
    const ProgramResult result = exported(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
  const ProgramResult statistics =
      run_in(folder.path(), POISE_EVALUATE_GAN,
             {"make-stats", "runs/latest", "--metrics", "frechet-random", "--images", "100", "-q", "-o", "-"});
  EXPECT_EQ(statistics.exit_code, 0) << statistics.err;
  test::write_bytes(folder / "s.npz", statistics.out);
  EXPECT_EQ(NpzFile::read(folder / "s.npz").array("mu").values.size(), 192u);
}

TEST(UserPaths, FramesOfAnEarlierDrawingAreNamed) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder.path(), {}).exit_code, 0);
  const auto frames = [&](const char* seeds) {
    return run_in(folder.path(), POISE_SAMPLE_GAN, {"runs/latest", "--seeds", seeds, "--frames", "f"}).err;
  };
  EXPECT_EQ(frames("0-4"), "");
  EXPECT_NE(frames("0-2").find("warning: f has further pictures, from 00003.png on"), std::string::npos);
  EXPECT_EQ(frames("0-4"), "");
}

// A folder may have the name of a file.
TEST(UserPaths, AFolderIsAFolderWhateverItsName) {
  const TemporaryFolder folder;
  for (const char* name : {"a.bin", "a.npz", "a.safetensors"}) {
    fs::create_directories(folder / name);
    for (const char* picture : {"/1.bmp", "/2.bmp"})
      fs::copy_file(std::string(POISE_GOLDEN_DIR) + "/pictures/rgb.bmp", folder / name + picture);
    const ProgramResult result =
        run_in(folder.path(), POISE_EVALUATE_GAN, {name, "--image-size", "8", "--reference", name, "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
}

TEST(UserPaths, LatentsAreFiniteNumbers) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder.path(), {}).exit_code, 0);
  ASSERT_EQ(run_in(folder.path(), POISE_SAMPLE_GAN,
                   {"runs/latest", "--seeds", "0-3", "--save-latents", "z.npy", "--raw", "a.bin"})
                .exit_code,
            0);
  std::string bytes = test::read_bytes(folder / "z.npy");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  bytes.replace(bytes.size() - 4, 4, reinterpret_cast<const char*>(&nan), 4);
  test::write_bytes(folder / "nan.npy", bytes);
  const ProgramResult refused =
      run_in(folder.path(), POISE_SAMPLE_GAN, {"runs/latest", "--latents", "nan.npy", "--raw", "b.bin"});
  EXPECT_EQ(refused.exit_code, 4) << refused.err;
  EXPECT_NE(refused.err.find("expected finite numbers of float32, found nan in row 3"), std::string::npos)
      << refused.err;
  EXPECT_FALSE(fs::exists(folder / "b.bin"));
}

}  // namespace
}  // namespace poise
