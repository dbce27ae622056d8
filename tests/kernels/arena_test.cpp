// The memory of a step: allocation, recycling and the peak.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "engine/ops/ops.h"
#include "engine/tape/planning.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr int64_t kLine = static_cast<int64_t>(kAlignment);

char* address(const Tensor& t) { return static_cast<char*>(t.bytes); }

TEST(Arena, BlocksAreAlignedAndFollowEachOther) {
  Arena arena(16 * kAlignment, Device::cpu);
  const Tensor a = arena.alloc({3}, DType::f32), b = arena.alloc({17}, DType::f32), c = arena.alloc({0}, DType::f64);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.bytes) % kAlignment, 0u);
  EXPECT_EQ(address(b) - address(a), kLine);
  EXPECT_EQ(address(c) - address(b), 2 * kLine);
  EXPECT_EQ(arena.in_use(), 4 * kAlignment);  // an empty tensor has an address of its own
  EXPECT_EQ(arena.peak(), 4 * kAlignment);
}

TEST(Arena, ARepeatedStepGetsTheSameAddresses) {
  Arena arena(1 << 16, Device::cpu);
  std::vector<void*> first;
  for (int step = 0; step < 3; ++step) {
    std::vector<void*> addresses;
    const Tensor a = arena.alloc({100}, DType::f32), b = arena.alloc({200}, DType::f32);
    arena.recycle(a);
    for (const Tensor& t : {a, b, arena.alloc({50}, DType::f32), arena.alloc({100}, DType::f32)}) {
      addresses.push_back(t.bytes);
    }
    if (step == 0) first = addresses;
    EXPECT_EQ(addresses, first);
    arena.reset();
    EXPECT_EQ(arena.in_use(), 0u);
  }
}

TEST(Arena, RecycledBlocksCoalesceAndAreUsedAgain) {
  Arena arena(64 * kAlignment, Device::cpu);
  std::vector<Tensor> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(arena.alloc({kLine}, DType::u8));
  // Adjacent blocks, in an order in which they merge with the next block and with both neighbours.
  for (const int i : {2, 1, 4, 3}) arena.recycle(blocks[static_cast<size_t>(i)]);
  const Tensor joined = arena.alloc({4 * kLine}, DType::u8);
  EXPECT_EQ(joined.bytes, blocks[1].bytes);
  EXPECT_EQ(arena.peak(), 8 * kAlignment);
  // Recycling the last blocks moves the end back, which also enlarges the room for scratch.
  arena.recycle(blocks[7]);
  arena.recycle(blocks[6]);
  EXPECT_EQ(arena.alloc({3 * kLine}, DType::u8).bytes, blocks[6].bytes);
  EXPECT_EQ(arena.in_use(), 9 * kAlignment);
  EXPECT_EQ(arena.peak(), 9 * kAlignment);
}

TEST(Arena, TakesTheSmallestBlockThatFits) {
  Arena arena(64 * kAlignment, Device::cpu);
  const Tensor large = arena.alloc({4 * kLine}, DType::u8);
  arena.alloc({kLine}, DType::u8);
  const Tensor small = arena.alloc({2 * kLine}, DType::u8);
  arena.alloc({kLine}, DType::u8);
  arena.recycle(large);
  arena.recycle(small);
  EXPECT_EQ(arena.alloc({2 * kLine}, DType::u8).bytes, small.bytes);
  EXPECT_EQ(arena.alloc({kLine}, DType::u8).bytes, large.bytes);  // cut from the larger one
  EXPECT_EQ(address(arena.alloc({3 * kLine}, DType::u8)), address(large) + kLine);
}

TEST(Arena, LiveBlocksNeverOverlap) {
  Arena arena(1 << 20, Device::cpu);
  std::mt19937 random(1);
  std::map<char*, Tensor> live;
  size_t bytes = 0;
  for (int i = 0; i < 5000; ++i) {
    if (live.size() < 40 && random() % 2 == 0) {
      const Tensor t = arena.alloc({static_cast<int64_t>(1 + random() % 3000)}, DType::u8);
      const auto next = live.lower_bound(address(t));
      ASSERT_TRUE(next == live.end() || address(t) + t.elements() <= next->first);
      ASSERT_TRUE(next == live.begin() || std::prev(next)->first + std::prev(next)->second.elements() <= address(t));
      live[address(t)] = t;
      bytes += align_up(t.size_bytes());
    } else if (!live.empty()) {
      const auto victim = std::next(live.begin(), static_cast<int64_t>(random() % live.size()));
      bytes -= align_up(victim->second.size_bytes());
      arena.recycle(victim->second);
      live.erase(victim);
    }
    ASSERT_EQ(arena.in_use(), bytes);
  }
  for (const auto& [where, t] : live) arena.recycle(t);
  EXPECT_EQ(arena.in_use(), 0u);
  EXPECT_EQ(arena.alloc({1 << 20}, DType::u8).elements(), 1 << 20);  // one block again
}

TEST(Arena, NoticesABlockThatIsRecycledTwiceOrIsNotItsOwn) {
  Arena arena(64 * kAlignment, Device::cpu), other(64 * kAlignment, Device::cpu);
  const Tensor a = arena.alloc({kLine}, DType::u8);
  arena.alloc({kLine}, DType::u8);
  arena.recycle(a);
  EXPECT_THROW(arena.recycle(a), Error);
  EXPECT_THROW(arena.recycle(other.alloc({kLine}, DType::u8)), Error);
}

TEST(Arena, ScratchComesFromTheTopAndNests) {
  Arena arena(16 * kAlignment, Device::cpu);
  const Tensor bottom = arena.alloc({kLine}, DType::u8);
  {
    Arena::Scratch outer(arena, 2 * kAlignment);
    EXPECT_EQ(address(outer.tensor()) - address(bottom), 14 * kLine);
    {
      Arena::Scratch inner(arena, 1);
      EXPECT_EQ(address(outer.tensor()) - address(inner.tensor()), kLine);
    }
    EXPECT_EQ(arena.peak(), 4 * kAlignment);
    Arena::Scratch again(arena, 10);
    EXPECT_EQ(address(outer.tensor()) - address(again.tensor()), kLine);
    EXPECT_EQ(again.tensor().elements(), 10);
  }
  EXPECT_EQ(arena.alloc({15 * kLine}, DType::u8).bytes, address(bottom) + kLine);  // all of it is back
}

TEST(Arena, AWorkspaceTakesFreeMemoryFirstAndLeavesNoTrace) {
  Arena arena(16 * kAlignment, Device::cpu);
  const Tensor first = arena.alloc({kLine}, DType::u8), hole = arena.alloc({3 * kLine}, DType::u8);
  const Tensor last = arena.alloc({kLine}, DType::u8);
  arena.recycle(hole);
  const size_t used = arena.in_use();
  {
    Arena::Workspace workspace(arena, 2 * kAlignment);
    EXPECT_EQ(address(workspace), address(hole));
    EXPECT_THROW(arena.alloc({1}, DType::u8), Error);
    EXPECT_THROW(Arena::Workspace(arena, 1), Error);
  }
  EXPECT_EQ(arena.peak(), 5 * kAlignment);
  EXPECT_EQ(arena.in_use(), used);
  {
    Arena::Workspace large(arena, 4 * kAlignment);
    EXPECT_EQ(address(large) - address(first), 12 * kLine);
  }
  EXPECT_EQ(arena.peak(), 9 * kAlignment);
  EXPECT_EQ(address(arena.alloc({3 * kLine}, DType::u8)), address(hole));  // one block, as before
  EXPECT_EQ(address(last) - address(hole), 3 * kLine);
}

TEST(Arena, SaysWhatWasNeededAndWhatWasLeftWhenItIsFull) {
  Arena arena(4 * kAlignment, Device::cpu);
  arena.alloc({3 * kLine}, DType::u8);
  try {
    arena.alloc({5, 7}, DType::f32);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::runtime);
    for (const char* part : {"[5,7] f32", "192 bytes", "64 of 256"}) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << part << " in: " << error.what();
    }
  }
  EXPECT_THROW(Arena::Scratch(arena, 2 * kAlignment), Error);
  EXPECT_NO_THROW(Arena::Scratch(arena, kAlignment));
  EXPECT_NO_THROW(arena.alloc({kLine}, DType::u8));
}

TEST(Arena, APlanHasThePeakOfTheRun) {
  auto use = [](Arena& arena) {
    const Tensor a = arena.alloc({1000}, DType::f32);
    { Arena::Scratch scratch(arena, 5000); }
    const Tensor b = arena.alloc({10}, DType::f64);
    arena.recycle(a);
    arena.alloc({100}, DType::f32);
    Arena::Scratch scratch(arena, 4990);
    arena.alloc({700}, DType::f32);
    arena.recycle(b);
    return arena.peak();
  };
  Arena plan = Arena::for_planning(Device::cpu);
  const size_t peak = use(plan);
  Arena exact(peak, Device::cpu);
  EXPECT_EQ(use(exact), peak);
}

TEST(Arena, IsMeasuredByARunThatComputesNothing) {
  const TestContext outer;
  Profile profile;
  Context ctx = outer.ctx;
  ctx.profile = &profile;
  OwnedTensor x({1000}, DType::f64, Device::cpu);
  std::fill_n(x.tensor().data<double>(), 1000, 1.0);
  const auto use = [&](Context& on) {
    Tape tape(on);
    const Var y = add(tape.constant(x.tensor()), tape.constant(x.tensor()));
    tape.launch({}, on.kernels->fill, 2.0, x.tensor());
    EXPECT_EQ(on.planning, on.profile == nullptr);
    EXPECT_EQ(y.shape(), Shape{1000});
  };
  const size_t bytes = arena_bytes_of(ctx, use);
  EXPECT_EQ(x.tensor().data<double>()[0], 1.0);
  EXPECT_TRUE(profile.rows().empty());
  Arena exact(bytes, Device::cpu), small(bytes - kAlignment, Device::cpu);
  ctx.arena = &exact;
  use(ctx);
  EXPECT_EQ(x.tensor().data<double>()[0], 2.0);
  ctx.arena = &small;
  EXPECT_THROW(use(ctx), Error);
}

#ifndef NDEBUG
TEST(Arena, DebugBuildsFillNewTensorsWithNaN) {
  Arena arena(1 << 12, Device::cpu);
  const Tensor a = arena.alloc({10}, DType::f32);
  EXPECT_TRUE(std::isnan(a.data<float>()[9]));
}
#endif

}  // namespace
}  // namespace poise
