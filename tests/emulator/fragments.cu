#include "tests/emulator/fragments.h"

#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {
namespace {

struct alignas(16) Rows {
  uint16_t x[32][8];
};

__global__ void load_kernel(TestLoad kind, const uint16_t* x, uint32_t* r) {
  GPU_SHARED(rows, Rows);
  const int lane = lane_id();
  for (int i = 0; i < 8; ++i) rows.x[lane][i] = x[lane * 8 + i];
  __syncwarp();
  uint32_t two[2] = {}, four[4] = {};
  switch (kind) {
    case TestLoad::x2:
      ldmatrix_x2(two, rows.x[lane]);
      break;
    case TestLoad::x2_trans:
      ldmatrix_x2_trans(two, rows.x[lane]);
      break;
    case TestLoad::x4:
      ldmatrix_x4(four, rows.x[lane]);
      break;
    case TestLoad::x4_trans:
      ldmatrix_x4_trans(four, rows.x[lane]);
      break;
  }
  for (int i = 0; i < 4; ++i)
    r[lane * 4 + i] = kind == TestLoad::x2 || kind == TestLoad::x2_trans ? two[i % 2] : four[i];
}

template <bool Tf32>
__global__ void multiply_kernel(const uint32_t* a, const uint32_t* b, float* d) {
  const int lane = lane_id();
  uint32_t fa[4], fb[2];
  float fd[4];
  for (int i = 0; i < 4; ++i) fa[i] = a[lane * 4 + i];
  for (int i = 0; i < 2; ++i) fb[i] = b[lane * 2 + i];
  for (int i = 0; i < 4; ++i) fd[i] = d[lane * 4 + i];
  if constexpr (Tf32) {
    mma_m16n8k8_tf32(fd, fa, fb);
  } else {
    mma_m16n8k16_bf16(fd, fa, fb);
  }
  for (int i = 0; i < 4; ++i) d[lane * 4 + i] = fd[i];
}

}  // namespace

void load_fragments(Context& ctx, TestLoad kind, const uint16_t* x, uint32_t* r) {
  launch(ctx, {1, kWarp}, load_kernel, kind, x, r);
}
void multiply_fragments_bf16(Context& ctx, const uint32_t* a, const uint32_t* b, float* d) {
  launch(ctx, {1, kWarp}, multiply_kernel<false>, a, b, d);
}
void multiply_fragments_tf32(Context& ctx, const uint32_t* a, const uint32_t* b, float* d) {
  launch(ctx, {1, kWarp}, multiply_kernel<true>, a, b, d);
}

}  // namespace poise::POISE_GPU
