// The state of a running grid: launch, block, warp. Lanes of a warp run in lockstep, with a stack of divergent paths.
#pragma once
#include <cstddef>
#include <functional>
#include <optional>

#include "tests/ptx/interpreter/profile.h"
#include "tests/ptx/interpreter/program.h"

namespace poise::ptx {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// A range of memory that kernels may access: device address `begin` is host address begin + to_host.
struct Region {
  uint64_t begin = 0, end = 0;
  ptrdiff_t to_host = 0;
  bool holds(uint64_t first, uint64_t last) const { return first >= begin && last <= end; }
};

class MemoryMap {
 public:
  virtual ~MemoryMap() = default;
  virtual std::optional<Region> find(uint64_t address) const = 0;
  virtual std::string describe(uint64_t address) const = 0;  // "8 bytes behind an allocation of 400"
};

// The order in which warps and blocks run. A kernel is correct only if its result does not depend on it.
enum class Order : uint8_t { ascending, descending, random };

struct LaunchOptions {
  Order order = Order::ascending;
  uint64_t seed = 1;
  Profile* profile = nullptr;  // if set, the launch is profiled
  // If a profiled launch has more blocks than this, only this number of blocks (at least 2), spread over the grid, run,
  // and the counts are extrapolated. 0: all blocks run.
  uint64_t sampled_blocks = 0;
};

struct Launch {
  const Program* program = nullptr;
  Dim3 grid, block;
  size_t dynamic_shared_bytes = 0;
  std::vector<unsigned char> parameters;
  const MemoryMap* memory = nullptr;
  LaunchOptions options;
};

// A generic address inside one of these windows refers to shared or local memory.
constexpr uint64_t kSharedWindow = uint64_t{1} << 56, kLocalWindow = uint64_t{1} << 57;
constexpr uint64_t kWindowBytes = uint64_t{1} << 32;

class Block;

// An asynchronous copy in flight; each commit closes a group. A copy completes only when the warp waits for its group.
struct AsyncCopy {
  uint32_t lanes = 0;
  uint32_t bytes = 0;
  uint32_t group = 0;  // number of commits before it
  std::array<uint32_t, kLanes> to, valid_bytes;
  std::array<const unsigned char*, kLanes> from;
};

class Warp {
 public:
  struct Path {
    uint32_t lanes;
    int pc, reconverge;
  };
  enum class State : uint8_t { ready, at_barrier, done };

  template <class T>
  T* lanes(uint32_t place) {
    return reinterpret_cast<T*>(file + place);
  }
  uint32_t& predicate(uint32_t place) { return *reinterpret_cast<uint32_t*>(file + place); }

  void branch(const Instruction& i, uint32_t taken);
  void leave(uint32_t lanes);  // these lanes have exited
  void pop_finished_paths();
  uint32_t living() const { return present & ~exited; }

  std::byte* file = nullptr;
  Block* block = nullptr;
  uint32_t active = 0, present = 0, exited = 0;
  int pc = 0, reconverge = -1, index = 0;
  State state = State::ready;
  std::vector<Path> waiting;  // paths below the running one on the stack
  std::vector<AsyncCopy> copies;
  uint32_t commits = 0;
  unsigned char* local = nullptr;
  const Instruction* barrier = nullptr;  // the one the warp waits at
};

class Block {
 public:
  struct Barrier {
    uint32_t warps = 0;
    uint32_t threads_with = 0, threads = 0;  // for bar.red: threads whose predicate is true, and all threads
  };
  const Launch* launch = nullptr;
  Dim3 index;
  std::vector<Warp> warps;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  std::array<Barrier, 16> barriers;
  Region latest;  // the last region found: most accesses go there again
  uint64_t random = 0;

  uint32_t draw();
  // A warp has reached a barrier. Releases the barrier if that was the last warp.
  void arrive(Warp& warp, const Instruction& i, uint32_t predicate);
  void release_barriers();
};

// Throws a Fault for an instruction; the caller adds kernel, block, warp and location.
[[noreturn]] void fault(const std::string& what);

// Runs all blocks. Throws a Fault that names kernel, block, warp, instruction and source line if anything goes wrong.
void run(const Launch& launch);

// What the machine has executed since the program started.
struct Totals {
  uint64_t launches = 0, warp_instructions = 0;
};
const Totals& totals();

}  // namespace poise::ptx
