// The block that block-sparse kernels of our own skip: 16 output channels by 16 input channels of one tap. (A mask's
// cell may be larger, and is several blocks then.) Includes nothing: see block_tiles_body.h.
#pragma once

namespace poise {

constexpr int kSparseBlock = 16;

}  // namespace poise
