// Operands and results of GPU kernels, placed between guard zones that must stay untouched, and the comparison of
// results with f64 loops on the same values. Works on single tensors and on all operands and results of a layer.
#pragma once
#include <gtest/gtest.h>

#include <vector>

#include "kernels/table.h"
#include "tests/support/op_comparison.h"
#include "tests/support/precision_limits.h"

namespace poise {

// `values` as an f32 or bf16 tensor on the device and, rounded the same way, as a tensor on the host.
struct Operand {
  GuardedTensor device;
  OwnedTensor host;  // f64
  Operand(const Shape& shape, DType dtype, const std::vector<double>& values, Device where)
      : device(shape, dtype, where), host(shape, DType::f64, Device::cpu) {
    from_host(device.tensor(), values);
    copy_from_host(host.tensor(), to_host(device.tensor()).data());
  }
};

inline void expect_near(const char* what, const GuardedTensor& ours, const OwnedTensor& reference,
                        Precision precision) {
  const double error = relative_error(to_host(ours.tensor()), to_host(reference.tensor()));
  const double limit = limit_of(precision);
  EXPECT_FALSE(!(error <= limit)) << what << ": error " << error << ", limit " << limit;
}

// The results of all passes of one layer.
struct LayerResults {
  GuardedTensor y, dx, dweight, dbias;
  bool operator==(const LayerResults& other) const {
    const auto same = [&](GuardedTensor LayerResults::*result) {
      return same_bytes(to_host((this->*result).tensor()), to_host((other.*result).tensor()));
    };
    return same(&LayerResults::y) && same(&LayerResults::dx) && same(&LayerResults::dweight) &&
           same(&LayerResults::dbias);
  }
  bool intact() const { return y.intact() && dx.intact() && dweight.intact() && dbias.intact(); }
};
struct LayerReference {
  OwnedTensor y, dx, dweight, dbias;  // f64
};

inline void expect_near(const LayerResults& ours, const LayerReference& reference, Precision precision) {
  expect_near("y", ours.y, reference.y, precision);
  expect_near("dx", ours.dx, reference.dx, precision);
  expect_near("dweight", ours.dweight, reference.dweight, precision);
  expect_near("dbias", ours.dbias, reference.dbias, precision);
}

// The inputs of a layer, in the element type of the precision; biases are f32.
struct LayerOperands {
  Operand x, weight, bias, dy;

  // run_passes(forward, input, weight, results) calls every pass with its workspace of workspace_bytes(Pass) bytes.
  template <class WorkspaceBytes, class RunPasses>
  LayerResults run(const WorkspaceBytes& workspace_bytes, const RunPasses& run_passes) const {
    const Device where = x.device.tensor().device;
    LayerResults r{like(dy), like(x), {weight.device.tensor().shape, DType::f32, where}, like(bias)};
    const auto workspace = [&](Pass pass) {
      return GuardedTensor({static_cast<int64_t>(workspace_bytes(pass))}, DType::u8, where);
    };
    GuardedTensor forward = workspace(Pass::forward), for_input = workspace(Pass::backward_input);
    GuardedTensor for_weight = workspace(Pass::backward_weight);
    run_passes(forward.tensor(), for_input.tensor(), for_weight.tensor(), r);
    EXPECT_TRUE(forward.intact() && for_input.intact() && for_weight.intact()) << "wrote outside of a workspace";
    EXPECT_TRUE(r.intact()) << "wrote outside of a result";
    EXPECT_TRUE(x.device.intact() && weight.device.intact() && bias.device.intact() && dy.device.intact());
    return r;
  }

 private:
  static GuardedTensor like(const Operand& operand) {
    const Tensor& t = operand.device.tensor();
    return {t.shape, t.dtype, t.device};
  }
};

inline LayerReference conv2d_reference(const Conv2dGeometry& g, const LayerOperands& operands) {
  const auto undefined = [](const Shape& shape) { return OwnedTensor(shape, DType::f64, Device::cpu); };
  LayerReference r{undefined(g.y_shape()), undefined(g.x_shape()), undefined(g.weight_shape()), undefined({g.c_out})};
  const Tensor &x = operands.x.host.tensor(), &w = operands.weight.host.tensor(), &dy = operands.dy.host.tensor();
  Context ctx;
  Tensor none;
  cpu::conv2d_forward(ctx, g, x, w, operands.bias.host.tensor(), {}, none, r.y.tensor());
  cpu::conv2d_backward_input(ctx, g, dy, w, {}, none, r.dx.tensor());
  cpu::conv2d_backward_weight(ctx, g, x, dy, none, r.dweight.tensor(), r.dbias.tensor());
  return r;
}

}  // namespace poise
