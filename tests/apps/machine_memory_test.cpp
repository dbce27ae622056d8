// The memory that a process may use, and programs with limited memory.
#include "apps/console/machine_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <limits>
#include <map>

#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::ProgramResult;
using test::TemporaryFolder;

constexpr size_t kNone = std::numeric_limits<size_t>::max();

size_t limit(const std::string& groups, const std::string& mounts, const std::map<std::string, std::string>& files) {
  return control_group_limit(groups, mounts, [&](const std::string& path) {
    const auto found = files.find(path);
    return found == files.end() ? std::string() : found->second;
  });
}

TEST(MachineMemory, ControlGroupsOfTheFirstVersion) {
  const std::string mounts =
      "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
      "31 25 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n";
  const std::string groups = "5:cpu:/x\n4:memory:/jobs/one\n0::/\n";
  const std::string m = "/sys/fs/cgroup/memory";
  EXPECT_EQ(limit(groups, mounts, {{m + "/jobs/one/memory.limit_in_bytes", "209715200\n"}}), 209715200u);
  EXPECT_EQ(limit(groups, mounts,
                  {{m + "/jobs/one/memory.limit_in_bytes", "9223372036854771712\n"},
                   {m + "/jobs/memory.limit_in_bytes", "1000\n"},
                   {m + "/memory.limit_in_bytes", "2000\n"}}),
            1000u)
      << "the least of those above";
  EXPECT_EQ(limit(groups, mounts, {}), kNone);
}

TEST(MachineMemory, ControlGroupsOfTheSecondVersion) {
  const std::string mounts = "28 20 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(
      limit("0::/user.slice/a\n", mounts,
            {{"/sys/fs/cgroup/user.slice/a/memory.max", "max\n"}, {"/sys/fs/cgroup/user.slice/memory.max", "4096\n"}}),
      4096u);
  EXPECT_EQ(limit("0::/\n", mounts, {{"/sys/fs/cgroup/memory.max", "77\n"}}), 77u) << "in a container";
  // A container in which the control group has the same name as outside.
  const std::string inner = "28 20 0:24 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(limit("0::/docker/abc\n", inner, {{"/sys/fs/cgroup/memory.max", "5\n"}}), 5u);
  EXPECT_EQ(limit("", "", {}), kNone);
}

TEST(MachineMemory, ALimitOfAddressSpace) {
  const TemporaryFolder folder;
  const auto limited = [&](rlim_t bytes, const std::vector<std::string>& arguments) {
    rlimit before{};
    ::getrlimit(RLIMIT_AS, &before);
    const rlimit low{bytes, before.rlim_max};
    ::setrlimit(RLIMIT_AS, &low);
    test::RunningProgram program(POISE_TRAIN_GAN, arguments, {.folder = folder.path()});
    ::setrlimit(RLIMIT_AS, &before);
    return program.wait();
  };
  const ProgramResult enough = limited(rlim_t{3} << 30, test::small_run({"--iterations", "1"}));
  EXPECT_EQ(enough.exit_code, 0) << enough.err;
  const ProgramResult less = limited(rlim_t{3} << 30, {"--width-g", "1024", "--dry-run"});
  EXPECT_EQ(less.exit_code, 0) << less.err << "a plan needs no memory";
  const ProgramResult refused = limited(rlim_t{3} << 30, {"--width-g", "1024"});
  EXPECT_EQ(refused.exit_code, 3) << refused.err;
  EXPECT_NE(refused.err.find("the limit of address space (ulimit -v) leaves"), std::string::npos) << refused.err;
  EXPECT_EQ(test::run_directories(folder / "runs").size(), 1u);
}

}  // namespace
}  // namespace poise
