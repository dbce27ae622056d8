// Class embeddings for conditional networks: each label selects a row of a table.
//
//   y[n,c] = table[label_n, c];     dtable[k,c] = sum over n with label_n = k of dy[n,c], in the order of n
//
// table, dtable [K,C]; labels i32 [N], each 0 .. K-1 (guaranteed by the caller); y, dy [N,C]. y may be
// bf16; tables and their gradients are f32.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using EmbeddingForward = void(Context&, const Tensor& table, const Tensor& labels, Tensor& y);
using EmbeddingBackward = void(Context&, const Tensor& labels, const Tensor& dy, Tensor& dtable);

}  // namespace poise
