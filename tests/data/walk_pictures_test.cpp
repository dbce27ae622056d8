// Tests which files of a folder are taken as its pictures.
#include "data/walk_pictures.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "data/image_folder.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TemporaryFolder;
using test::write_bytes;

const std::string kPictures = std::string(POISE_GOLDEN_DIR) + "/pictures";

void put(const TemporaryFolder& folder, const std::string& name, const std::string& picture = "rgb.jpg") {
  fs::create_directories(fs::path(folder / name).parent_path());
  fs::copy_file(kPictures + "/" + picture, folder / name);
}

FolderOfPictures walk(const TemporaryFolder& folder) { return walk_pictures(image_folder_facts(), folder.path()); }

TEST(WalkPictures, TellsPicturesByTheirBytes) {
  TemporaryFolder folder;
  put(folder, "photo.jfif"), put(folder, "photo.dib", "rgb.bmp"), put(folder, "photo"),
      put(folder, "README", "rgb.png");
  put(folder, "x.jpg?size=large"), put(folder, "x.txt", "grey.png");
  write_bytes(folder / "labels.csv", "a,b\n");
  write_bytes(folder / "BMW", "BMW M3, a text of some length");
  write_bytes(folder / "empty", "");
  write_bytes(folder / ".DS_Store", "x");
  const FolderOfPictures found = walk(folder);
  EXPECT_EQ(found.paths.size(), 6u);
  EXPECT_EQ(found.passed_over.count(kNoPictures), 3);
  EXPECT_EQ(found.passed_over.text(folder.path()),
            "skipped 3 files that are not PNG, JPEG or BMP (BMW, empty, labels.csv), 1 hidden files (.DS_Store)");
  write_bytes(folder / "empty.jpeg", "");  // has a picture's name, so decoding reports the problem
  EXPECT_EQ(walk(folder).paths.size(), 7u);
}

TEST(WalkPictures, VisitsEveryRealFolderOnce) {
  TemporaryFolder folder, outside;
  for (const char* name : {"cat/1.jpg", "cat/2.jpg", "cat/deep/3.jpg", "dog/4.jpg"}) put(folder, name);
  put(outside, "5.jpg");
  fs::create_symlink(".", folder / "cat/loop");
  fs::create_symlink("../..", folder / "cat/deep/up");
  fs::create_symlink("../dog", folder / "cat/dogs");  // visited first, but dog keeps its picture
  fs::create_symlink(outside.path(), folder / "dog/more");
  fs::create_symlink(outside.path(), folder / "cat/zzz");
  fs::create_symlink("nowhere.jpg", folder / "dog/6.jpg");
  fs::create_symlink("4.jpg", folder / "dog/again.jpg");  // a file may have two names
  const FolderOfPictures found = walk(folder);
  ASSERT_EQ(found.classes.size(), 2u);
  EXPECT_EQ(found.classes[0].paths.size() + found.classes[1].paths.size(), 6u);
  EXPECT_EQ(found.classes[0].name, "cat");
  EXPECT_EQ(found.classes[1].paths.front(), folder / "dog/4.jpg");
  EXPECT_EQ(found.passed_over.count("links to folders that were already read"), 4);
  EXPECT_EQ(found.passed_over.count("broken links"), 1);
}

TEST(WalkPictures, AClassMayBeALinkButNotToAnotherClass) {
  TemporaryFolder folder, outside;
  put(folder, "cat/1.jpg"), put(outside, "far/2.jpg");
  fs::create_symlink(outside / "far", folder / "dog");
  EXPECT_EQ(walk(folder).classes.at(1).paths.size(), 1u);
  fs::create_symlink("cat", folder / "feline");
  expect_error(ErrorKind::data, {folder / "feline", "a folder of its own for each class"}, [&] { walk(folder); });
}

TEST(WalkPictures, PassesOverOwnRuns) {
  TemporaryFolder folder;
  put(folder, "1.jpg"), put(folder, "runs/00000-x/samples/fakes.png", "rgb.png");
  write_bytes(folder / "runs/00000-x/config.toml", "");
  fs::create_directory(folder / "runs/00000-x/checkpoints");
  const FolderOfPictures found = walk(folder);
  EXPECT_EQ(found.paths.size(), 1u);
  EXPECT_TRUE(found.classes.empty());
  EXPECT_EQ(found.passed_over.count("run directories of Poise"), 1);
  EXPECT_EQ(open_image_folder(folder.path())->count, 1);
}

// Run directories as --runs creates them in the folder of pictures, with the link to the newest.
TEST(WalkPictures, PassesOverOwnRunsInTheRoot) {
  TemporaryFolder folder;
  put(folder, "cat/1.jpg"), put(folder, "00000-x/samples/fakes.png", "rgb.png");
  write_bytes(folder / "00000-x/config.toml", "");
  fs::create_directory(folder / "00000-x/checkpoints");
  fs::create_symlink("00000-x", folder / "latest");
  const FolderOfPictures found = walk(folder);
  ASSERT_EQ(found.classes.size(), 1u);
  EXPECT_EQ(found.passed_over.count("run directories of Poise"), 2);
}

TEST(WalkPictures, NamesTheSpecialFiles) {
  TemporaryFolder folder;
  put(folder, "1.jpg");
  ASSERT_EQ(::mkfifo((folder / "pipe.jpg").c_str(), 0666), 0);
  EXPECT_EQ(walk(folder).passed_over.text(folder.path()), "skipped 1 special files (pipe.jpg)");
}

TEST(ImageFolder, EveryClassHasPictures) {
  TemporaryFolder folder;
  for (const char* name : {"c0/a.jpg", "c1/a.jpg", "c3/a.jpg"}) put(folder, name);
  fs::create_directory(folder / "c2");
  expect_error(ErrorKind::data, {"expected pictures in the folder of each class, found none in c2"},
               [&] { open_image_folder(folder.path()); });
  fs::remove(folder / "c2");
  EXPECT_EQ(open_image_folder(folder.path())->labels, (std::vector<int32_t>{0, 1, 2}));
}

TEST(ImageFolder, SaysWhatItPassedOver) {
  TemporaryFolder folder;
  put(folder, "1.jpg");
  EXPECT_TRUE(open_image_folder(folder.path())->warnings.empty());
  write_bytes(folder / "notes", "x");
  const auto source = open_image_folder(folder.path());
  ASSERT_EQ(source->warnings.size(), 1u);
  EXPECT_EQ(source->warnings[0], folder.path() + ": skipped 1 files that are not PNG, JPEG or BMP (notes)");
}

TEST(ImageFolder, ClassNamesAreUtf8) {
  TemporaryFolder folder;
  put(folder, "B\xe4r/a.jpg"), put(folder, "Katze/a.jpg");
  EXPECT_EQ(open_image_folder(folder.path())->class_names.at(0), "B\xef\xbf\xbdr");
}

}  // namespace
}  // namespace poise
