#include "kernels/sparse/block/block_tiles_body.h"

namespace poise::cpu {
extern const TileKernels kTilesAvx512{multiply_tile<16, 16>, accumulate_block<16, 16>};
}
