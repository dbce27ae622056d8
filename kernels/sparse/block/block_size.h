// The block size of our own block-sparse kernels: 16 output channels by 16 input channels of one tap. (A cell of a mask
// may be larger, and is then several blocks.) Includes nothing: see block_tiles_body.h.
#pragma once

namespace poise {

constexpr int kSparseBlock = 16;

}  // namespace poise
