// Collects the weights that dense convolutions read in another form (kernels/dense/conv2d/derived_weights.h) and makes
// all of these forms in one launch, in memory of the tape's arena or of the caller.
#pragma once
#include <vector>

#include "engine/ops/check.h"
#include "engine/sparse/layer_execution.h"

namespace poise {

class DerivedWeights {
 public:
  explicit DerivedWeights(Tape& tape) : tape_(tape), dtype_(activation_dtype(tape.ctx.precision)) {}

  // Adds a form with the same values in the activation dtype.
  void add_converted(const Tensor& weight) { add(weight.shape, {.weight = weight}, true); }
  // Adds the form of `weight`, the parameter's value with or without spectral norm. It is empty if the parameter is
  // null or not a convolution's. If no pass of the layer reads the form now, it has memory but is not computed.
  void add_convolution(const Parameter* parameter, const Tensor& weight) {
    if (!parameter || parameter->convolution.c_out == 0) return add({0}, {}, false);
    const Conv2dGeometry form = parameter->convolution.dense_form();
    const Shape shape = tape_.ctx.kernels->conv2d_weight_shape(tape_.ctx, form, dtype_);
    add(shape == weight.shape ? Shape{0} : shape, {.geometry = form, .weight = weight},
        reads_dense(parameter->execution));
  }
  // The shape of the memory of all forms together.
  Shape shape() const {
    int64_t elements = 0;
    for (const Entry& e : entries_) elements += padded(e.weight.derived.elements());
    return {elements};
  }
  DType dtype() const { return dtype_; }
  void place_in(const Tensor& all) {
    int64_t first = 0;
    for (Entry& e : entries_) {
      Tensor& derived = e.weight.derived;
      const Shape form = derived.shape;
      derived = form.elements() == 0 ? Tensor{} : all.slice(first, form.elements()).reshaped(form);
      first += padded(form.elements());
    }
  }
  void launch() const {  // after place_in()
    std::vector<DerivedWeight> wanted;
    for (const Entry& e : entries_) {
      if (e.weight.derived && e.is_wanted) wanted.push_back(e.weight);
    }
    if (wanted.empty()) return;
    tape_.launch({"derive_weights", Pass::forward}, tape_.ctx.kernels->derive_weights,
                 std::span<const DerivedWeight>(wanted));
  }
  // Makes the forms in arena memory. An empty Var if there are none.
  Var make() {
    if (shape().elements() == 0) return {};
    const Tensor all = tape_.alloc(shape(), dtype_);
    place_in(all);
    launch();
    return tape_.record({.name = "derive_weights", .output = all});
  }
  // The form of the weight that was added as number i; empty if kernels read the weight itself.
  const Tensor& of(size_t i) const { return entries_[i].weight.derived; }

 private:
  struct Entry {
    DerivedWeight weight;
    bool is_wanted;
  };

  void add(const Shape& shape, DerivedWeight weight, bool is_wanted) {
    weight.derived.shape = shape;
    entries_.push_back({weight, is_wanted});
  }
  static bool reads_dense(const LayerExecution* execution) {
    return !execution || execution->forward == Execution::dense || execution->backward_input == Execution::dense;
  }
  int64_t padded(int64_t elements) const {  // so that every form starts on a cache line
    return static_cast<int64_t>(align_up(static_cast<size_t>(elements) * size_of(dtype_)) / size_of(dtype_));
  }

  Tape& tape_;
  DType dtype_;
  std::vector<Entry> entries_;
};

}  // namespace poise
