#include "engine/sparse/gradient_exchange.h"

#include <algorithm>

#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

// Buckets have about equal sizes. More of them would hide no more of the exchange: the last one always follows the
// backward pass, and each costs a latency. Smaller ones than this would cost nothing but latency.
constexpr int64_t kBuckets = 3;
constexpr int64_t kSmallestBytes = 256 << 10;

// These take the arguments that Tape::launch passes to a kernel.
void begin_mean(Context& ctx, Ranks& ranks, const Tensor& x, Tensor& scratch) { ranks.begin_mean(ctx, x, scratch); }
void finish_means(Context& ctx, Ranks& ranks) { ranks.finish_means(ctx); }

}  // namespace

GradientExchange::GradientExchange(Ranks& ranks, ParameterSlab& slab, const NetworkMasks* masks,
                                   const std::string& name, ExchangePrecision precision, Memory memory)
    : ranks_(ranks),
      slab_(slab),
      masks_(masks),
      name_(name),
      travels_as_(precision == ExchangePrecision::bf16 ? DType::bf16 : slab.grad.dtype),
      run_(masks ? run_of(masks->bytes(), slab.value) : 1) {
  std::vector<std::pair<Tensor*, int64_t>> parts;
  const auto want = [&](Tensor& t, int64_t elements, DType dtype) {
    t = {.shape = {elements}, .dtype = dtype, .device = memory.device};
    parts.emplace_back(&t, memory_bytes_);
    memory_bytes_ += align_up(t.size_bytes());
  };
  const int64_t n = slab.grad.elements();
  if (masks) want(list_, masks->bytes().elements(), DType::i32);
  if (masks) want(packed_, n, slab.grad.dtype);
  if (travels_as_ != slab.grad.dtype) want(narrow_, n, travels_as_);
  const Tensor whole{.shape = {n}, .dtype = travels_as_, .device = memory.device};
  const size_t room = kBuckets * align_up(static_cast<size_t>(ranks.size()) * size_of(travels_as_));
  want(scratch_, static_cast<int64_t>(ranks.mean_scratch(whole) + room), DType::u8);
  memory_ = MemoryBlock(memory_bytes_, memory);
  for (const auto& [tensor, offset] : parts) tensor->bytes = memory_.bytes() + offset;

  for (const ParameterSlab::Entry& entry : slab.entries()) {
    first_of_.push_back(place_of(entry.grad));
  }
  first_of_.push_back(n);
  first_run_of_.assign(first_of_.size(), 0);
  make_buckets();
}

int64_t GradientExchange::place_of(const Tensor& grad) const {
  return (static_cast<char*>(grad.bytes) - static_cast<char*>(slab_.grad.bytes)) /
         static_cast<int64_t>(size_of(slab_.grad.dtype));
}

void GradientExchange::follow_masks(bool everything) {
  const bool changed = masks_ && masks_->version() != version_;
  if (changed) list_alive();
  if (changed || everything != everything_) {
    everything_ = everything;
    make_buckets();
  }
}

void GradientExchange::list_alive() {
  const Tensor& bytes = masks_->bytes();
  std::vector<uint8_t> alive(bytes.size_bytes());
  copy_to_host(alive.data(), bytes);
  alive_runs_.clear();
  for (size_t e = 0; e < slab_.entries().size(); ++e) {  // leaves out the padding between entries
    first_run_of_[e] = static_cast<int64_t>(alive_runs_.size());
    const int64_t end = first_of_[e] + slab_.entries()[e].value.elements();
    for (int64_t at = first_of_[e]; at < end; at += run_) {
      if (alive[static_cast<size_t>(at / run_)]) alive_runs_.push_back(static_cast<int32_t>(at / run_));
    }
  }
  first_run_of_.back() = static_cast<int64_t>(alive_runs_.size());
  version_ = masks_->version();
}

void GradientExchange::make_buckets() {
  const auto size = static_cast<int64_t>(size_of(travels_as_));
  const auto bytes_between = [&](size_t begin, size_t end) {
    const std::vector<int64_t>& starts = everything_ ? first_of_ : first_run_of_;
    return (starts[end] - starts[begin]) * (everything_ ? 1 : run_) * size;
  };
  const size_t count = first_of_.size() - 1;
  const int64_t wanted = std::max(kSmallestBytes, ceil_div(bytes_between(0, count), kBuckets));
  buckets_.clear();
  for (size_t e = count, end = count; e-- > 0;) {
    if (e > 0 && bytes_between(e, end) < wanted) continue;
    buckets_.push_back({.first = first_of_[e],
                        .size = first_of_[end] - first_of_[e],
                        .first_run = first_run_of_[e],
                        .runs = first_run_of_[end] - first_run_of_[e],
                        .parameters = static_cast<int64_t>(end - e)});
    end = e;
  }
  size_t scratch = 0;
  std::vector<int32_t> runs = alive_runs_;
  for (Bucket& b : buckets_) {
    Tensor travelling{.shape = {elements_of(b)}, .dtype = travels_as_, .device = slab_.grad.device};
    const size_t bytes = ranks_.mean_scratch(travelling);
    b.scratch = scratch_.slice(static_cast<int64_t>(scratch), static_cast<int64_t>(bytes));
    scratch += align_up(bytes);
    const auto first = runs.begin() + b.first_run;
    std::for_each(first, first + b.runs, [&](int32_t& run) { run -= static_cast<int32_t>(b.first / run_); });
  }
  if (!runs.empty()) copy_from_host(list_.slice(0, static_cast<int64_t>(runs.size())), runs.data());
}

size_t GradientExchange::bytes() const {
  size_t bytes = 0;
  for (const Bucket& b : buckets_) bytes += static_cast<size_t>(elements_of(b)) * size_of(travels_as_);
  return bytes;
}

void GradientExchange::begin_with(Tape& tape) {
  for (Bucket& b : buckets_) {
    b.waits_for = b.parameters;
    b.begun = false;
  }
  tape.gradient_is_final = [this, &tape](const Parameter& parameter) { is_final(tape, parameter); };
}

void GradientExchange::is_final(Tape& tape, const Parameter& parameter) {
  const int64_t at = place_of(parameter.grad);
  require(at >= 0 && at < slab_.grad.elements(), "a backward pass trains the network whose gradients are exchanged");
  Bucket& bucket = *std::find_if(buckets_.begin(), buckets_.end(), [=](const Bucket& b) { return b.first <= at; });
  if (--bucket.waits_for == 0) begin(tape, bucket);
  ranks_.advance_means(tape.ctx);
}

void GradientExchange::begin(Tape& tape, Bucket& b) {
  const Scope scope(tape, name_);
  const KernelTable& k = *tape.ctx.kernels;
  Tensor x = grad_of(b);
  if (!everything_) {
    Tensor packed = packed_of(b);
    tape.launch({.op = "pack_gradients", .pass = Pass::update}, k.pack_runs, run_, runs_of(b), x, packed);
    x = packed;
  }
  if (narrow_) {
    Tensor narrow = narrow_of(b);
    tape.launch({.op = "round_gradients", .pass = Pass::update}, k.convert, x, narrow);
    x = narrow;
  }
  const Work exchange{.op = "average_gradients", .pass = Pass::update, .bytes = static_cast<double>(x.size_bytes())};
  tape.launch(exchange, &begin_mean, ranks_, x, b.scratch);
  b.begun = true;
}

void GradientExchange::finish(Tape& tape) {
  tape.gradient_is_final = nullptr;
  for (Bucket& b : buckets_) {
    if (!b.begun) begin(tape, b);  // it has parameters that this step did not use
  }
  tape.launch({.op = "await_gradients", .pass = Pass::update}, &finish_means, ranks_);
  for (const Bucket& b : buckets_) take(tape, b);
}

void GradientExchange::take(Tape& tape, const Bucket& b) {
  const KernelTable& k = *tape.ctx.kernels;
  Tensor x = grad_of(b), wide = everything_ ? x : packed_of(b);
  if (narrow_) tape.launch({.op = "widen_gradients", .pass = Pass::update}, k.convert, narrow_of(b), wide);
  if (everything_) return;
  tape.launch({.op = "unpack_gradients", .pass = Pass::update}, k.unpack_runs, run_, runs_of(b), wide, x);
}

}  // namespace poise
