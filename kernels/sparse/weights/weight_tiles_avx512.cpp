#include "kernels/sparse/weights/weight_tiles_body.h"

namespace poise::cpu {
extern const WeightTileKernels kWeightTilesAvx512 = kernels_with<16, 28, 16>();
}
