// The gradients of one network, averaged over the ranks that train it (kernels/ranks/ranks.h) while the backward pass that
// makes them goes on.
//
// They travel in a few buckets: neighbours in the slab, the last first, as the backward pass has them. A bucket begins
// when the gradient of its last parameter is final.
//
// Of a network under masks only what is alive travels, packed in the order of the slab: all ranks have the same masks, so
// no index does. The gradients of dead weights become zero on all ranks. In steps whose dense gradients somebody reads (a
// mask update is going to rank them, or moments follow them), and without masks, everything travels.
#pragma once
#include <string>
#include <vector>

#include "engine/io/enum_names.h"
#include "engine/sparse/mask.h"
#include "engine/tape/tape.h"

namespace poise {

// What gradients travel as: with bf16 each is rounded before and after the sum.
enum class ExchangePrecision : uint8_t { fp32, bf16 };
template <>
struct EnumNames<ExchangePrecision> {
  static constexpr NamedValue<ExchangePrecision> all[] = {{ExchangePrecision::fp32, "fp32"},
                                                          {ExchangePrecision::bf16, "bf16"}};
};

class GradientExchange {
 public:
  // `masks` of the network, or null; it is called `name` in profiles. All of them stay. Error(runtime) if the memory for
  // gradients under way cannot be had.
  GradientExchange(Ranks& ranks, ParameterSlab& slab, const NetworkMasks* masks, const std::string& name,
                   ExchangePrecision precision, Memory memory);

  // From now on: what is alive now, or everything. Waits for the device if masks have changed.
  void follow_masks(bool everything);

  // The next backward pass is the last one before the update.
  void begin_with(Tape& tape);
  // After it: the gradients are means over the ranks, in the order of the stream.
  void finish(Tape& tape);

  // That a rank contributes to one exchange: now, and if everything travels in f32.
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
  Tensor packed_, narrow_;  // as the slab's gradients, and the same in bf16; empty where they are not needed
  Tensor scratch_;          // u8, of all buckets
  std::vector<int64_t> first_of_, first_run_of_;  // of each parameter, and where they end
  std::vector<int32_t> alive_runs_;               // of the slab, on the host
  std::vector<Bucket> buckets_;                   // the last of the slab first
  bool everything_ = true;
  uint64_t version_ = 0;
};

}  // namespace poise
