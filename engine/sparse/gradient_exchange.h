// Averages the gradients of one network over the ranks that train it (kernels/ranks/ranks.h), while the backward pass
// that computes them is still running.
//
// Gradients travel in a few buckets of neighbours in the slab, the last ones first, because the backward pass finishes
// those first. The exchange of a bucket begins when the gradients of all its parameters are final.
//
// For a network under masks only the gradients of alive weights travel, packed in slab order, without indices, because
// all ranks have the same masks. The gradients of dead weights become zero on all ranks. Everything travels without
// masks, and in steps whose dense gradients are read (a mask update is going to rank them, or moments follow them).
#pragma once
#include <string>
#include <vector>

#include "engine/io/enum_names.h"
#include "engine/sparse/mask.h"
#include "engine/tape/tape.h"

namespace poise {

// The type in which gradients travel; with bf16, each is rounded before and after the sum.
enum class ExchangePrecision : uint8_t { fp32, bf16 };
template <>
struct EnumNames<ExchangePrecision> {
  static constexpr NamedValue<ExchangePrecision> all[] = {{ExchangePrecision::fp32, "fp32"},
                                                          {ExchangePrecision::bf16, "bf16"}};
};

class GradientExchange {
 public:
  // `masks`: those of the network, or null. `ranks`, `slab` and `masks` must outlive this object. Profiles show `name`.
  // Error(runtime) if the memory for gradients in transit cannot be allocated.
  GradientExchange(Ranks& ranks, ParameterSlab& slab, const NetworkMasks* masks, const std::string& name,
                   ExchangePrecision precision, Memory memory);

  // From now on exchanges what is alive now, or everything. Waits for the device if masks have changed.
  void follow_masks(bool everything);

  // Call this before the last backward pass before an update.
  void begin_with(Tape& tape);
  // Call this after that pass: the gradients become means over the ranks, in stream order.
  void finish(Tape& tape);

  // The bytes that a rank contributes to one exchange: now, and if everything travels in f32.
  size_t bytes() const;
  size_t all_bytes() const { return slab_.grad.size_bytes(); }
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Bucket {
    int64_t first = 0, size = 0;      // elements of the slab
    int64_t first_run = 0, runs = 0;  // of alive weights
    int64_t parameters = 0, waits_for = 0;
    bool begun = false;
    Tensor scratch;
  };
  void list_alive();
  void make_buckets();
  int64_t place_of(const Tensor& grad) const;  // in the slab, in elements
  int64_t elements_of(const Bucket& b) const { return everything_ ? b.size : b.runs * run_; }
  Tensor grad_of(const Bucket& b) const { return slab_.grad.slice(b.first, b.size); }
  Tensor runs_of(const Bucket& b) const { return list_.slice(b.first_run, b.runs); }
  Tensor packed_of(const Bucket& b) const { return packed_.slice(b.first, elements_of(b)); }
  Tensor narrow_of(const Bucket& b) const { return narrow_.slice(b.first, elements_of(b)); }
  void is_final(Tape& tape, const Parameter& parameter);
  void begin(Tape& tape, Bucket& bucket);
  void take(Tape& tape, const Bucket& bucket);

  Ranks& ranks_;
  ParameterSlab& slab_;
  const NetworkMasks* masks_;
  const std::string name_;
  const DType travels_as_;
  const int64_t run_;  // weights that live and die together
  size_t memory_bytes_ = 0;
  MemoryBlock memory_;
  Tensor list_;             // i32 [alive runs]: in the order of the slab, counted from the beginning of each bucket
  Tensor packed_, narrow_;  // sized like the slab's gradients, narrow_ in bf16; empty if they are not needed
  Tensor scratch_;          // u8, of all buckets
  std::vector<int64_t> first_of_, first_run_of_;  // of each parameter, then the end of the last one
  std::vector<int32_t> alive_runs_;               // of the slab, on the host
  std::vector<Bucket> buckets_;                   // the last of the slab first
  bool everything_ = true;
  uint64_t version_ = 0;
};

}  // namespace poise
