#include "kernels/sparse/weights/weight_tiles_body.h"

namespace poise::cpu {
extern const WeightTileKernels kWeightTilesAvx2 = kernels_with<8, 8, 8>();
}
