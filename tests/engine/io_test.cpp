// Atomically written files, JSON lines, pictures. For checkpoints and safetensors, see checkpoint_test.cpp.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/io/atomic_file.h"
#include "engine/io/jsonl.h"
#include "engine/io/message.h"
#include "engine/io/png.h"
#include "tests/support/file_test_tools.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace poise {
namespace {

using test::expect_error;
using test::read_bytes;
using test::TemporaryFolder;
using test::write_bytes;
using Names = std::vector<std::string>;

// During the lifetime of this object, no file can grow beyond `bytes`. This simulates a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST(Message, OneLineWhateverTheFileSays) {
  EXPECT_EQ(in_quotes("a\nb\x1b[31m\xff"), "\"a\\x0ab\\x1b[31m\\xff\"");
  EXPECT_EQ(in_quotes(std::string(1000, 'x')), "\"" + std::string(60, 'x') + "...\"");
  EXPECT_EQ(split_path("a/b/c").folder, "a/b");
  EXPECT_EQ(split_path("c").folder, ".");
  EXPECT_EQ(split_path("/c").folder, "/");
  EXPECT_STREQ(write_remedy(ENOSPC), "the disk is full: free some space or choose another disk");
}

TEST(AtomicFile, WritesReplacesAndKeepsNothingElse) {
  TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  AtomicFile file(path);
  file.write("one ");
  file.write("two");
  file.write(nullptr, 0);
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_EQ(folder.files().size(), 1u);
  EXPECT_EQ(folder.files()[0].substr(0, 11), ".a.txt.tmp-");
  file.commit();
  EXPECT_EQ(folder.files(), Names{"a.txt"});
  EXPECT_EQ(read_bytes(path), "one two");

  ::chmod(path.c_str(), 0600);
  write_file_atomically(path, "three");
  EXPECT_EQ(read_bytes(path), "three");
  struct stat status {};
  ::stat(path.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600u);  // a private file stays private
  EXPECT_THROW(file.write("more"), Error);  // after commit
}

TEST(AtomicFile, WithoutCommitTheOldFileStays) {
  TemporaryFolder folder;
  write_bytes(folder / "a", "old");
  { AtomicFile(folder / "a").write("new"); }
  EXPECT_EQ(folder.files(), Names{"a"});
  EXPECT_EQ(read_bytes(folder / "a"), "old");
}

TEST(AtomicFile, AFullDiskLeavesTheOldFileAndNoOther) {
  TemporaryFolder folder;
  write_bytes(folder / "a", "old");
  const std::string big(100'000, 'x');
  {
    const FileSizeLimit limit(65'536);  // the first write() is short, the second fails
    expect_error(ErrorKind::runtime, {folder / "a", "File too large", "ulimit -f"},
                 [&] { write_file_atomically(folder / "a", big); });
    AtomicFile file(folder / "b");
    expect_error(ErrorKind::runtime, {folder / "b", "File too large"}, [&] { file.write(big); });
    EXPECT_THROW(file.write("x"), Error);  // an AtomicFile that failed stays failed
    EXPECT_THROW(file.commit(), Error);
  }
  EXPECT_EQ(folder.files(), Names{"a"});
  EXPECT_EQ(read_bytes(folder / "a"), "old");
  write_file_atomically(folder / "a", big);
  EXPECT_EQ(read_bytes(folder / "a"), big);
}

TEST(AtomicFile, NamesThePathTheErrorAndTheRemedy) {
  TemporaryFolder folder;
  write_bytes(folder / "file", "x");
  const auto write = [](const std::string& path) { return [path] { write_file_atomically(path, "x"); }; };
  expect_error(ErrorKind::runtime, {folder / "none/a", "No such file", "create the folder first"},
               write(folder / "none/a"));
  expect_error(ErrorKind::runtime, {folder / "file/a", "Not a directory", "a part of the path is a file"},
               write(folder / "file/a"));
  expect_error(ErrorKind::runtime, {"File name too long", "shorter name"}, write(folder / std::string(300, 'x')));
  expect_error(ErrorKind::runtime, {"found a folder"}, write(folder.path()));
  expect_error(ErrorKind::runtime, {"found a folder"}, write(folder.path() + "/"));
  if (::geteuid() != 0) {
    std::filesystem::permissions(folder.path(),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    expect_error(ErrorKind::runtime, {"Permission denied", "you may not write there"}, write(folder / "a"));
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  }
  EXPECT_EQ(folder.files(), Names{"file"});
}

TEST(Jsonl, LinesAreJsonAndNumbersReadBackExactly) {
  const double third = 1.0 / 3, tiny = 5e-324, nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const std::string line = json_line({{"iteration", 7},
                                      {"loss", third},
                                      {"one", 1.0},
                                      {"tiny", tiny},
                                      {"bad", nan},
                                      {"up", inf},
                                      {"down", -inf},
                                      {"text", "a\"\n\\b"},
                                      {"ok", true},
                                      {"layers", JsonNumbers{{"a.b", third}, {"n\"", nan}}},
                                      {"none", JsonNumbers{}},
                                      {"bytes", std::string("\xff")},
                                      {"large", 1e300},
                                      {"least", INT64_MIN}});
  EXPECT_EQ(line.substr(0, 47), R"({"iteration": 7, "loss": 0.3333333333333333, "o)");
  const auto object = nlohmann::json::parse(line);
  EXPECT_EQ(object["loss"].get<double>(), third);
  EXPECT_TRUE(object["one"].is_number_float());
  EXPECT_EQ(object["tiny"].get<double>(), tiny);
  EXPECT_TRUE(object["bad"].is_null());
  EXPECT_TRUE(object["up"].is_null());
  EXPECT_TRUE(object["down"].is_null());
  EXPECT_EQ(object["text"], "a\"\n\\b");
  EXPECT_EQ(object["ok"], true);
  EXPECT_EQ(object["layers"]["a.b"].get<double>(), third);
  EXPECT_TRUE(object["layers"]["n\""].is_null());
  EXPECT_TRUE(object["none"].is_object() && object["none"].empty());
  EXPECT_EQ(object["bytes"], "\xef\xbf\xbd");
  EXPECT_EQ(object["large"].get<double>(), 1e300);
  EXPECT_EQ(object["least"].get<int64_t>(), INT64_MIN);
  EXPECT_EQ(json_line({}), "{}");
}

TEST(Jsonl, AppendsWholeLines) {
  TemporaryFolder folder;
  const std::string path = folder / "train.jsonl";
  JsonlWriter(path).write({{"iteration", 1}});
  EXPECT_EQ(read_bytes(path), "{\"iteration\": 1}\n");  // written before anything is closed or synced
  write_bytes(path, "{\"iteration\": 1}\n{\"itera");    // an incomplete last line is ended first
  JsonlWriter writer(path);
  writer.write({{"iteration", 2}});
  writer.sync();
  EXPECT_EQ(read_bytes(path), "{\"iteration\": 1}\n{\"itera\n{\"iteration\": 2}\n");
}

TEST(Jsonl, AFullDiskLeavesNoHalfLine) {
  TemporaryFolder folder;
  const std::string path = folder / "train.jsonl";
  JsonlWriter writer(path);
  writer.write({{"iteration", 1}});
  {
    const FileSizeLimit limit(30);
    expect_error(ErrorKind::runtime, {path, "cannot append", "File too large"}, [&] {
      writer.write({{"iteration", 2}});
    });
    EXPECT_EQ(read_bytes(path), "{\"iteration\": 1}\n");
  }
  writer.write({{"iteration", 3}});
  EXPECT_EQ(read_bytes(path), "{\"iteration\": 1}\n{\"iteration\": 3}\n");

  JsonlWriter full("/dev/full");
  expect_error(ErrorKind::runtime, {"/dev/full", "No space left", "the disk is full"}, [&] { full.write({{"a", 1}}); });
  expect_error(ErrorKind::runtime, {"cannot open", "create the folder first"}, [&] { JsonlWriter(folder / "no/a"); });
}

TEST(Jsonl, TruncateKeepsWholeValidLinesUpToTheStep) {
  TemporaryFolder folder;
  const std::string path = folder / "train.jsonl";
  truncate_jsonl_after(path, "iteration", 5);  // a missing file is not an error and is not created
  EXPECT_FALSE(std::filesystem::exists(path));

  const std::string first = "{\"iteration\": 4, \"loss\": null}\n", second = "{\"loss\": 1.5, \"iteration\": 5}\n";
  write_bytes(path, first + "{\"iteration\": 6}\n" + second +
                        "not json\n\n{\"loss\": 1}\n[4]\n{\"iteration\": \"4\"}\n" +
                        "{\"iteration\": 4.0}\n{\"iteration\": 18446744073709551615}\n{\"iteration\": 3, \"lo");
  truncate_jsonl_after(path, "iteration", 5);
  EXPECT_EQ(read_bytes(path), first + second);
  EXPECT_EQ(folder.files(), Names{"train.jsonl"});

  EXPECT_EQ(keep_jsonl_up_to("{\"i\": -1}\n{\"i\": 2}", "i", 2),
            "{\"i\": -1}\n{\"i\": 2}\n");  // complete except for its newline
  EXPECT_EQ(keep_jsonl_up_to("{\"i\": 0}\n{\"i\": -3}\n", "i", -2), "{\"i\": -3}\n");
  EXPECT_EQ(keep_jsonl_up_to(std::string(200'000, '[') + "\n{\"i\": " + std::string(200'000, '[') + "\n", "i", 2), "");
  expect_error(ErrorKind::runtime, {"found a folder"}, [&] { truncate_jsonl_after(folder.path(), "iteration", 5); });
}

TEST(Png, GridDecodesToTheImagesInTheirPlaces) {
  TemporaryFolder folder;
  for (const int64_t c : {1, 3}) {
    const int64_t n = 5, h = 2, w = 3, columns = 2, scale = 3, padding = 4;
    std::vector<uint8_t> pixels(static_cast<size_t>(n * h * w * c));
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 2 + 9);
    write_image_grid(folder / "grid.png", pixels, {n, h, w, c, columns, scale, padding});
    const std::string png = read_bytes(folder / "grid.png");
    int width = 0, height = 0, channels = 0;
    stbi_uc* decoded = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(png.data()), static_cast<int>(png.size()),
                                             &width, &height, &channels, 0);
    ASSERT_NE(decoded, nullptr);
    ASSERT_EQ(width, 2 * 9 + 3 * 4);
    ASSERT_EQ(height, 3 * 6 + 4 * 4);
    ASSERT_EQ(channels, c);
    // The expected value of each pixel from the definition: which image covers it, if any.
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const int64_t row = y / 10, column = x / 13, in_y = y % 10 - padding, in_x = x % 13 - padding;
        const int64_t image = row * columns + column;
        const bool covered = in_y >= 0 && in_x >= 0 && column < columns && image < n;
        for (int64_t k = 0; k < c; ++k) {
          const uint8_t expected =
              covered ? pixels[static_cast<size_t>(((image * h + in_y / scale) * w + in_x / scale) * c + k)] : 0;
          ASSERT_EQ(decoded[(y * width + x) * c + k], expected) << y << "," << x << "," << k;
        }
      }
    }
    stbi_image_free(decoded);
    write_image_grid(folder / "again.png", pixels, {n, h, w, c, columns, scale, padding});
    EXPECT_EQ(read_bytes(folder / "again.png"), png);
  }
}

TEST(Png, RefusesWhatMakesNoPicture) {
  TemporaryFolder folder;
  const std::vector<uint8_t> pixels(12);
  const auto write = [&](int64_t n, int64_t h, int64_t w, int64_t c, int64_t columns, int64_t scale, int64_t padding) {
    return [=, &pixels, &folder] { write_image_grid(folder / "a.png", pixels, {n, h, w, c, columns, scale, padding}); };
  };
  expect_error(ErrorKind::usage, {"a.png", "got [0,2,2,3]"}, write(0, 2, 2, 3, 1, 1, 2));
  expect_error(ErrorKind::usage, {"C 1 or 3"}, write(1, 2, 2, 2, 1, 1, 2));
  expect_error(ErrorKind::usage, {"expects 24 bytes, got 12"}, write(2, 2, 2, 3, 1, 1, 2));
  expect_error(ErrorKind::usage, {"columns and scale of at least 1"}, write(1, 2, 2, 3, 0, 1, 2));
  expect_error(ErrorKind::usage, {"padding of at least 0, got 1, 1 and -1"}, write(1, 2, 2, 3, 1, 1, -1));
  expect_error(ErrorKind::usage, {"use fewer images"}, write(1, 2, 2, 3, 1, 30000, 2));
  expect_error(ErrorKind::usage, {"C 1 or 3"}, write(INT64_MAX, INT64_MAX, 2, 3, 1, 1, 2));
  EXPECT_EQ(folder.files(), Names{});
  write(1, 2, 2, 3, 100, 1, 0)();  // more columns than images: no empty columns
  EXPECT_EQ(folder.files(), Names{"a.png"});
}

}  // namespace
}  // namespace poise
