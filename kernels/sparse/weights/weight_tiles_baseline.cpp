#include "kernels/sparse/weights/weight_tiles_body.h"

namespace poise::cpu {
extern const WeightTileKernels kWeightTilesBaseline = kernels_with<4, 8, 8>();
}
