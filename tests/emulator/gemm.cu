#include "tests/emulator/gemm.h"

#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {
namespace {

constexpr int kTileM = 64, kTileN = 64, kTileK = 32, kStages = 2;
constexpr int kThreads = 128;                                // 2x2 warps of 32x32 each
constexpr int kStrideA = kTileK + 8, kStrideB = kTileN + 8;  // rows start in different banks

struct Tiles {
  bf16 a[kStages][kTileM * kStrideA];
  bf16 b[kStages][kTileK * kStrideB];
};

__global__ void __launch_bounds__(kThreads) gemm_kernel(int m, int n, int k, const bf16* a, const bf16* b, float* c) {
  GPU_DYNAMIC_SHARED(tiles, Tiles);
  const int m0 = static_cast<int>(blockIdx.y) * kTileM, n0 = static_cast<int>(blockIdx.x) * kTileN;
  const int lane = lane_id(), warp_m = warp_id() / 2 * 32, warp_n = warp_id() % 2 * 32;

  // Eight elements per copy; elements outside the matrices are zero.
  const auto fetch = [&](int tile, int stage) {
    for (int i = static_cast<int>(threadIdx.x); i < kTileM * kTileK / 8; i += kThreads) {
      const int row = i / (kTileK / 8), col = i % (kTileK / 8) * 8;
      const bool inside = m0 + row < m && tile * kTileK + col < k;
      cp_async<16>(&tiles.a[stage][row * kStrideA + col], inside ? a + (m0 + row) * k + tile * kTileK + col : a,
                   inside);
    }
    for (int i = static_cast<int>(threadIdx.x); i < kTileK * kTileN / 8; i += kThreads) {
      const int row = i / (kTileN / 8), col = i % (kTileN / 8) * 8;
      const bool inside = tile * kTileK + row < k && n0 + col < n;
      cp_async<16>(&tiles.b[stage][row * kStrideB + col], inside ? b + (tile * kTileK + row) * n + n0 + col : b,
                   inside);
    }
    cp_async_commit();
  };

  float d[2][4][4] = {};  // 2x4 fragments of 16x8 outputs
  const int count = ceil_div(k, kTileK);
  fetch(0, 0);
  for (int tile = 0; tile < count; ++tile) {
    if (tile + 1 < count) {
      fetch(tile + 1, (tile + 1) % kStages);
      cp_async_wait<1>();
    } else {
      cp_async_wait<0>();
    }
    __syncthreads();
    const bf16* ta = tiles.a[tile % kStages];
    const bf16* tb = tiles.b[tile % kStages];
#pragma unroll
    for (int kk = 0; kk < kTileK; kk += 16) {
      uint32_t fa[2][4], fb[2][4];
      for (int i = 0; i < 2; ++i) {
        ldmatrix_x4(fa[i], ta + (warp_m + i * 16 + lane % 16) * kStrideA + kk + lane / 16 * 8);
        ldmatrix_x4_trans(fb[i], tb + (kk + lane % 16) * kStrideB + warp_n + i * 16 + lane / 16 * 8);
      }
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 4; ++j) {
          const uint32_t pair[2] = {fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]};
          mma_m16n8k16_bf16(d[i][j], fa[i], pair);
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 4; ++j) {
      for (int r = 0; r < 4; ++r) {
        const int row = m0 + warp_m + i * 16 + lane / 4 + r / 2 * 8;
        const int col = n0 + warp_n + j * 8 + lane % 4 * 2 + r % 2;
        if (row < m && col < n) c[row * n + col] = d[i][j][r];
      }
    }
  }
}

}  // namespace

void gemm(Context& ctx, int m, int n, int k, const bf16* a, const bf16* b, float* c) {
  launch(ctx,
         {dim3(static_cast<unsigned>(ceil_div(n, kTileN)), static_cast<unsigned>(ceil_div(m, kTileM))), kThreads,
          sizeof(Tiles)},
         gemm_kernel, m, n, k, a, b, c);
}

}  // namespace poise::POISE_GPU
