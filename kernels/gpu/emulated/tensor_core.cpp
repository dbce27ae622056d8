// ldmatrix and mma.sync, with the distribution of a matrix over 32 lanes (PTX ISA, "Warp-level matrix instructions").
// With g = lane / 4 and t = lane % 4:
//
//   ldmatrix           lane holds elements (g, 2t) and (g, 2t+1) of each 8x8 matrix; transposed: (2t, g) and (2t+1, g)
//   m16n8k16 (16 bit)  a[0] (g, 2t..)   a[1] (g+8, 2t..)   a[2] (g, 2t+8..)   a[3] (g+8, 2t+8..)     of A [16,16]
//                      b[0] (2t.., g)   b[1] (2t+8.., g)                                             of B [16,8]
//   m16n8k8 (tf32)     a[0] (g, t)      a[1] (g+8, t)      a[2] (g, t+4)      a[3] (g+8, t+4)        of A [16,8]
//                      b[0] (t, g)      b[1] (t+4, g)                                                of B [8,8]
//   both               d[0] (g, 2t)     d[1] (g, 2t+1)     d[2] (g+8, 2t)     d[3] (g+8, 2t+1)       of D [16,8]
//
// Products are summed in f32, in the order of k. The order and rounding of the hardware are undocumented and differ, so
// results agree to a tolerance.
#include <cstring>

#include "kernels/core/bf16.h"
#include "kernels/gpu/emulated/checker.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"
#include "kernels/gpu/emulated/shared_memory.h"

namespace poise::emulator::device {
namespace {

constexpr uint32_t kAllLanes = 0xffffffffu;

void require_full_warp(const char* name, Site site) {
  if (scheduler.warps[scheduler.thread() / kLanes].exists == kAllLanes) return;
  scheduler.stop(
      [=] { return this_thread() + ": " + name + " at " + place(site) + " needs all 32 lanes of the warp"; });
}

// --- ldmatrix ---

struct LoadMatrix {
  const char* row;
  uint32_t* r;
};

template <int Matrices, bool Transposed>
void run_ldmatrix(void** argument, uint32_t) {
  for (int matrix = 0; matrix < Matrices; ++matrix) {
    uint16_t x[8][8];
    for (int row = 0; row < 8; ++row) {
      std::memcpy(x[row], static_cast<LoadMatrix*>(argument[matrix * 8 + row])->row, sizeof(x[row]));
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t low = Transposed ? x[2 * t][g] : x[g][2 * t];
      const uint32_t high = Transposed ? x[2 * t + 1][g] : x[g][2 * t + 1];
      static_cast<LoadMatrix*>(argument[lane])->r[matrix] = low | high << 16;
    }
  }
}

template <int Matrices, bool Transposed>
void load_matrix(const char* name, uint32_t* r, const void* row, Site site) {
  require_full_warp(name, site);
  if (scheduler.thread() % kLanes < Matrices * 8) {  // the other lanes' addresses are not used
    require_alignment(row, 16, site);
    if (!shared_arena.owns(row)) {
      scheduler.stop([=] { return this_thread() + ": " + name + " at " + place(site) + " reads shared memory only"; });
    }
    if (checker.watching()) checker.access(row, 16, Access::read, site);
  }
  LoadMatrix load{static_cast<const char*>(row), r};
  scheduler.warp_collective(name, run_ldmatrix<Matrices, Transposed>, kAllLanes, &load, site);
}

// --- mma ---

struct MultiplyAdd {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

// d[16][8] += a[16][K] b[K][8]
template <int K>
void multiply_add(float (&d)[16][8], const float (&a)[16][K], const float (&b)[K][8]) {
  for (int k = 0; k < K; ++k) {
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 8; ++n) d[m][n] += a[m][k] * b[k][n];
    }
  }
}

template <class F>
void for_each_d(void** argument, F f) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    float* d = static_cast<MultiplyAdd*>(argument[lane])->d;
    for (int i = 0; i < 4; ++i) f(d[i], g + i / 2 * 8, 2 * t + i % 2);
  }
}

template <int K>
void add_product(void** argument, const float (&a)[16][K], const float (&b)[K][8]) {
  float d[16][8];
  for_each_d(argument, [&](float& x, int m, int n) { d[m][n] = x; });
  multiply_add(d, a, b);
  for_each_d(argument, [&](float& x, int m, int n) { x = d[m][n]; });
}

float low_half(uint32_t x) { return std::bit_cast<float>(x << 16); }
float high_half(uint32_t x) { return std::bit_cast<float>(x & 0xffff0000u); }

void run_mma_m16n8k16_bf16(void** argument, uint32_t) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto* mine = static_cast<MultiplyAdd*>(argument[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int m = g + i % 2 * 8, k = 2 * t + i / 2 * 8;
      a[m][k] = low_half(mine->a[i]);
      a[m][k + 1] = high_half(mine->a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      const int k = 2 * t + i * 8;
      b[k][g] = low_half(mine->b[i]);
      b[k + 1][g] = high_half(mine->b[i]);
    }
  }
  add_product(argument, a, b);
}

// The tensor core ignores the low 13 bits of a tf32 operand.
float tf32(uint32_t x) { return std::bit_cast<float>(x & 0xffffe000u); }

void run_mma_m16n8k8_tf32(void** argument, uint32_t) {
  float a[16][8], b[8][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto* mine = static_cast<MultiplyAdd*>(argument[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = tf32(mine->a[i]);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = tf32(mine->b[i]);
  }
  add_product(argument, a, b);
}

}  // namespace

void ldmatrix_x2(uint32_t (&r)[2], const void* row, Site site) { load_matrix<2, false>("ldmatrix_x2", r, row, site); }
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, Site site) {
  load_matrix<2, true>("ldmatrix_x2_trans", r, row, site);
}
void ldmatrix_x4(uint32_t (&r)[4], const void* row, Site site) { load_matrix<4, false>("ldmatrix_x4", r, row, site); }
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, Site site) {
  load_matrix<4, true>("ldmatrix_x4_trans", r, row, site);
}

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  require_full_warp("mma_m16n8k16_bf16", site);
  MultiplyAdd operands{d, a, b};
  scheduler.warp_collective("mma_m16n8k16_bf16", run_mma_m16n8k16_bf16, kAllLanes, &operands, site);
}
void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  require_full_warp("mma_m16n8k8_tf32", site);
  MultiplyAdd operands{d, a, b};
  scheduler.warp_collective("mma_m16n8k8_tf32", run_mma_m16n8k8_tf32, kAllLanes, &operands, site);
}

// cvt.rna: rounds to nearest, ties away from zero, dropping 13 bits. Infinity and NaN stay.
uint32_t to_tf32(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
  return (bits + 0x1000u) & 0xffffe000u;
}

uint32_t pack_bf16(float low, float high) {
  return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
}

}  // namespace poise::emulator::device
