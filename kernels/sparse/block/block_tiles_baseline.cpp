#include "kernels/sparse/block/block_tiles_body.h"

namespace poise::cpu {
extern const TileKernels kTilesBaseline{multiply_tile<4, 2>, accumulate_block<4, 2>};
}
