// Every seeded bug is found in the way it states, and no correct kernel is reported. Prints what found each bug:
//
//   bug                             by        plain, in order   plain, 50 random   checked, in order   checked, 50
//   random
//
// with "error" if a run ended with a report, or "wrong" if its result differs from the correct kernel's.
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/options.h"
#include "tests/emulator/device_array.h"
#include "tests/emulator/seeded_bugs.h"

namespace poise {
namespace {

constexpr int kRandomRuns = 50;
#ifdef __SANITIZE_ADDRESS__
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

struct Outcome {
  std::string error;
  std::vector<float> y;
  bool intact = true;
};

Outcome run(const SeededBug& bug, bool with_bug, const emulator::Options& options) {
  emulator::set_options(options);
  Context ctx{.device = Device::emulated};
  DeviceArray<float> x(BugData::kElements), y(BugData::kElements);
  DeviceArray<int> counters(256);
  for (int i = 0; i < BugData::kElements; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i % 251 + 1);
  Outcome outcome;
  try {
    bug.run(ctx, with_bug, {x.data(), y.data(), counters.data()});
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  outcome.y = y.values();
  outcome.intact = x.intact() && y.intact() && counters.intact();
  return outcome;
}

emulator::Options options_of(int run) {
  return run == 0 ? emulator::Options{} : emulator::randomised(static_cast<uint64_t>(run));
}

bool contains_one_of(const std::string& text, const std::string& alternatives) {
  std::stringstream parts(alternatives);
  for (std::string part; std::getline(parts, part, '|');) {
    if (text.find(part) != std::string::npos) return true;
  }
  return false;
}

// The results of all runs of one kernel: the first in order, the others in random order.
struct Runs {
  int errors = 0, wrong = 0;  // of the random orders
  bool first_error = false, first_wrong = false;
  bool all_reported = true;  // with the expected report
  bool all_wrong = true;     // without a report
  std::string message;

  std::string first() const { return first_error ? "error" : first_wrong ? "wrong" : "-"; }
  std::string others() const { return std::to_string(errors) + " error, " + std::to_string(wrong) + " wrong"; }
};

Runs runs_of(const SeededBug& bug, bool with_bug, const std::vector<float>& expected) {
  Runs runs;
  for (int i = 0; i <= kRandomRuns; ++i) {
    const Outcome outcome = run(bug, with_bug, options_of(i));
    const bool error = !outcome.error.empty();
    const bool right =
        outcome.intact && std::memcmp(outcome.y.data(), expected.data(), expected.size() * sizeof(float)) == 0;
    if (error && runs.message.empty()) runs.message = outcome.error;
    if (i == 0) {
      runs.first_error = error;
      runs.first_wrong = !error && !right;
    } else {
      runs.errors += error ? 1 : 0;
      runs.wrong += !error && !right ? 1 : 0;
    }
    if (!contains_one_of(outcome.error, bug.report)) runs.all_reported = false;
    if (error || right) runs.all_wrong = false;
  }
  return runs;
}

class SeededBugs : public testing::Test {
 protected:
  ~SeededBugs() override { emulator::set_options({}); }

  void expect_found(const std::vector<SeededBug>& plain, const std::vector<SeededBug>& checked) {
    ASSERT_EQ(plain.size(), checked.size());
    for (size_t i = 0; i < plain.size(); ++i) {
      const SeededBug& bug = plain[i];
      SCOPED_TRACE(bug.name);
      const Outcome oracle = run(bug, false, {});
      ASSERT_EQ(oracle.error, "");
      for (const SeededBug* body : {&plain[i], &checked[i]}) {
        const Runs correct = runs_of(*body, false, oracle.y);
        EXPECT_FALSE(correct.first_error || correct.errors > 0) << correct.message;
        EXPECT_FALSE(correct.first_wrong || correct.wrong > 0);
      }
      // AddressSanitizer would abort the test where a plain kernel accesses memory out of bounds.
      const bool survives = !kAddressSanitizer || std::strcmp(bug.report, "out of bounds") != 0;
      const Runs p = survives ? runs_of(plain[i], true, oracle.y) : Runs{};
      const Runs c = runs_of(checked[i], true, oracle.y);
      const char* by = "";
      switch (bug.caught) {
        case Caught::by_checker:
          by = "checker";
          EXPECT_TRUE(c.all_reported) << c.message;
          break;
        case Caught::by_rules:
          by = "rules";
          EXPECT_TRUE(p.all_reported) << p.message;
          EXPECT_TRUE(c.all_reported) << c.message;
          break;
        case Caught::by_result:
          by = "result";
          EXPECT_TRUE(p.all_wrong) << p.message;
          EXPECT_TRUE(c.all_wrong) << c.message;
          break;
      }
      std::printf("%-45s %-8s %-6s %-20s %-6s %-20s\n", bug.name, by, p.first().c_str(), p.others().c_str(),
                  c.first().c_str(), c.others().c_str());
      if (!c.message.empty()) std::printf("    %s\n", c.message.c_str());
    }
  }
};

TEST_F(SeededBugs, Barriers) { expect_found(emulated::barrier_bugs(), checked::barrier_bugs()); }
TEST_F(SeededBugs, Warps) { expect_found(emulated::warp_bugs(), checked::warp_bugs()); }
TEST_F(SeededBugs, Copies) { expect_found(emulated::copy_bugs(), checked::copy_bugs()); }
TEST_F(SeededBugs, Memory) { expect_found(emulated::memory_bugs(), checked::memory_bugs()); }
TEST_F(SeededBugs, Blocks) { expect_found(emulated::block_bugs(), checked::block_bugs()); }

}  // namespace
}  // namespace poise
