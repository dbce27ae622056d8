// Tests the PTX interpreter on hand-written kernels: what every instruction computes, where divergent lanes reconverge,
// and the collective operations of warps and blocks. The interpreter must refuse unsupported instructions and report
// accesses that are invalid on a GPU.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "tests/ptx/interpreter/machine.h"

namespace poise::ptx {
namespace {

// Host memory that kernels may access, at its own addresses.
class HostMemory final : public MemoryMap {
 public:
  template <class Values>  // a vector or a span
  uint64_t add(Values& values) {
    const auto begin = reinterpret_cast<uint64_t>(values.data());
    regions_.push_back({begin, begin + values.size() * sizeof(*values.data()), 0});
    return begin;
  }
  std::optional<Region> find(uint64_t address) const override {
    for (const Region& r : regions_) {
      if (address >= r.begin && address < r.end) return r;
    }
    return std::nullopt;
  }
  std::string describe(uint64_t) const override { return "which is nowhere"; }

 private:
  std::vector<Region> regions_;
};

// A module with one kernel k whose parameters are addresses called a, b, c.
std::string module_of(const std::string& body, int parameters = 1, const std::string& outside = "") {
  std::string text = ".version 9.0\n.target sm_90a\n.address_size 64\n" + outside + "\n.visible .entry k(";
  for (int i = 0; i < parameters; ++i) {
    text += std::string(i == 0 ? "" : ", ") + ".param .u64 " + static_cast<char>('a' + i);
  }
  return text + ")\n{\n" + body + "\nret;\n}\n";
}

struct Shape {
  Dim3 grid = {1, 1, 1}, block = {32, 1, 1};
  size_t dynamic_shared_bytes = 0;
  LaunchOptions options;
};

void run_module(const std::string& text, const HostMemory& memory, const std::vector<uint64_t>& parameters,
                const Shape& shape = {}) {
  const Module module(text);
  const Program program = decode(module, "k", {});
  Launch launch;
  launch.program = &program;
  launch.grid = shape.grid;
  launch.block = shape.block;
  launch.dynamic_shared_bytes = shape.dynamic_shared_bytes;
  launch.parameters.resize(parameters.size() * 8);
  if (!parameters.empty()) std::memcpy(launch.parameters.data(), parameters.data(), launch.parameters.size());
  launch.memory = &memory;
  launch.options = shape.options;
  run(launch);
}

// Runs `body`, which leaves one result per thread in %r0 and may use %r1 to %r19 (%r1: the thread), %p, %rd, %f.
constexpr const char* kRegisters =
    ".reg .b32 %r<20>; .reg .b64 %rd<20>; .reg .pred %p<10>; .reg .f32 %f<10>; .reg .b16 %rs<10>;\n"
    "ld.param.u64 %rd10, [a]; cvta.to.global.u64 %rd11, %rd10; mov.u32 %r1, %tid.x;\n"
    "mov.u32 %r18, %ctaid.x; mov.u32 %r19, %ntid.x; mad.lo.s32 %r18, %r18, %r19, %r1;\n"
    "mul.wide.u32 %rd12, %r18, 4; add.s64 %rd13, %rd11, %rd12;\n";
std::vector<uint32_t> results_of(const std::string& body, const Shape& shape = {}, const std::string& outside = "") {
  // Aligned to a line of 128 bytes, as device memory is: the cost of accesses depends on it.
  constexpr size_t kLine = 128 / sizeof(uint32_t);
  const size_t count = shape.grid.count() * shape.block.count();
  std::vector<uint32_t> storage(count + kLine, 0xdeadbeef);
  const size_t offset = (kLine - reinterpret_cast<uintptr_t>(storage.data()) / sizeof(uint32_t) % kLine) % kLine;
  const std::span<uint32_t> results(storage.data() + offset, count);
  HostMemory memory;
  const uint64_t address = memory.add(results);
  run_module(module_of(kRegisters + body + "\nst.global.u32 [%rd13], %r0;", 1, outside), memory, {address}, shape);
  return {results.begin(), results.end()};
}

std::string fault_of(const std::string& body, const Shape& shape = {}, const std::string& outside = "") {
  try {
    results_of(body, shape, outside);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "no fault";
}
void expect_fault(const std::string& body, const std::string& part, const Shape& shape = {},
                  const std::string& outside = "") {
  const std::string fault = fault_of(body, shape, outside);
  EXPECT_NE(fault.find(part), std::string::npos) << body << "\n  gave: " << fault << "\n  expected: " << part;
}

// --- single instructions -------------------------------------------------------------------------------------------

uint64_t f(float x) { return std::bit_cast<uint32_t>(x); }
uint64_t d(double x) { return std::bit_cast<uint64_t>(x); }
const uint64_t kNan = f(std::nanf("")), kInf = f(INFINITY);

// Operands by letter, the destination first: w, l and h have 32, 64 and 16 bits, p is a predicate.
struct Case {
  const char* opcode;
  const char* letters;
  std::vector<uint64_t> inputs;
  uint64_t expected;
};

uint64_t value_of(const Case& c) {
  std::string body =
      ".reg .b32 %w<6>; .reg .b64 %l<6>; .reg .b16 %h<6>; .reg .pred %p<6>; .reg .b64 %from<2>; .reg .b32 %x;\n"
      "ld.param.u64 %from0, [a]; ld.param.u64 %from1, [b];\n";
  std::string operands;
  const std::string letters = c.letters;
  for (size_t n = 0; n < letters.size(); ++n) {
    const std::string name = std::string("%") + letters[n] + std::to_string(n);
    operands += (n == 0 ? " " : ", ") + name;
    if (n == 0) continue;
    const std::string at = "[%from0+" + std::to_string((n - 1) * 8) + "];\n";
    if (letters[n] == 'p') {
      body += "ld.global.b32 %x, " + at + "setp.ne.s32 " + name + ", %x, 0;\n";
    } else {
      body += std::string("ld.global.b") +
              (letters[n] == 'l'   ? "64 "
               : letters[n] == 'w' ? "32 "
                                   : "16 ") +
              name + ", " + at;
    }
  }
  body += c.opcode + operands + ";\n";
  const std::string to = std::string("%") + letters[0] + "0";
  if (letters[0] == 'p') {
    body += "selp.b32 %x, 1, 0, " + to + ";\nst.global.b32 [%from1], %x;";
  } else {
    body += std::string("st.global.b") +
            (letters[0] == 'l'   ? "64"
             : letters[0] == 'w' ? "32"
                                 : "16") +
            " [%from1], " + to + ";";
  }
  std::vector<uint64_t> inputs = c.inputs, result = {0};
  HostMemory memory;
  const uint64_t from = memory.add(inputs), into = memory.add(result);
  // Once for all lanes of a warp and once for some: these are separate code paths.
  for (const uint32_t threads : {32u, 5u}) {
    result[0] = 0;
    run_module(module_of(body, 2), memory, {from, into}, {.block = {threads, 1, 1}});
    if (threads == 32 && result[0] != c.expected) break;
  }
  return result[0];
}

TEST(PtxInterpreter, InstructionsComputeWhatTheManualSays) {
  const uint64_t minus_one = 0xffffffff, big = 0x80000000;
  const Case cases[] = {
      // integers
      {"add.s32", "www", {0x7fffffff, 1}, big},
      {"add.s64", "lll", {0xffffffff, 1}, 0x100000000},
      {"add.s16", "hhh", {0xffff, 2}, 1},
      {"sub.s32", "www", {0, 1}, minus_one},
      {"mul.lo.s32", "www", {minus_one, 7}, 0xfffffff9},
      {"mul.hi.u32", "www", {minus_one, minus_one}, 0xfffffffe},
      {"mul.hi.s32", "www", {minus_one, 2}, minus_one},
      {"mul.hi.u64", "lll", {~uint64_t{0}, 16}, 15},
      {"mul.wide.s32", "lww", {minus_one, 5}, ~uint64_t{4}},
      {"mul.wide.u32", "lww", {minus_one, 5}, 0x4fffffffb},
      {"mul.wide.u16", "whh", {0xffff, 0xffff}, 0xfffe0001},
      {"mad.lo.s32", "wwww", {3, 5, 7}, 22},
      {"mad.lo.s64", "llll", {uint64_t{1} << 40, 3, 1}, (uint64_t{3} << 40) + 1},
      {"mad.wide.u32", "lwwl", {minus_one, 2, 1}, 0x1ffffffff},
      {"div.u32", "www", {100, 7}, 14},
      {"div.s32", "www", {uint32_t(-100), 7}, uint32_t(-14)},
      {"rem.u32", "www", {100, 7}, 2},
      {"rem.s32", "www", {uint32_t(-100), 7}, uint32_t(-2)},
      {"div.u64", "lll", {uint64_t{1} << 50, 1 << 20}, 1 << 30},
      {"min.s32", "www", {minus_one, 1}, minus_one},
      {"min.u32", "www", {minus_one, 1}, 1},
      {"max.s64", "lll", {~uint64_t{0}, 1}, 1},
      {"abs.s32", "ww", {minus_one}, 1},
      {"neg.s32", "ww", {5}, uint32_t(-5)},
      {"and.b32", "www", {0xff00, 0x0ff0}, 0x0f00},
      {"or.b64", "lll", {uint64_t{1} << 63, 1}, (uint64_t{1} << 63) | 1},
      {"xor.b32", "www", {0xff, 0x0f}, 0xf0},
      {"not.b32", "ww", {0}, minus_one},
      {"shl.b32", "www", {1, 31}, big},
      {"shl.b32", "www", {1, 32}, 0},  // clamped, not taken modulo 32
      {"shl.b64", "llw", {1, 40}, uint64_t{1} << 40},
      {"shr.u32", "www", {big, 31}, 1},
      {"shr.s32", "www", {big, 31}, minus_one},
      {"shr.s32", "www", {big, 200}, minus_one},
      {"shr.u32", "www", {big, 200}, 0},
      {"popc.b32", "ww", {0xf0f0}, 8},
      {"clz.b32", "ww", {1}, 31},
      {"clz.b32", "ww", {0}, 32},
      {"brev.b32", "ww", {1}, big},
      {"bfind.u32", "ww", {0x100}, 8},
      {"bfind.u32", "ww", {0}, minus_one},
      {"bfi.b32", "wwwww", {0xff, 0, 4, 4}, 0xf0},
      {"bfe.u32", "wwww", {0xabcd, 4, 8}, 0xbc},
      {"bfe.s32", "wwww", {0xf0, 4, 4}, minus_one},
      {"prmt.b32", "wwww", {0x33221100, 0x77665544, 0x7531}, 0x77553311},
      {"bmsk.clamp.b32", "www", {4, 8}, 0xff0},
      // floating point
      {"add.f32", "www", {f(1), f(0x1p-24f)}, f(1)},
      {"add.rz.f32", "www", {f(1), f(0x1.8p-24f)}, f(1)},
      {"mul.f32", "www", {f(3), f(0.5f)}, f(1.5f)},
      {"fma.rn.f32", "wwww", {f(0x1.000002p0f), f(0x1.000002p0f), f(-1)}, f(0x1.000001p-22f)},
      {"fma.rm.f32", "wwww", {f(1), f(1), f(-0x1p-26f)}, f(0x1.fffffep-1f)},
      {"div.rn.f32", "www", {f(1), f(3)}, f(1.0f / 3)},
      {"sqrt.rn.f32", "ww", {f(2)}, f(std::sqrt(2.0f))},
      {"rcp.rn.f32", "ww", {f(3)}, f(1.0f / 3)},
      {"rsqrt.approx.f32", "ww", {f(4)}, f(0.5f)},
      {"ex2.approx.ftz.f32", "ww", {f(3)}, f(8)},
      {"lg2.approx.f32", "ww", {f(8)}, f(3)},
      {"min.f32", "www", {kNan, f(2)}, f(2)},
      {"max.f32", "www", {f(-0.0f), f(0.0f)}, f(0.0f)},
      {"neg.f32", "ww", {f(2)}, f(-2)},
      {"abs.f32", "ww", {f(-2)}, f(2)},
      {"copysign.f32", "www", {f(-1), f(3)}, f(-3)},
      {"add.f64", "lll", {d(1), d(0x1p-40)}, d(1 + 0x1p-40)},
      {"fma.rn.f64", "llll", {d(2), d(3), d(4)}, d(10)},
      // conversions
      {"cvt.rn.f32.s32", "ww", {minus_one}, f(-1)},
      {"cvt.rn.f32.u32", "ww", {minus_one}, f(4294967296.0f)},
      {"cvt.rzi.s32.f32", "ww", {f(-2.7f)}, uint32_t(-2)},
      {"cvt.rmi.s32.f32", "ww", {f(-2.1f)}, uint32_t(-3)},
      {"cvt.rni.s32.f32", "ww", {f(2.5f)}, 2},
      {"cvt.rzi.s32.f32", "ww", {kInf}, 0x7fffffff},
      {"cvt.rzi.u32.f32", "ww", {f(-5)}, 0},
      {"cvt.rzi.s32.f32", "ww", {kNan}, 0},
      {"cvt.f64.f32", "lw", {f(1.5f)}, d(1.5)},
      {"cvt.rn.f32.f64", "wl", {d(1.0 / 3)}, f(static_cast<float>(1.0 / 3))},
      {"cvt.rn.bf16.f32", "hw", {f(1.00390625f)}, 0x3f80},     // a tie, to even
      {"cvt.rn.bf16.f32", "hw", {f(1.01171875f)}, 0x3f82},     // a tie, to even
      {"cvt.rn.bf16.f32", "hw", {0xffc00001}, 0x7fff},         // NaN loses sign and payload
      {"cvt.rn.bf16x2.f32", "www", {f(2), f(1)}, 0x40003f80},  // the first operand in the upper half
      {"cvt.rna.tf32.f32", "ww", {0x3f801000}, 0x3f802000},    // a tie, away from zero
      {"cvt.s64.s32", "lw", {minus_one}, ~uint64_t{0}},
      {"cvt.u64.u32", "lw", {minus_one}, minus_one},
      {"cvt.u32.u64", "wl", {0x123456789}, 0x23456789},
      {"cvt.u32.u16", "wh", {0xffff}, 0xffff},
      {"cvt.s32.s16", "wh", {0xffff}, minus_one},
      {"cvt.u16.u32", "hw", {0x12345}, 0x2345},
      // comparisons and choices
      {"setp.lt.s32", "pww", {minus_one, 0}, 1},
      {"setp.lt.u32", "pww", {minus_one, 0}, 0},
      {"setp.eq.f32", "pww", {kNan, kNan}, 0},
      {"setp.ne.f32", "pww", {kNan, kNan}, 0},
      {"setp.neu.f32", "pww", {kNan, kNan}, 1},
      {"setp.ltu.f32", "pww", {kNan, f(0)}, 1},
      {"setp.gt.f32", "pww", {kNan, f(0)}, 0},
      {"setp.nan.f32", "pww", {kNan, f(0)}, 1},
      {"setp.ge.s64", "pll", {0, ~uint64_t{0}}, 1},
      {"selp.b32", "wwwp", {3, 4, 1}, 3},
      {"selp.f32", "wwwp", {3, 4, 0}, 4},
      {"selp.b64", "lllp", {3, uint64_t{4} << 40, 0}, uint64_t{4} << 40},
      {"and.pred", "ppp", {1, 0}, 0},
      {"or.pred", "ppp", {1, 0}, 1},
      {"xor.pred", "ppp", {1, 1}, 0},
      {"not.pred", "pp", {0}, 1},
  };
  for (const Case& c : cases) {
    const uint64_t got = value_of(c);
    EXPECT_EQ(got, c.expected) << c.opcode << std::hex << " gave " << got << " instead of " << c.expected;
  }
}

TEST(PtxInterpreter, PacksAndUnpacksRegisters) {
  EXPECT_EQ(results_of("mov.b32 %r2, 305419896; mov.b32 {%rs1, %rs2}, %r2; mov.b32 %r0, {%rs2, %rs1};")[0],
            0x56781234u);
  EXPECT_EQ(results_of("mov.b64 %rd1, 4294967299; mov.b64 {%r2, %r3}, %rd1; add.s32 %r0, %r2, %r3;")[0], 4u);
}

TEST(PtxInterpreter, KnowsWhereAThreadIs) {
  const auto ids = results_of(
      "mov.u32 %r2, %laneid; mov.u32 %r3, %nctaid.x; mov.u32 %r4, %ctaid.x; mad.lo.s32 %r0, %r4, 100, %r2;"
      "mad.lo.s32 %r0, %r3, 1000, %r0;",
      {.grid = {3, 1, 1}, .block = {48, 1, 1}});
  for (uint32_t i = 0; i < 144; ++i) EXPECT_EQ(ids[i], 3000 + i / 48 * 100 + i % 48 % 32);
}

// --- divergence ----------------------------------------------------------------------------------------------------

// Lane i runs i iterations; after the loop, all lanes take part in a shuffle.
TEST(PtxInterpreter, LanesMeetAgainBehindALoop) {
  const std::string loop =
      "mov.u32 %r2, 0; mov.u32 %r3, 0;\n"
      "$loop: setp.ge.u32 %p1, %r3, %r1; @%p1 bra $end;\n"
      "add.u32 %r2, %r2, %r3; add.u32 %r3, %r3, 1; bra.uni $loop;\n"
      "$end: shfl.sync.idx.b32 %r0, %r2, 31, 31, -1;";
  for (const Order order : {Order::ascending, Order::descending, Order::random}) {
    const auto sums = results_of(loop, {.options = {.order = order}});
    for (const uint32_t sum : sums) EXPECT_EQ(sum, 30u * 31 / 2);
  }
}

TEST(PtxInterpreter, NestedBranchesTakeEachLaneItsOwnWay) {
  const std::string tree =
      "and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 1; and.b32 %r3, %r1, 2; setp.eq.u32 %p2, %r3, 2;\n"
      "@%p1 bra $odd; @%p2 bra $two; mov.u32 %r0, 0; bra.uni $end;\n"
      "$two: mov.u32 %r0, 2; bra.uni $end;\n"
      "$odd: @!%p2 bra $one; mov.u32 %r0, 3; bra.uni $end;\n"
      "$one: mov.u32 %r0, 1;\n"
      "$end: vote.sync.ballot.b32 %r4, %p1, -1; setp.ne.u32 %p3, %r4, 0xaaaaaaaa; @%p3 mov.u32 %r0, 99;";
  for (const Order order : {Order::ascending, Order::descending, Order::random}) {
    const auto values = results_of(tree, {.options = {.order = order, .seed = 3}});
    for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(values[i], i % 4);
  }
}

// Half of a warp exits early; the other lanes need not wait for it.
TEST(PtxInterpreter, LanesThatHaveEndedAreNotMissed) {
  const auto values = results_of(
      "mov.u32 %r2, %laneid; setp.lt.u32 %p1, %r2, 16; @%p1 ret; bar.sync 0;"
      "shfl.sync.bfly.b32 %r0, %r1, 1, 31, 0xffff0000;",
      {.block = {64, 1, 1}});
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(values[i], i % 32 < 16 ? 0xdeadbeef : i ^ 1);
}

// --- collectives ---------------------------------------------------------------------------------------------------

TEST(PtxInterpreter, ShufflesReachTheirNeighbours) {
  const auto up = results_of("shfl.sync.up.b32 %r0, %r1, 3, 0, -1;");
  const auto down = results_of("shfl.sync.down.b32 %r0, %r1, 3, 31, -1;");
  const auto butterfly = results_of("shfl.sync.bfly.b32 %r0, %r1, 5, 31, -1;");
  const auto index = results_of("shfl.sync.idx.b32 %r0, %r1, 7, 31, -1;");
  const auto quarters = results_of("shfl.sync.idx.b32 %r0, %r1, 2, 0x1807, -1;");  // segments of 8 lanes
  const auto valid = results_of("shfl.sync.down.b32 %r2|%p1, %r1, 3, 31, -1; selp.b32 %r0, 1, 0, %p1;");
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(up[i], i < 3 ? i : i - 3);
    EXPECT_EQ(down[i], i > 28 ? i : i + 3);
    EXPECT_EQ(butterfly[i], i ^ 5);
    EXPECT_EQ(index[i], 7u);
    EXPECT_EQ(quarters[i], i / 8 * 8 + 2);
    EXPECT_EQ(valid[i], i > 28 ? 0u : 1u);
  }
}

TEST(PtxInterpreter, VotesCountTheLanesOfTheMask) {
  const std::string half = "setp.lt.u32 %p1, %r1, 8; ";
  EXPECT_EQ(results_of(half + "vote.sync.ballot.b32 %r0, %p1, -1;")[5], 0xffu);
  EXPECT_EQ(results_of(half + "vote.sync.any.pred %p2, %p1, -1; selp.b32 %r0, 1, 0, %p2;")[20], 1u);
  EXPECT_EQ(results_of(half + "vote.sync.all.pred %p2, %p1, -1; selp.b32 %r0, 1, 0, %p2;")[0], 0u);
  EXPECT_EQ(results_of("redux.sync.add.s32 %r0, %r1, -1;")[9], 31u * 32 / 2);
}

// Warps write and read shared memory across a barrier, in any order.
TEST(PtxInterpreter, BarriersKeepWarpsTogether) {
  const std::string body =
      ".shared .align 4 .b8 x[1024]; mov.u64 %rd1, x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;"
      "st.shared.u32 [%rd3], %r1; bar.sync 0; xor.b32 %r2, %r1, 127; mul.wide.u32 %rd2, %r2, 4;"
      "add.s64 %rd3, %rd1, %rd2; ld.shared.u32 %r0, [%rd3];";
  for (const Order order : {Order::ascending, Order::descending, Order::random}) {
    const auto values = results_of(body, {.block = {128, 1, 1}, .options = {.order = order, .seed = 7}});
    for (uint32_t i = 0; i < 128; ++i) EXPECT_EQ(values[i], i ^ 127);
  }
  const auto count = results_of("setp.gt.u32 %p1, %r1, 9; barrier.red.popc.u32 %r0, 0, %p1;", {.block = {96, 1, 1}});
  for (const uint32_t n : count) EXPECT_EQ(n, 86u);
}

TEST(PtxInterpreter, AtomicsAddUpOverBlocks) {
  // The first thread's result is the counter; no thread overwrites it.
  const auto counted = results_of(
      "atom.global.add.u32 %r2, [%rd11], 1; bar.sync 0; setp.ne.u32 %p1, %r1, 0; @%p1 ret;"
      "ret;",
      {.grid = {3, 1, 1}, .block = {40, 1, 1}});
  EXPECT_EQ(counted[0], 0xdeadbeef + 120u);
  EXPECT_EQ(results_of("atom.global.cas.b32 %r0, [%rd13], 0xdeadbeef, 5;")[3], 0xdeadbeef);
  EXPECT_EQ(results_of("atom.global.max.u32 %r2, [%rd13], -1; ld.global.u32 %r0, [%rd13];")[3], 0xffffffff);
}

const std::string kCopy =
    ".shared .align 16 .b8 x[512]; mov.u32 %r2, x; shl.b32 %r3, %r1, 2; add.s32 %r4, %r2, %r3;"
    "st.global.u32 [%rd13], %r1;";

TEST(PtxInterpreter, AsynchronousCopiesLandWhenTheyAreWaitedFor) {
  const auto early = results_of(kCopy +
                                "cp.async.ca.shared.global [%r4], [%rd13], 4; cp.async.commit_group;"
                                "ld.shared.u32 %r0, [%r4];");
  const auto late = results_of(kCopy +
                               "cp.async.ca.shared.global [%r4], [%rd13], 4; cp.async.commit_group;"
                               "cp.async.wait_group 0; ld.shared.u32 %r0, [%r4];");
  const auto other = results_of(kCopy +
                                "cp.async.ca.shared.global [%r4], [%rd13], 4; cp.async.commit_group;"
                                "cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %r0, [%r4];");
  const auto none = results_of(kCopy +
                               "mov.u32 %r5, 0; cp.async.ca.shared.global [%r4], [%rd13], 4, %r5;"
                               "cp.async.wait_all; ld.shared.u32 %r0, [%r4];");
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(early[i], 0xffffffff);
    EXPECT_EQ(late[i], i);
    EXPECT_EQ(other[i], i);
    EXPECT_EQ(none[i], 0u);
  }
}

// 32 consecutive lanes touch four sectors; lanes 128 bytes apart all use the same bank.
TEST(PtxInterpreter, CountsSectorsAndBankConflicts) {
  const auto counted = [](const std::string& place) {
    Profile profile;
    results_of(
        ".shared .align 4 .b8 x[4096]; mov.u32 %r2, x;" + place + "add.s32 %r2, %r2, %r3; st.shared.u32 [%r2], %r1;",
        {.options = {.profile = &profile}});
    InstructionCounts sum;
    for (const InstructionCounts& c : profile.counts) {
      sum.sectors += c.sectors;
      sum.wavefronts += c.wavefronts;
      sum.phases += c.phases;
    }
    return sum;
  };
  const InstructionCounts rows = counted("shl.b32 %r3, %r1, 2;"), columns = counted("shl.b32 %r3, %r1, 7;");
  EXPECT_EQ(rows.sectors, 4u);  // of the store of the result
  EXPECT_EQ(rows.wavefronts, 1u);
  EXPECT_EQ(rows.phases, 1u);
  EXPECT_EQ(columns.wavefronts, 32u);
  EXPECT_EQ(columns.phases, 1u);
}

// If all blocks do the same, a sample gives the counts and touched sectors of the whole grid. Here one thread of each
// block reads a sector that all blocks share, and each block writes four sectors of its own.
TEST(PtxInterpreter, ASampleOfAlikeBlocksCountsAsAll) {
  const auto counted = [](uint64_t sample) {
    Profile profile;
    results_of("setp.eq.u32 %p1, %r1, 0; @%p1 ld.global.u32 %r0, [%rd11+400]; mov.u32 %r0, 1;",
               {.grid = {100, 1, 1}, .options = {.profile = &profile, .sampled_blocks = sample}});
    return profile;
  };
  const Profile all = counted(0), some = counted(7);
  EXPECT_EQ(all.touched_sectors, 400u);
  EXPECT_NEAR(static_cast<double>(some.touched_sectors), 400, 4);
  EXPECT_LT(some.touched.size(), 30u) << "7 blocks run";
  EXPECT_EQ(some.blocks, 100u);
  ASSERT_EQ(some.counts.size(), all.counts.size());
  for (size_t i = 0; i < all.counts.size(); ++i) {
    EXPECT_EQ(some.counts[i].warps, all.counts[i].warps);
    EXPECT_EQ(some.counts[i].lanes, all.counts[i].lanes);
    EXPECT_EQ(some.counts[i].sectors, all.counts[i].sectors);
  }
}

// --- refusals and faults ---------------------------------------------------------------------------------------------

TEST(PtxInterpreter, RefusesByNameWhatItDoesNotKnow) {
  expect_fault("sin.approx.f32 %f1, %f2;", "sin.approx.f32 is not known to the interpreter");
  expect_fault("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%f1}, {%f2}, {%f3}, {%f4};",
               "mma.sync.aligned.m8n8k4");
  expect_fault("mov.u32 %r0, %smid;", "%smid");
  expect_fault("ld.global.v8.f32 %f1, [%rd13];", ".v8 is not known");
  expect_fault("atom.global.add.f32 %f1, [%rd13], %f2;", "no atomic add of .f32");
  expect_fault("add.s32 %rd1, %r1, %r1;", "has the wrong width");
  expect_fault("bra $nowhere;", "no such label");
  expect_fault("add.s32 %r0, %r1;", "the number of operands");
  expect_fault("wgmma.fence.sync.aligned;", "wgmma.fence.sync.aligned");
}

TEST(PtxInterpreter, ReportsWhatAGpuWouldNotForgive) {
  const std::string divergent = "setp.lt.u32 %p1, %r1, 16; @%p1 bra $half; bra.uni $end; $half: ";
  expect_fault("st.global.u32 [%rd11+128], %r1;", "out of bounds: store to global memory of 4 bytes");
  expect_fault("ld.global.u32 %r0, [%rd11+2];", "misaligned: load from global memory of 4 bytes");
  expect_fault("mov.u64 %rd1, 0; ld.global.u32 %r0, [%rd1];", "out of bounds");
  expect_fault(".shared .b8 x[64]; mov.u32 %r2, x; ld.shared.u32 %r0, [%r2+64];", "64 bytes of shared memory");
  expect_fault("shfl.sync.idx.b32 %r0, %r1, 0, 31, 0xff;", "are not in the mask they name");
  expect_fault(divergent + "shfl.sync.idx.b32 %r0, %r1, 0, 31, -1; $end:", "are in the mask but do not take part");
  expect_fault(divergent + "bar.sync 0; $end:", "a barrier of the block without lanes");
  expect_fault(divergent + "bar.warp.sync -1; $end:", "are in the mask but do not take part");
  expect_fault(divergent +
                   "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f0,%f1,%f2,%f3}, {%r2,%r3,%r4,%r5}, "
                   "{%r6,%r7}, {%f0,%f1,%f2,%f3}; $end:",
               "mma.sync without all 32 lanes");
  expect_fault(
      ".shared .align 16 .b8 x[512]; mov.u32 %r2, x; add.s32 %r2, %r2, 8; "
      "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r3}, [%r2];",
      "misaligned: ldmatrix");
  expect_fault("trap;", "trap");
  // One warp waits at a different barrier than the rest.
  expect_fault("setp.lt.u32 %p1, %r1, 32; @%p1 bra $first; bar.sync 1; bra.uni $end; $first: bar.sync 0; $end:",
               "deadlock", {.block = {64, 1, 1}});
}

TEST(PtxInterpreter, AFaultSaysWhoAndWhere) {
  const std::string fault =
      fault_of("setp.lt.u32 %p1, %r1, 40; @%p1 bra $end; trap; $end:", {.grid = {2, 1, 1}, .block = {64, 1, 1}});
  for (const char* part : {"k: block 0,0,0, warp 1", "PTX line", "trap;"}) {
    EXPECT_NE(fault.find(part), std::string::npos) << part << " in: " << fault;
  }
}

TEST(PtxInterpreter, ABlockBeginsWithoutTheLastOnesSharedMemory) {
  const auto values = results_of(
      ".shared .align 4 .b8 x[4]; mov.u32 %r2, x; ld.shared.u32 %r0, [%r2]; bar.sync 0; st.shared.u32 [%r2], %r1;",
      {.grid = {3, 1, 1}});
  for (const uint32_t value : values) EXPECT_EQ(value, 0xffffffff);
}

}  // namespace
}  // namespace poise::ptx
