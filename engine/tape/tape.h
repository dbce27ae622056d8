// Reverse-mode differentiation as a list. Ops append a node when they run; backward() walks the list from its end.
// There is no graph to search and nothing to register: recording is the registration.
//
// A node of leaves alone (normalised weights) does not wait for its turn in the list: it is differentiated with the last
// of those that read it. Nodes of a batch are differentiated together, when all of them could be.
//
// Memory: a node owns the block of its output (unless it is a view) and of what it saved. backward() hands the output
// back to the arena as soon as nobody will read it: before the node's own backward runs, or after it, if that reads it;
// everybody else who does has been differentiated before. Gradients are taken from what was handed back. Values that are
// read after backward() must be kept (`keep`) or copied out before.
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
  const Tensor& value() const;         // throws if it was given back
  Tensor as(DType dtype) const;        // the value if it is of this type, or the narrow form; empty: neither
  Tensor derived() const;              // or empty
  Tensor rectified() const;            // max(0, value), if its op made that as well; or empty
  const Parameter* parameter() const;  // null: not a parameter's leaf
  const Shape& shape() const;
  DType dtype() const;
  bool requires_grad() const;
};

// What layers with two behaviours do in this pass.
enum class Mode : uint8_t {
  train,             // batch statistics, running statistics follow, spectral norm iterates
  evaluate_batch,    // batch statistics, nothing changes (the paper's way to sample)
  evaluate_running,  // running statistics, nothing changes: an image depends on its own latent alone
};

struct Node {
  static constexpr int kMaxInputs = 4, kMaxSaved = 3;
  const char* name = "";
  std::array<Var, kMaxInputs> inputs{};  // an unused slot has tape == nullptr
  Tensor output;
  std::array<Tensor, kMaxSaved> saved{};  // what the backward pass reads besides, memory of the arena: the node's own
  bool is_view = false;                   // the output's bytes belong to an input
  bool reads_output = true;               // .. does the backward pass
  bool reads_inputs = true;               // .. or inputs
  bool is_rectified = false;              // the output is a ReLU's, and by its sign the backward pass begins
  // A batch is so many nodes, recorded one after the other and differentiated by one call of the first one's backward.
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
  Ranks* batch_norm_ranks = nullptr;  // whose batches have their statistics in common; null: this process's alone
  bool in_batches = true;             // Node::batch; false: each node alone, so that its gradients are final early

  // Leaves. The memory of all three belongs to the caller.
  Var constant(const Tensor& value);
  Var variable(const Tensor& value);  // gradient kept until reset(): gradient(var)
  Var parameter(Parameter& parameter);

  // For ops: memory of an output, and the record of how to differentiate it. The node's output needs a gradient if any
  // input does; otherwise the closure is dropped.
  Tensor alloc(const Shape& shape, DType dtype) { return ctx.arena->alloc(shape, dtype); }
  Var record(const Node& node);
  // The same of an output that is not written yet: what `normalisation` makes of x, once someone reads it. An op whose
  // kernel normalises takes layer_input() instead; one whose kernel `writes` the value as well says so.
  Var record_unwritten(const Node& node, Var x, const Tensor& xv, const Normalisation& normalisation);
  LayerInput layer_input(Var x, bool writes);
  const LayerInput* normalised_input(Var y) const;  // written or not; null: y is no such output
  // A weight in other forms, or empty: in bf16, and as dense convolutions read it (derived_weights.h). They are made for a
  // whole network at once, in memory of a node recorded before those that read it.
  void set_forms(Var x, const Tensor& narrow, const Tensor& derived) {
    slots_[x.id].narrow = narrow, slots_[x.id].derived = derived;
  }
  void set_rectified(Var x, const Tensor& rectified) { slots_[x.id].rectified = rectified; }  // memory of who reads it
  // Sums over the channels of x that an op took of it while writing it, for a batch normalisation that would have to read it
  // again: moments of a value, by who made it, for who normalises it; or sums of a gradient (InputGradient), by who alone reads
  // a normalised value, for who differentiates the normalisation. Memory for them there is whether they are known or not; who
  // takes it gives it back.
  struct ChannelSums {
    Tensor memory;
    bool known = false;
  };
  void set_sums(Var x, const ChannelSums& sums) { slots_[x.id].sums = sums; }
  ChannelSums take_sums(Var x) { return std::exchange(slots_[x.id].sums, {}); }
  void keep(Var var);  // its value outlives backward(); a view keeps what it looks at
  // The memory of x's value, for the output of an op that reads x element by element. Empty if it belongs to a leaf, is
  // kept, or will be read by the backward pass of its own node or of an op recorded so far. No one may read it after.
  Tensor take_if_unread(Var x);
  Tensor take_if_spent(Var x) { return slots_[x.id].spent ? take_if_unread(x) : Tensor{}; }  // spent(), below

  // Runs one kernel in the current scope: kernel(ctx, args...). Accounts for its work, times it if a profile is
  // attached, and names the layer in whatever it throws. If `work` does not say how many bytes it moves, these are the
  // bytes of all operands (operand_bytes.h).
  template <class Kernel, class... Args>
  void launch(Work work, Kernel* kernel, Args&&... args);

  // Told in a backward pass of each trained parameter, once nothing more will be added to its gradient.
  std::function<void(const Parameter&)> gradient_is_final;

  // d(loss)/d(everything that requires a gradient): zero for a parameter on the tape that is not reached. `loss` has one
  // element; its gradient starts as `seed`.
  void backward(Var loss, double seed = 1.0);
  // The same from a given gradient of an output of any shape; the gradient, memory of the arena, is spent.
  void backward_from(Var output, const Tensor& gradient);
  // The gradient of a variable() or parameter() after backward(); an empty tensor if none arrived.
  const Tensor& gradient(Var leaf) const { return slots_[leaf.id].gradient; }
  void reset();  // forgets all nodes; the caller resets the arena
  const std::vector<Node>& nodes() const { return nodes_; }
  int size() const { return static_cast<int>(slots_.size()); }

  bool records_gradients() const { return !no_grad_; }
  // Within its lifetime nothing is differentiated, so values are given back as soon as the module that made them
  // returns: sampling, and G in the D step.
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
  // An output of record_unwritten(): of which slot, in whose place x is read as long as it is not written, and which slot that is.
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
    int readers = 0;  // of nodes that are still to be differentiated, in a backward pass
    Kind kind = Kind::constant;
    bool requires_grad = false, kept = false, spent = false, differentiated = false;
    bool gradient_before_relu = false;  // Grads::dy_is_before_relu
  };

  Var add_slot(const Slot& slot);
  Normalised* find_unwritten(int id);  // null: it is written, or none of these
  void write(int id);                  // if it is unwritten
  void forget_unwritten(int id);
  void count_readers(int last);
  void differentiate(int id);
  int reads_of(int id, bool in_backward_pass) const;  // by nodes; a node that reads it twice counts twice
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

// Says of a value on its way into an op that no other will read it: bn(spent(conv(x))). Where nothing is differentiated the
// op may leave its result in the value's memory.
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
  // The node's own, which a kernel that reads it element by element may write to, before move_dy_to(). In a batch, empty if
  // none has arrived.
  const Tensor& dy() const { return tape_.slots_[slot_].gradient; }
  // Of a rectified output: somebody else has seen to the ReLU (take_over_relu).
  bool dy_is_before_relu() const { return tape_.slots_[slot_].gradient_before_relu; }
  const Node& node() const { return tape_.nodes_[tape_.slots_[slot_].node]; }
  Tape::ChannelSums take_sums() const { return tape_.take_sums({&tape_, slot_}); }
  // What x is made of by a batch normalisation, if its gradient is what this op computes, with nothing to be added; or null.
  const LayerInput* normalised_input(Var x) const {
    const LayerInput* const input = tape_.normalised_input(x);
    return input && !tape_.slots_[x.id].gradient && tape_.reads_of(x.id, false) == 1 ? input : nullptr;
  }
  // Those of node i of the batch that this one is the first of.
  Grads of_batch(int i) const { return {tape_, slot_ + i}; }

  // Is this input's gradient needed? (No: constants, frozen parameters, detached values.)
  bool wants(Var x) const { return x.tape != nullptr && tape_.slots_[x.id].requires_grad; }
  // Memory for a gradient of x, to be filled completely and passed to add(). For the first contribution to a trained
  // parameter this is the parameter's gradient itself.
  Tensor alloc(Var x) const;
  // x's gradient becomes, or grows by, dx; dx is spent.
  void add(Var x, const Tensor& dx) const;
  // If x is a ReLU's output that this op alone reads, the op, which no longer reads x, puts dx into `memory` where x > 0, and zero
  // elsewhere: the ReLU's backward pass costs nothing then. It is x's; or, with `adds`, it holds what others added before it.
  struct ReluGradient {
    Tensor memory;
    bool adds = false;
  };
  ReluGradient take_over_relu(Var x, bool may_add = false);
  // For a gradient that the kernel had to compute beside a wanted one: added if wanted, given back if not.
  void add_or_recycle(Var x, const Tensor& dx);
  // x receives dy itself (under x's shape): at most once per op, and only as the closure's last use of dy.
  void move_dy_to(Var x, const Shape& shape);
  // x receives a copy of dy. Every receiver but one needs a copy: two that shared one dy would both grow it.
  void copy_dy_to(Var x);

 private:
  Tape& tape_;
  int slot_;
  bool moved_ = false;
};

// A module at work: names the layer for errors, profiles and (on CUDA) NVTX ranges, for as long as it lives. The value
// that a module returns is the last one it records; under NoGrad the others are given back here.
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
    wait_for_device();  // else neither the time nor an error would be this launch's
    if (!ctx.profile) return;
    if (work.bytes == 0) work.bytes = (0.0 + ... + operand_bytes(args));
    ctx.profile->add(*scope_, work, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  } catch (const Error& error) {
    rethrow_with_scope(error);
  }
}

}  // namespace poise
