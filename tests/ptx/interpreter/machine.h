// The state of a grid that runs: launch, block, warp. Warps run in lockstep with a stack of divergent paths.
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

// A piece of memory that kernels may touch: what they call `begin` lies at begin + to_host.
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

// In which order warps and blocks run. A kernel is right only if nothing depends on it.
enum class Order : uint8_t { ascending, descending, random };

struct LaunchOptions {
  Order order = Order::ascending;
  uint64_t seed = 1;
  Profile* profile = nullptr;  // counts, if it is there
  // Of a profiled launch of more blocks, so many run (at least 2), from the first to the last, and the counts are
  // extrapolated. 0: all run.
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

// Generic addresses below this window's end and above its begin are shared or local memory.
constexpr uint64_t kSharedWindow = uint64_t{1} << 56, kLocalWindow = uint64_t{1} << 57;
constexpr uint64_t kWindowBytes = uint64_t{1} << 32;

class Block;

// Copies that are under way; a group per commit. They land when somebody waits for them, and not before.
struct AsyncCopy {
  uint32_t lanes = 0;
  uint32_t bytes = 0;
  uint32_t group = 0;  // how many commits came before
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
  void leave(uint32_t lanes);  // they are done
  void pop_finished_paths();
  uint32_t living() const { return present & ~exited; }

  std::byte* file = nullptr;
  Block* block = nullptr;
  uint32_t active = 0, present = 0, exited = 0;
  int pc = 0, reconverge = -1, index = 0;
  State state = State::ready;
  std::vector<Path> waiting;  // paths below the one that runs
  std::vector<AsyncCopy> copies;
  uint32_t commits = 0;
  unsigned char* local = nullptr;
  const Instruction* barrier = nullptr;  // at which it waits
};

class Block {
 public:
  struct Barrier {
    uint32_t warps = 0;
    uint32_t threads_with = 0, threads = 0;  // of a bar.red
  };
  const Launch* launch = nullptr;
  Dim3 index;
  std::vector<Warp> warps;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  std::array<Barrier, 16> barriers;
  Region latest;  // the last one that was found: most accesses go there again
  uint64_t random = 0;

  uint32_t draw();
  // A warp has come to a barrier, or is done: whoever waits for that goes on.
  void arrive(Warp& warp, const Instruction& i, uint32_t predicate);
  void release_barriers();
};

// What went wrong in an instruction; the caller adds who and where.
[[noreturn]] void fault(const std::string& what);

// Runs all blocks. Fault with kernel, block, warp, instruction and source line if anything is wrong.
void run(const Launch& launch);

// What the machine has executed since the program began.
struct Totals {
  uint64_t launches = 0, warp_instructions = 0;
};
const Totals& totals();

}  // namespace poise::ptx
