// Reverse-mode differentiation as a list. Ops append a node when they run; backward() walks the list from its end.
// There is no graph to search and nothing to register: recording is the registration.
//
// A node whose inputs are all leaves (a normalised weight) does not wait for its turn in the list: it is differentiated
// right after the last node that reads it. The nodes of a batch are differentiated together, once all are ready.
//
// Memory: a node owns the memory of its output (unless the output is a view) and of what it saved. backward() returns
// the output to the arena after its last use: before the node's own backward runs or, if that reads the output, after
// it. All other readers have been differentiated by then. New gradients reuse the returned memory. A value that is read
// after backward() must be kept (`keep`) or copied out before.
#pragma once
#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/tape/backward_function.h"
#include "engine/tape/operand_bytes.h"
#include "engine/tape/parameter.h"
#include "kernels/gpu/ranges.h"
#include "kernels/table.h"

namespace poise {

class Tape;

// A value on a tape: a slot number. Cheap to copy, valid until the tape is reset.
struct Var {
  Tape* tape = nullptr;
  int id = -1;
  const Tensor& value() const;         // throws if its memory has been returned to the arena
  Tensor as(DType dtype) const;        // the value if it has this type, or the narrow form; empty if neither does
  Tensor derived() const;              // may be empty
  Tensor rectified() const;            // max(0, value) if its op computed that too, otherwise empty
  const Parameter* parameter() const;  // null unless this is the leaf of a parameter
  const Shape& shape() const;
  DType dtype() const;
  bool requires_grad() const;
};

// What layers do in this pass if they behave differently in training and evaluation.
enum class Mode : uint8_t {
  train,             // batch statistics; updates the running statistics; spectral norm iterates
  evaluate_batch,    // batch statistics, nothing changes (the paper's way to sample)
  evaluate_running,  // running statistics, nothing changes: an image depends on its own latent alone
};

struct Node {
  static constexpr int kMaxInputs = 4, kMaxSaved = 3;
  const char* name = "";
  std::array<Var, kMaxInputs> inputs{};  // an unused slot has tape == nullptr
  Tensor output;
  std::array<Tensor, kMaxSaved> saved{};  // what else the backward pass reads; arena memory that the node owns
  bool is_view = false;                   // the output's bytes belong to an input
  bool reads_output = true;               // the backward pass reads the output
  bool reads_inputs = true;               // the backward pass reads inputs
  bool is_rectified = false;              // the output is that of a ReLU; the backward pass first masks dy by its sign
  // Node `place` of `batch` nodes recorded in sequence and differentiated by one call of the first one's backward.
  int batch = 1, place = 0;
  BackwardFunction backward;
};

class Tape {
 public:
  explicit Tape(Context& context) : ctx(context) {
    nodes_.reserve(512);
    slots_.reserve(1024);
    normalised_.reserve(64);
  }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Context& ctx;
  Mode mode = Mode::train;
  double batch_norm_momentum = -1;    // negative: each layer's own. Recalibration of running statistics overrides it.
  Ranks* batch_norm_ranks = nullptr;  // ranks that share batch statistics; null: those of this process alone
  bool in_batches = true;             // use Node::batch; false: each node alone, so that its gradients are final early

  // Leaves. The memory of all three belongs to the caller.
  Var constant(const Tensor& value);
  Var variable(const Tensor& value);  // gradient kept until reset(): gradient(var)
  Var parameter(Parameter& parameter);

  // For ops: memory for an output, and the record of how to differentiate it. The node's output requires a gradient if
  // any input does; otherwise the closure is dropped.
  Tensor alloc(const Shape& shape, DType dtype) { return ctx.arena->alloc(shape, dtype); }
  Var record(const Node& node);
  // The same for an output that is not written yet: it is `normalisation` of x, written when it is first read. An op
  // whose kernel normalises its input calls layer_input() instead; `writes`: the kernel also writes the value.
  Var record_unwritten(const Node& node, Var x, const Tensor& xv, const Normalisation& normalisation);
  LayerInput layer_input(Var x, bool writes);
  const LayerInput* normalised_input(Var y) const;  // of a written or unwritten y; null: y is not such an output
  // Other forms of a weight, or empty: in bf16, and as dense convolutions read it (derived_weights.h). They are made
  // for a whole network at once, in memory of a node that is recorded before the nodes that read them.
  void set_forms(Var x, const Tensor& narrow, const Tensor& derived) {
    slots_[x.id].narrow = narrow, slots_[x.id].derived = derived;
  }
  void set_rectified(Var x, const Tensor& rectified) { slots_[x.id].rectified = rectified; }  // its reader owns it
  // Per-channel sums that an op computes while it writes a tensor, so that a batch normalisation need not read it
  // again: either moments of the value x, from the op that makes x, for the normalisation of x; or, if x is a
  // normalised value, sums of its gradient (InputGradient), from the only op that reads x, for the normalisation's
  // backward pass. `memory` is allocated even if the sums are not known; the op that takes it returns it to the arena.
  struct ChannelSums {
    Tensor memory;
    bool known = false;
  };
  void set_sums(Var x, const ChannelSums& sums) { slots_[x.id].sums = sums; }
  ChannelSums take_sums(Var x) { return std::exchange(slots_[x.id].sums, {}); }
  void keep(Var var);  // its value outlives backward(); for a view, so does the value that it views
  // The memory of x's value, for the output of an op that reads x element by element. Empty if x is a leaf, is kept, or
  // is read by the backward pass of its own node or of an op recorded so far. x must not be read afterwards.
  Tensor take_if_unread(Var x);
  Tensor take_if_spent(Var x) { return slots_[x.id].spent ? take_if_unread(x) : Tensor{}; }  // spent(), below

  // Runs one kernel in the current scope: kernel(ctx, args...). Accounts for its work, times it if a profile is
  // attached, and names the layer in any error. If `work` does not say how many bytes the kernel moves, the bytes of
  // all operands are counted (operand_bytes.h).
  template <class Kernel, class... Args>
  void launch(Work work, Kernel* kernel, Args&&... args);

  // Called in a backward pass for each trained parameter, once nothing more will be added to its gradient.
  std::function<void(const Parameter&)> gradient_is_final;

  // d(loss)/d(everything that requires a gradient): zero for a parameter on the tape that is not reached. `loss` has
  // one element; its gradient starts as `seed`.
  void backward(Var loss, double seed = 1.0);
  // The same from a given gradient of an output of any shape; the gradient, in arena memory, is consumed.
  void backward_from(Var output, const Tensor& gradient);
  // The gradient of a variable() or parameter() after backward(); an empty tensor if none arrived.
  const Tensor& gradient(Var leaf) const { return slots_[leaf.id].gradient; }
  void reset();  // forgets all nodes; the caller resets the arena
  const std::vector<Node>& nodes() const { return nodes_; }
  int size() const { return static_cast<int>(slots_.size()); }

  bool records_gradients() const { return !no_grad_; }
  // While it lives nothing is differentiated, so values are returned to the arena as soon as the module that made them
  // returns. Used for sampling, and for G in the D step.
  class NoGrad {
   public:
    explicit NoGrad(Tape& tape) : tape_(tape), saved_(std::exchange(tape.no_grad_, true)) {}
    ~NoGrad() { tape_.no_grad_ = saved_; }
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;

   private:
    Tape& tape_;
    bool saved_;
  };
  const std::string& scope() const { return *scope_; }

 private:
  friend class Grads;
  friend class Scope;
  friend struct Var;
  friend Var spent(Var x);

  enum class Kind : uint8_t { constant, variable, parameter, result };
  // An output of record_unwritten(): its slot and that of x. Until it is written, `input` is read in its place.
  struct Normalised {
    int id, x;
    LayerInput input;
    bool written = false;
  };
  struct Slot {
    Tensor value, narrow, derived, rectified, gradient;
    ChannelSums sums;
    Parameter* parameter = nullptr;
    const std::string* scope = nullptr;
    int node = -1;
    int readers = 0;  // in a backward pass: reads by nodes that are still to be differentiated
    Kind kind = Kind::constant;
    bool requires_grad = false, kept = false, spent = false, differentiated = false;
    bool gradient_before_relu = false;  // Grads::dy_is_before_relu
  };

  Var add_slot(const Slot& slot);
  Normalised* find_unwritten(int id);  // null if it is written, or not an output of record_unwritten()
  void write(int id);                  // if it is unwritten
  void forget_unwritten(int id);
  void count_readers(int last);
  void differentiate(int id);
  int reads_of(int id, bool in_backward_pass) const;  // a node that reads it twice counts twice
  bool batch_is_read(int first) const;
  void all_readers_done(const Slot& slot, int id);
  void release_value(Slot& slot, const Node& node);
  void release(Slot& slot, Node& node);
  void release_saved(Node& node);
  void release_all_but_last(int first);
  void wait_for_device();
  [[noreturn]] void rethrow_with_scope(const Error& error) const;

  std::vector<Node> nodes_;
  std::vector<Slot> slots_;
  std::vector<Normalised> normalised_;
  const std::string* scope_ = &kNoScope;
  bool no_grad_ = false;
  static const std::string kNoScope;
};

// Marks an op's input as read by no other op: bn(spent(conv(x))). Where nothing is differentiated, the op may then
// write its result to the memory of this input.
inline Var spent(Var x) {
  x.tape->slots_[x.id].spent = true;
  return x;
}

// What a backward closure sees.
class Grads {
 public:
  Grads(Tape& tape, int slot) : tape_(tape), slot_(slot) {}

  Tape& tape() const { return tape_; }
  Context& ctx() const { return tape_.ctx; }
  const KernelTable& kernels() const { return *tape_.ctx.kernels; }
  // The gradient of the node's output. A kernel that reads it element by element may overwrite it, before move_dy_to().
  // In a batch it is empty if no gradient has arrived.
  const Tensor& dy() const { return tape_.slots_[slot_].gradient; }
  // For a rectified output: another op has already applied the gradient of the ReLU (take_over_relu).
  bool dy_is_before_relu() const { return tape_.slots_[slot_].gradient_before_relu; }
  const Node& node() const { return tape_.nodes_[tape_.slots_[slot_].node]; }
  Tape::ChannelSums take_sums() const { return tape_.take_sums({&tape_, slot_}); }
  // How a batch normalisation makes x, if this op alone computes x's gradient and adds it to nothing; otherwise null.
  const LayerInput* normalised_input(Var x) const {
    const LayerInput* const input = tape_.normalised_input(x);
    return input && !tape_.slots_[x.id].gradient && tape_.reads_of(x.id, false) == 1 ? input : nullptr;
  }
  // The Grads of node i of the batch whose first node is this one.
  Grads of_batch(int i) const { return {tape_, slot_ + i}; }

  // Is this input's gradient needed? (Not for constants, frozen parameters and detached values.)
  bool wants(Var x) const { return x.tape != nullptr && tape_.slots_[x.id].requires_grad; }
  // Memory for a gradient of x, to be filled completely and passed to add(). For the first contribution to a trained
  // parameter this is the parameter's gradient itself.
  Tensor alloc(Var x) const;
  // Makes dx the gradient of x, or adds it to the one that is there; dx is consumed.
  void add(Var x, const Tensor& dx) const;
  // If x is the output of a ReLU that this op alone reads, the op, after any other use of x, writes dx to `memory`
  // where x > 0 and zero elsewhere; the ReLU's backward pass then costs nothing. `memory` is that of x; or, with
  // `adds`, it is the gradient of the ReLU's input, which already holds other contributions and to which the op adds.
  struct ReluGradient {
    Tensor memory;
    bool adds = false;
  };
  ReluGradient take_over_relu(Var x, bool may_add = false);
  // For a gradient that the kernel computes whether it is needed or not: added if needed, otherwise recycled.
  void add_or_recycle(Var x, const Tensor& dx);
  // x receives dy itself (with x's shape): at most once per op, and only as the closure's last use of dy.
  void move_dy_to(Var x, const Shape& shape);
  // x receives a copy of dy. All receivers but one need a copy: if two shared one dy, both would add to it.
  void copy_dy_to(Var x);

 private:
  Tape& tape_;
  int slot_;
  bool moved_ = false;
};

// Marks a module as running: for as long as it lives, errors, profiles and (on CUDA) NVTX ranges name this layer. The
// value that a module returns is the last one it records; under NoGrad the destructor returns the others to the arena.
class Scope {
 public:
  Scope(Tape& tape, const std::string& path)
      : tape_(tape),
        range_(tape.ctx.device == Device::cuda, path),
        saved_(std::exchange(tape.scope_, &path)),
        first_(tape.size()) {}
  ~Scope() {
    tape_.scope_ = saved_;
    if (tape_.no_grad_) tape_.release_all_but_last(first_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Tape& tape_;
  gpu::Range range_;
  const std::string* saved_;
  int first_;
};

template <class Kernel, class... Args>
void Tape::launch(Work work, Kernel* kernel, Args&&... args) {
  const gpu::Range range(ctx.device == Device::cuda, *scope_, work);
  try {
    if (!ctx.profile && !ctx.synchronous) return kernel(ctx, std::forward<Args>(args)...);
    const auto start = std::chrono::steady_clock::now();
    kernel(ctx, std::forward<Args>(args)...);
    wait_for_device();  // otherwise the time, or an error, could be that of another launch
    if (!ctx.profile) return;
    if (work.bytes == 0) work.bytes = (0.0 + ... + operand_bytes(args));
    ctx.profile->add(*scope_, work, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  } catch (const Error& error) {
    rethrow_with_scope(error);
  }
}

}  // namespace poise
