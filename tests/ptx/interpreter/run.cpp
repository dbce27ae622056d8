#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "tests/ptx/interpreter/machine.h"

namespace poise::ptx {
namespace {

constexpr size_t kAlignment = 64;

// A block that executes more instructions than this is taken not to end.
constexpr uint64_t kMostInstructions = uint64_t{1} << 32;

Totals totals_so_far;

class AlignedBytes {
 public:
  // Zero-filled only when first allocated.
  unsigned char* get(size_t bytes) {
    if (bytes + kAlignment > memory_.size()) memory_.assign(bytes + kAlignment, 0);
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + (kAlignment - address % kAlignment) % kAlignment;
  }

 private:
  std::vector<unsigned char> memory_;
};

uint32_t value_of(Special special, const Launch& launch, const Dim3& block, uint32_t thread) {
  const Dim3 &g = launch.grid, &b = launch.block;
  const uint32_t lane = thread % kLanes, bit = uint32_t{1} << lane;
  switch (special) {
    case Special::tid_x:
      return thread % b.x;
    case Special::tid_y:
      return thread / b.x % b.y;
    case Special::tid_z:
      return thread / b.x / b.y;
    case Special::ntid_x:
      return b.x;
    case Special::ntid_y:
      return b.y;
    case Special::ntid_z:
      return b.z;
    case Special::ctaid_x:
      return block.x;
    case Special::ctaid_y:
      return block.y;
    case Special::ctaid_z:
      return block.z;
    case Special::nctaid_x:
      return g.x;
    case Special::nctaid_y:
      return g.y;
    case Special::nctaid_z:
      return g.z;
    case Special::laneid:
      return lane;
    case Special::warpid:
      return thread / kLanes;
    case Special::lanemask_eq:
      return bit;
    case Special::lanemask_lt:
      return bit - 1;
    case Special::lanemask_le:
      return bit | (bit - 1);
    case Special::lanemask_gt:
      return ~(bit | (bit - 1));
    case Special::lanemask_ge:
      return ~(bit - 1);
  }
  return 0;
}

// Counts the sectors from the first to the last of each instruction; those of several instructions count once.
uint64_t sectors_between(const std::vector<InstructionCounts>& counts) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const InstructionCounts& c : counts) {
    if (c.requests > 0) ranges.emplace_back(c.first_sector, c.last_sector + 1);
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t sum = 0, reached = 0;
  for (const auto& [begin, end] : ranges) {
    sum += end - std::min(end, std::max(begin, reached));
    reached = std::max(reached, end);
  }
  return sum;
}

class Grid {
 public:
  explicit Grid(const Launch& launch) : launch_(launch), program_(*launch.program) {
    block_.launch = &launch;
    block_.random = launch.options.seed * 0x9e3779b97f4a7c15ull | 1;
    const auto threads = static_cast<uint32_t>(launch.block.count());
    const uint32_t warps = (threads + kLanes - 1) / kLanes;
    const size_t file_bytes = (program_.file_bytes + kAlignment - 1) / kAlignment * kAlignment;
    auto* files = reinterpret_cast<std::byte*>(files_.get(file_bytes * warps));
    unsigned char* local = locals_.get(program_.local_bytes * warps * kLanes);
    block_.shared_bytes = launch.dynamic_shared_bytes == 0
                              ? program_.static_shared_bytes
                              : program_.dynamic_shared_begin + launch.dynamic_shared_bytes;
    block_.shared = shared_.get(block_.shared_bytes);
    block_.warps.resize(warps);
    for (uint32_t i = 0; i < warps; ++i) {
      Warp& w = block_.warps[i];
      w.block = &block_;
      w.index = static_cast<int>(i);
      w.file = files + i * file_bytes;
      w.local = local + i * program_.local_bytes * kLanes;
      const uint32_t here = std::min<uint32_t>(kLanes, threads - i * kLanes);
      w.present = here == kLanes ? kAll : (uint32_t{1} << here) - 1;
      fill_constants(w);
      fill_specials(w, true);
    }
  }

  void run() {
    const uint64_t blocks = launch_.grid.count(), sample = launch_.options.sampled_blocks;
    if (launch_.options.profile && sample > 0 && blocks > sample) return run_sample(blocks, sample);
    const Order order = launch_.options.order;
    std::vector<uint64_t> shuffled;
    if (order == Order::random) {
      for (uint64_t b = 0; b < blocks; ++b) shuffled.push_back(b);
      for (uint64_t b = blocks; b > 1; --b) std::swap(shuffled[b - 1], shuffled[block_.draw() % b]);
    }
    for (uint64_t b = 0; b < blocks; ++b) {
      run_block(order == Order::random ? shuffled[b] : order == Order::descending ? blocks - 1 - b : b);
    }
    if (Profile* profile = launch_.options.profile) {
      profile->blocks += blocks;
      profile->touched_sectors = profile->touched.size();
    }
  }

  // Assumes that every block does what the sampled ones do on average.
  void run_sample(uint64_t blocks, uint64_t sample) {
    Profile& profile = *launch_.options.profile;
    uint64_t of_blocks = 0, first = blocks, last = 0;
    std::unordered_set<uint64_t> all;
    for (uint64_t i = 0; i < sample; ++i) {
      profile.touched.clear();
      // Steps by the golden ratio, which does not align with any period of the grid.
      const double place = static_cast<double>(i) * 0.6180339887498949;
      const auto block = static_cast<uint64_t>((place - std::floor(place)) * static_cast<double>(blocks));
      run_block(block);
      first = std::min(first, block);
      last = std::max(last, block);
      of_blocks += profile.touched.size();
      all.insert(profile.touched.begin(), profile.touched.end());
    }
    // Some of the sectors that a block touches are its own, and some are touched by all blocks (weights, for example):
    // n blocks touch n own + shared distinct sectors, n (own + shared) in total. This overestimates if neighbours share
    // sectors; the ranges from each instruction's first to last sector, scaled to the whole grid, give an upper bound.
    const double n = static_cast<double>(sample), each = static_cast<double>(of_blocks) / n;
    const double own = (static_cast<double>(all.size()) - each) / (n - 1), shared = each - own;
    const auto touched = static_cast<uint64_t>(std::llround(static_cast<double>(blocks) * own + shared));
    profile.touched_sectors = std::min(touched, sectors_between(profile.counts) * blocks / (last - first + 1));
    profile.touched = std::move(all);
    profile.blocks += blocks;
    const auto extrapolate = [&](uint64_t& count) { count = count * blocks / sample; };
    for (InstructionCounts& c : profile.counts) {
      for (uint64_t* count : {&c.warps, &c.lanes, &c.requests, &c.sectors, &c.wavefronts, &c.phases})
        extrapolate(*count);
    }
    extrapolate(profile.divergent_branches);
  }

 private:
  void fill_constants(Warp& w) {
    for (const Program::Constant& c : program_.constants) {
      if (c.width == RegisterClass::predicate) w.predicate(c.place) = static_cast<uint32_t>(c.bits);
      if (c.width == RegisterClass::b32) std::fill_n(w.lanes<uint32_t>(c.place), kLanes, static_cast<uint32_t>(c.bits));
      if (c.width == RegisterClass::b64) std::fill_n(w.lanes<uint64_t>(c.place), kLanes, c.bits);
    }
  }

  // Fills all special registers, or only those that depend on the block.
  void fill_specials(Warp& w, bool all) {
    for (const auto& [place, special] : program_.specials) {
      const bool of_block = special >= Special::ctaid_x && special <= Special::ctaid_z;
      if (!all && !of_block) continue;
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        w.lanes<uint32_t>(place)[lane] =
            value_of(special, launch_, block_.index, static_cast<uint32_t>(w.index) * kLanes + lane);
      }
    }
  }

  void run_block(uint64_t number) {
    const Dim3& g = launch_.grid;
    block_.index = {static_cast<uint32_t>(number % g.x), static_cast<uint32_t>(number / g.x % g.y),
                    static_cast<uint32_t>(number / g.x / g.y)};
    std::memset(block_.shared, 0xff, block_.shared_bytes);
    block_.barriers = {};
    for (Warp& w : block_.warps) {
      w.active = w.present;
      w.exited = 0;
      w.pc = 0;
      w.reconverge = static_cast<int>(program_.code.size());
      w.state = Warp::State::ready;
      w.waiting.clear();
      w.copies.clear();
      w.commits = 0;
      fill_specials(w, false);
    }
    executed_ = 0;
    launch_.options.order == Order::random ? run_at_random() : run_in_order();
    totals_so_far.warp_instructions += executed_;
  }

  void run_in_order() {
    const bool backwards = launch_.options.order == Order::descending;
    const size_t n = block_.warps.size();
    for (;;) {
      size_t done = 0;
      bool ran = false;
      for (size_t k = 0; k < n; ++k) {
        Warp& w = block_.warps[backwards ? n - 1 - k : k];
        if (w.state == Warp::State::ready) {
          run_warp(w, kMostInstructions);
          ran = true;
        }
        done += w.state == Warp::State::done;
      }
      if (done == n) return;
      if (!ran) report_deadlock();
    }
  }

  void run_at_random() {
    std::vector<Warp*> ready;
    for (;;) {
      ready.clear();
      size_t done = 0;
      for (Warp& w : block_.warps) {
        if (w.state == Warp::State::ready) ready.push_back(&w);
        done += w.state == Warp::State::done;
      }
      if (done == block_.warps.size()) return;
      if (ready.empty()) report_deadlock();
      run_warp(*ready[block_.draw() % ready.size()], 1 + block_.draw() % 64);
    }
  }

  void run_warp(Warp& w, uint64_t budget) {
    const Instruction* code = program_.code.data();
    Profile* profile = launch_.options.profile;
    const uint64_t before = budget;
    try {
      while (w.state == Warp::State::ready && budget-- > 0) {
        const Instruction& i = code[w.pc];
        uint32_t lanes = w.active;
        if (i.guard != Instruction::kNone) lanes &= i.guard_negated ? ~w.predicate(i.guard) : w.predicate(i.guard);
        if (profile) {
          InstructionCounts& counts = profile->counts[static_cast<size_t>(w.pc)];
          ++counts.warps;
          counts.lanes += static_cast<uint64_t>(std::popcount(lanes));
        }
        ++w.pc;
        if (lanes == kAll) {
          i.all(w, i, lanes);
        } else if (lanes != 0) {
          i.some(w, i, lanes);
        }
        if (w.pc == w.reconverge) w.pop_finished_paths();
      }
    } catch (const Fault& problem) {
      report(w, problem.what());
    }
    executed_ += before - budget;
    if (executed_ >= kMostInstructions) report(w, "this block does not end");
    if (w.state == Warp::State::done) block_.release_barriers();
  }

  [[noreturn]] void report(const Warp& w, const std::string& what) const {
    throw Fault(program_.name + ": block " + block_text() + ", warp " + std::to_string(w.index) + ": " + what +
                "\n  at " + place_of(program_, w.pc - 1));
  }
  [[noreturn]] void report_deadlock() const {
    for (const Warp& w : block_.warps) {
      if (w.state == Warp::State::at_barrier) {
        report(w, "deadlock: this warp waits at a barrier to which others do not come");
      }
    }
    throw Fault(program_.name + ": deadlock");
  }
  std::string block_text() const {
    return std::to_string(block_.index.x) + "," + std::to_string(block_.index.y) + "," + std::to_string(block_.index.z);
  }

  const Launch& launch_;
  const Program& program_;
  Block block_;
  uint64_t executed_ = 0;
  static thread_local AlignedBytes files_, locals_, shared_;
};

thread_local AlignedBytes Grid::files_, Grid::locals_, Grid::shared_;

}  // namespace

void fault(const std::string& what) { throw Fault(what); }

void run(const Launch& launch) {
  Launch copy = launch;
  if (copy.parameters.size() < launch.program->text->parameter_bytes) {
    throw Fault(launch.program->name + ": expected " + std::to_string(launch.program->text->parameter_bytes) +
                " bytes of parameters");
  }
  // Blocks that wait for their predecessors (as in CUB's scans) must run after them.
  if (copy.program->name.find("3cub") != std::string::npos) copy.options.order = Order::ascending;
  if (copy.options.profile) copy.options.profile->counts.resize(copy.program->code.size());
  ++totals_so_far.launches;
  Grid(copy).run();
}

const Totals& totals() { return totals_so_far; }

}  // namespace poise::ptx
