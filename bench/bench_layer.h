// One convolution under a random mask, with everything it takes to run any pass of it, dense or block-sparse.
#pragma once
#include <cstdint>

#include "engine/sparse/cell.h"
#include "kernels/table.h"

namespace poise {

class BenchLayer {
 public:
  // Masks of `cell`, each layer density exact in cells. Operands are uniform random numbers; dead weights are zero.
  BenchLayer(const Conv2dGeometry& geometry, const Cell& cell, double density, uint64_t seed);

  // Seconds of one run.
  double run_dense(Pass pass);
  double run_block(Pass pass);
  double executed_macs(Pass pass) const;  // of run_block
  double dense_executed_macs(Pass pass) const;
  double density() const { return index_.density(); }

 private:
  Conv2dGeometry geometry_;
  const KernelTable& kernels_ = cpu_kernels();
  Context ctx_;
  BlockIndex index_;
  OwnedTensor row_offsets_, col_of_block_, x_, weight_, bias_, y_, dx_, dw_, db_, workspace_;
};

}  // namespace poise
