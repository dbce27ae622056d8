#include "kernels/sparse/block/block_tiles_body.h"

namespace poise::cpu {
extern const TileKernels kTilesAvx2{multiply_tile<8, 4>, accumulate_block<8, 4>};
}
