#include "kernels/sparse/weights/weight_tiles.h"

#include "kernels/core/simd.h"

namespace poise::cpu {

const WeightTileKernels& weight_tile_kernels() {
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512) return kWeightTilesAvx512;
  if (instruction_set() == InstructionSet::avx2 && __builtin_cpu_supports("fma")) return kWeightTilesAvx2;
#endif
  return kWeightTilesBaseline;
}

}  // namespace poise::cpu
