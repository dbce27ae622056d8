// How run directories and their checkpoints are handled when their environment has changed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "apps/run/run_directory.h"
#include "engine/io/system_file.h"
#include "kernels/core/error.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::names_in;
using test::ProgramResult;
using test::small_run;
using test::TemporaryFolder;

ProgramResult train(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path()}, POISE_TRAIN_GAN, arguments);
}

// Replaces a file by a symbolic link to itself, which no program can read, not even as root.
void make_unreadable(const std::string& path) {
  fs::rename(path, path + ".kept");
  fs::create_symlink(path, path);
}

TEST(RunFolders, WhatCannotBeReadIsNotDamaged) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "6", "--checkpoint-every", "2"})).exit_code, 0);
  const std::string run = fs::canonical(folder / "runs/latest"), checkpoints = run + "/checkpoints";
  const std::string newest = checkpoints + "/step-00000006.safetensors";
  make_unreadable(newest);
  const auto names = names_in(checkpoints);
  const ProgramResult result = train(folder, {"--resume", "runs/latest", "--iterations", "8"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_NE(result.err.find("step-00000006.safetensors: cannot read the file"), std::string::npos) << result.err;
  EXPECT_EQ(names_in(checkpoints), names) << "nothing was removed";
  fs::rename(newest + ".kept", newest);

  make_unreadable(checkpoints);
  const ProgramResult none = train(folder, {"--resume", "runs/latest", "--iterations", "8"});
  EXPECT_EQ(none.exit_code, 3) << none.err;
  EXPECT_EQ(none.err.find("start a new run"), std::string::npos) << none.err;
  fs::remove(checkpoints), fs::rename(checkpoints + ".kept", checkpoints);

  for (const char* file : {"config.toml", "train.jsonl"}) {
    const std::string path = run + "/" + file, bytes = test::read_bytes(path);
    make_unreadable(path);
    EXPECT_EQ(train(folder, {"--resume", "runs/latest", "--iterations", "8"}).exit_code, 3) << file;
    EXPECT_EQ(test::read_bytes(path + ".kept"), bytes);
    fs::rename(path + ".kept", path);
  }
  EXPECT_EQ(train(folder, {"--resume", "runs/latest", "--iterations", "8"}).exit_code, 0);
}

TEST(RunFolders, AreMadeWhenTheyAreNeeded) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "2", "--sample-every", "1"})).exit_code, 0);
  fs::remove_all(folder / "runs/latest/samples");
  const ProgramResult result = train(folder, {"--resume", "runs/latest", "--iterations", "3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(names_in(folder / "runs/latest/samples"), std::vector<std::string>{"fakes_000003.png"});
}

TEST(RunFolders, HaveThePermissionsThatUmaskSays) {
  for (const mode_t mask : {mode_t{077}, mode_t{027}, mode_t{002}}) {
    const TemporaryFolder folder;
    const mode_t before = ::umask(mask);
    const ProgramResult result = train(folder, small_run({"--iterations", "1"}));
    ::umask(before);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    for (const char* path : {"runs", "runs/latest/", "runs/latest/checkpoints", "runs/latest/samples"}) {
      struct stat status {};
      ASSERT_EQ(::stat((folder / path).c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 0777, 0777u & ~mask) << path;
    }
    struct stat file {};
    ASSERT_EQ(::stat((folder / "runs/latest/config.toml").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0666u & ~mask);
  }
}

TEST(RunFolders, LeftoversOfKilledRunsGo) {
  const TemporaryFolder folder;
  const std::string runs = folder / "runs";
  {
    test::RunningProgram killed(POISE_TRAIN_GAN, small_run({"--iterations", "1"}), {.folder = folder.path()});
    ASSERT_TRUE(killed.wait_until([&] {
      for (const std::string& name : names_in(runs))
        if (name.starts_with(".creating-")) return true;
      return false;
    }));
    killed.send(SIGKILL);
    killed.wait();
  }
  // A second one belongs to a live process, which holds its lock.
  fs::create_directories(runs + "/.creating-00000000000000aa");
  const int owner = ::open((runs + "/.creating-00000000000000aa").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(owner, LOCK_EX), 0);
  ASSERT_EQ(train(folder, small_run({"--iterations", "1"})).exit_code, 0);
  int unfinished = 0;
  for (const std::string& name : names_in(runs)) unfinished += name.starts_with(".") ? 1 : 0;
  EXPECT_EQ(unfinished, 1) << "that of the living";
  EXPECT_TRUE(fs::exists(runs + "/.creating-00000000000000aa"));
  ::close(owner);
  ASSERT_EQ(train(folder, small_run({"--iterations", "1"})).exit_code, 0);
  for (const std::string& name : names_in(runs)) EXPECT_FALSE(name.starts_with(".")) << name;
}

TEST(RunFolders, ALatestOfAnotherKindIsNamed) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "runs");
  test::write_bytes(folder / "runs/latest", "mine");
  const ProgramResult result = train(folder, small_run({"--iterations", "1"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("runs/latest cannot be made a link to this run"), std::string::npos) << result.err;
  EXPECT_EQ(test::read_bytes(folder / "runs/latest"), "mine");
}

TEST(RunFolders, ManyAtOnceGetNumbersOfTheirOwn) {
  const TemporaryFolder folder;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      RunDirectory::create(folder / "runs", "r" + std::to_string(i),
                           [](const std::string& path) { test::write_bytes(path + "/config.toml", "x"); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto names = test::run_directories(folder / "runs");
  ASSERT_EQ(names.size(), 16u);
  for (size_t i = 0; i < names.size(); ++i) {
    char number[32];
    std::snprintf(number, sizeof number, "%05zu-", i);
    EXPECT_TRUE(names[i].starts_with(number)) << names[i];
  }
}

TEST(RunFolders, ARunThatCouldNotBeFilledLeavesNothing) {
  const TemporaryFolder folder;
  EXPECT_THROW(RunDirectory::create(folder / "a/b", "x", [](const std::string&) { fail(ErrorKind::runtime, "no"); }),
               Error);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

}  // namespace
}  // namespace poise
