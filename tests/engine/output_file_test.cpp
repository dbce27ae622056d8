// Output files: through links, into devices and pipes, with long names; and what killed writers leave behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "engine/io/atomic_file.h"
#include "engine/io/system_file.h"
#include "engine/io/utf8.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::read_bytes;
using test::TemporaryFolder;
using test::write_bytes;
using Names = std::vector<std::string>;

TEST(OutputFile, ALinkIsWrittenThrough) {
  TemporaryFolder folder;
  fs::create_directory(folder / "far");
  write_bytes(folder / "far/target", "old");
  fs::create_symlink("far/target", folder / "relative");
  fs::create_symlink(folder / "relative", folder / "twice");
  write_file_atomically(folder / "twice", "new");
  EXPECT_EQ(read_bytes(folder / "far/target"), "new");
  EXPECT_TRUE(fs::is_symlink(folder / "twice"));
  EXPECT_TRUE(fs::is_symlink(folder / "relative"));

  fs::create_symlink("far/new", folder / "dangling");  // the file is created at the target of the link
  write_file_atomically(folder / "dangling", "made");
  EXPECT_EQ(read_bytes(folder / "far/new"), "made");

  fs::create_symlink("circle", folder / "circle");
  expect_error(ErrorKind::runtime, {folder / "circle"}, [&] { write_file_atomically(folder / "circle", "x"); });
  fs::create_symlink("far", folder / "to_folder");
  expect_error(ErrorKind::runtime, {"found a folder"}, [&] { write_file_atomically(folder / "to_folder", "x"); });
}

TEST(OutputFile, WhatIsNoRegularFileIsWrittenAndStays) {
  TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0666), 0);
  fs::create_symlink("pipe", folder / "link");
  std::string received;
  std::thread reader([&] { received = read_bytes(folder / "pipe"); });
  write_file_atomically(folder / "link", "through");
  reader.join();
  EXPECT_EQ(received, "through");
  EXPECT_EQ(folder.files(), (Names{"link", "pipe"}));
  struct stat status {};
  ASSERT_EQ(::lstat((folder / "pipe").c_str(), &status), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));

  write_file_atomically("/dev/null", "x");
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  expect_error(ErrorKind::runtime, {"/dev/full", "No space left"}, [] { write_file_atomically("/dev/full", "x"); });
}

// Runs in a child process whose standard output is a file that is not empty, as after `>>`.
TEST(OutputFile, StandardOutputIsNeverReplaced) {
  TemporaryFolder folder;
  write_bytes(folder / "out", "before\n");
  const std::string link = folder / "link";
  fs::create_symlink("/dev/stdout", link);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open((folder / "out").c_str(), O_WRONLY | O_APPEND), 1);
    for (const std::string& name : {std::string("-"), std::string("/dev/stdout"), std::string("/dev/fd/1"), link}) {
      if (!is_standard_output(name)) ::_exit(1);
      write_file_atomically(name, name == link ? "link" : name);
    }
    ::_exit(is_standard_output(folder / "out") ? 2 : 0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_bytes(folder / "out"), "before\n-/dev/stdout/dev/fd/1link");
  EXPECT_TRUE(fs::is_symlink(link));
}

TEST(OutputFile, NamesAsLongAsTheFileSystemTakes) {
  TemporaryFolder folder;
  const std::string longest(255, 'x'), too_long(256, 'x');
  write_file_atomically(folder / longest, "one");
  write_file_atomically(folder / longest, "two");
  EXPECT_EQ(read_bytes(folder / longest), "two");
  EXPECT_EQ(folder.files(), Names{longest});
  expect_error(ErrorKind::runtime, {"File name too long"}, [&] { write_file_atomically(folder / too_long, "x"); });
}

TEST(OutputFile, ModeIsAsUmaskSays) {
  TemporaryFolder folder;
  for (const mode_t mask : {077u, 027u, 002u}) {
    const mode_t before = ::umask(mask);
    const std::string name = folder / std::to_string(mask);
    write_file_atomically(name, "x");
    make_folders(name + "-folder/inside");
    ::umask(before);
    struct stat status {};
    ::stat(name.c_str(), &status);
    EXPECT_EQ(status.st_mode & 0777, 0666 & ~mask);
    ::stat((name + "-folder/inside").c_str(), &status);
    EXPECT_EQ(status.st_mode & 0777, 0777 & ~mask);
  }
}

// The owner made the file read-only, but a rename would replace it all the same.
TEST(OutputFile, AReadOnlyFileStays) {
  TemporaryFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  write_bytes(folder / "kept", "old");
  ASSERT_EQ(::chmod((folder / "kept").c_str(), 0444), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(2);  // root could write to read-only files
    try {
      write_file_atomically(folder / "kept", "new");
      ::_exit(3);
    } catch (const Error& error) {
      ::_exit(std::string(error.what()).find("kept: cannot replace the file: Permission denied") == std::string::npos
                  ? 4
                  : 0);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(read_bytes(folder / "kept"), "old");
  EXPECT_EQ(folder.files(), Names{"kept"});
}

TEST(OutputFile, LeftoversGoWhenNobodyOwnsThem) {
  TemporaryFolder folder;
  const Names stay = {".a.tmp-", ".a.tmp-0123", ".a.tmp-0123456789abcdeX", ".tmp-0123456789abcdef",
                      "a.tmp-0123456789abcdef"};
  for (const std::string& name : stay) write_bytes(folder / name, "x");
  write_bytes(folder / ".a.tmp-0123456789abcdef", "left behind");
  AtomicFile mine(folder / "mine");
  const pid_t child = ::fork();  // another process that is writing, then killed
  if (child == 0) {
    AtomicFile file(folder / "killed");
    file.write("x");
    ::pause();
  }
  for (int i = 0; i < 1000 && folder.files().size() < stay.size() + 3; ++i) ::usleep(1000);
  ASSERT_EQ(folder.files().size(), stay.size() + 3);
  EXPECT_EQ(remove_stale_temporaries(folder.path()), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(remove_stale_temporaries(folder.path()), 1);
  mine.commit();
  Names left = stay;
  left.push_back("mine");
  std::sort(left.begin(), left.end());
  EXPECT_EQ(folder.files(), left);
  EXPECT_EQ(remove_stale_temporaries(folder / "none"), 0);
}

TEST(SystemFile, TellsAbsenceFromFailure) {
  TemporaryFolder folder;
  write_bytes(folder / "file", "x");
  EXPECT_EQ(kind_of_path(folder / "none"), PathKind::nothing);
  EXPECT_EQ(kind_of_path(folder / "file/x"), PathKind::nothing);
  EXPECT_EQ(kind_of_path(folder / "file"), PathKind::file);
  EXPECT_EQ(kind_of_path(folder.path()), PathKind::folder);
  EXPECT_EQ(kind_of_path("/dev/null"), PathKind::other);
  fs::create_symlink("circle", folder / "circle");
  expect_error(ErrorKind::environment, {folder / "circle", "links that lead in a circle"},
               [&] { path_exists(folder / "circle"); });
  EXPECT_EQ(names_in_folder(folder.path()), (Names{"circle", "file"}));
  EXPECT_TRUE(names_in_folder_if_exists(folder / "none").empty());
  expect_error(ErrorKind::environment, {folder / "none", "cannot read the folder"},
               [&] { names_in_folder(folder / "none"); });
  expect_error(ErrorKind::environment, {folder / "file"}, [&] { names_in_folder_if_exists(folder / "file"); });
  expect_error(ErrorKind::runtime, {folder / "file/x", "cannot make the folder", "a part of the path is a file"},
               [&] { make_folders(folder / "file/x"); });
}

TEST(SystemFile, KnowsTwoNamesOfOneFile) {
  TemporaryFolder folder;
  write_bytes(folder / "a", "x"), write_bytes(folder / "b", "x");
  fs::create_directory(folder / "sub");
  fs::create_symlink("a", folder / "link");
  fs::create_hard_link(folder / "a", folder / "hard");
  for (const char* other : {"a", "./a", "link", "hard", "sub/../a"})
    EXPECT_TRUE(same_file(folder / "a", folder / other));
  EXPECT_FALSE(same_file(folder / "a", folder / "b"));
  EXPECT_FALSE(same_file(folder / "a", folder / "new"));
  EXPECT_TRUE(same_file(folder / "new", folder / "sub/../new"));  // does not exist yet
  EXPECT_FALSE(same_file(folder / "new", folder / "sub/new"));
  EXPECT_FALSE(same_file("/dev/null", "/dev/null"));
  EXPECT_FALSE(same_file("", ""));
}

TEST(Utf8, ReplacesWhatIsNone) {
  for (const char* text : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(is_utf8(text)) << text;
    EXPECT_EQ(to_utf8(text), text);
  }
  const std::string mark = "\xef\xbf\xbd";
  for (const char* text : {"\xe4", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    EXPECT_FALSE(is_utf8(text));
    EXPECT_TRUE(is_utf8(to_utf8(text)));
    EXPECT_EQ(to_utf8(text).substr(0, 3), mark);
  }
  EXPECT_EQ(to_utf8("B\xe4r"), "B" + mark + "r");
}

}  // namespace
}  // namespace poise
