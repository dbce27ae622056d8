#include "kernels/sparse/block/block_tiles.h"

#include "kernels/core/simd.h"

namespace poise::cpu {

const TileKernels& tile_kernels() {
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512) return kTilesAvx512;
  if (instruction_set() == InstructionSet::avx2 && __builtin_cpu_supports("fma")) return kTilesAvx2;
#endif
  return kTilesBaseline;
}

const PairKernels* pair_kernels() {
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512 && has_bf16_products()) return &kPairsAvx512Bf16;
#endif
  return nullptr;
}

}  // namespace poise::cpu
