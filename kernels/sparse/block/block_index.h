// The alive blocks of a weight, as sparse execution reads them. A weight [C_out,kh,kw,C_in] or [out,in] is a matrix of
// out/b rows of blocks by taps*in/b columns; column = tap * (in/b) + input block. A block is alive if any of its
// weights is. Rebuilt when a mask changes, in memory of fixed capacity: captured graphs stay valid.
#pragma once
#include <array>
#include <functional>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/integer.h"
#include "kernels/core/memory.h"
#include "kernels/sparse/block/block_size.h"

namespace poise {

// Lists that GPU kernels derive from a BlockIndex, one entry per form of pass. They are kept until the index is rebuilt
// and then listed again in the same memory, so that captured graphs stay valid.
class KeptLists {
 public:
  using Form = std::array<int, 4>;  // everything that the lists depend on, except the index
  struct Entry {
    Form form;
    void* memory;
    std::function<void(Context&)> list;
  };

  KeptLists() = default;
  explicit KeptLists(const Tensor& memory) : memory_(memory) {}  // u8
  // Null if not listed yet.
  const Entry* find(const Form& form) const {
    for (const Entry& e : entries_) {
      if (e.form == form) return &e;
    }
    return nullptr;
  }
  // Memory for lists of a new form; null if there is no room.
  void* room_for(size_t bytes) {
    const size_t first = used_;
    if (!memory_ || first + align_up(bytes) > memory_.size_bytes()) return nullptr;
    used_ += align_up(bytes);
    return static_cast<char*>(memory_.bytes) + first;
  }
  void add(const Entry& entry) { entries_.push_back(entry); }
  void list_all(Context& ctx) const {
    for (const Entry& e : entries_) e.list(ctx);
  }

 private:
  Tensor memory_;
  size_t used_ = 0;
  std::vector<Entry> entries_;
};

struct BlockIndex {
  int64_t block = kSparseBlock;  // b: output channels and input channels of a block
  int64_t out_blocks = 0, in_blocks = 0, taps = 1;
  int64_t alive = 0;  // number of blocks; known on the host, because a mask update counts them
  // Alive blocks of the four 2x2 convolutions that a 3x3 convolution of an enlarged image becomes
  // (dense/conv2d/upsample_fold.h); 0 unless the weight has nine taps.
  int64_t alive_in_parities = 0;
  Tensor row_offsets;   // i32 [out_blocks + 1]: the blocks of row r are row_offsets[r] .. row_offsets[r+1]-1, by column
  Tensor col_of_block;  // i32 [capacity]
  // The same blocks by input block, for products with the transpose; empty where not needed. The blocks of input block
  // i are in_offsets[i] .. in_offsets[i+1]-1, each tap * out_blocks + output block, ascending.
  Tensor in_offsets;    // i32 [in_blocks + 1]
  Tensor out_of_block;  // i32 [capacity]

  KeptLists* kept = nullptr;  // null: each pass makes its own lists

  int64_t columns() const { return taps * in_blocks; }
  int64_t capacity() const { return out_blocks * columns(); }
  double density() const { return static_cast<double>(alive) / static_cast<double>(capacity()); }
};

// Bytes of KeptLists for the three passes of two forms: training runs the layers of a generator with two batch sizes.
// Lists hold panels of 16x16 pairs of blocks. A pair of nine taps has up to 16 positions (if the image is enlarged).
inline size_t kept_lists_bytes(const BlockIndex& index) {
  constexpr int64_t kForms = 2, kPanel = 16, kBytesPerPosition = 24, kRest = 8192;
  const int64_t pairs = kPanel * kPanel * ceil_div(index.out_blocks, kPanel) * ceil_div(index.in_blocks, kPanel);
  const int64_t positions = index.taps == 9 ? 16 : index.taps;
  return static_cast<size_t>(kForms * (pairs * positions * kBytesPerPosition + kRest));
}

// BlockIndex::alive_in_parities, computed from lists on the host.
int64_t blocks_in_parities(const BlockIndex& index, const int32_t* row_offsets, const int32_t* col_of_block);

// The contents of in_offsets and out_of_block, computed from lists on the host.
struct TransposedBlocks {
  std::vector<int32_t> in_offsets, out_of_block;
};
TransposedBlocks transposed_blocks(const BlockIndex& index, const int32_t* row_offsets, const int32_t* col_of_block);

// Fills `index`, whose tensors have the capacity of the weight, from mask (mask.h): u8 of the weight's shape, except
// that the last extent counts runs, which divide a block. Waits for the device.
using BuildBlockIndex = void(Context&, const Tensor& mask, BlockIndex& index);

}  // namespace poise
