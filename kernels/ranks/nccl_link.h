// Collectives between the GPUs of ranks, by NCCL, in a stream of their own, so that they run one after the other as NCCL
// wants it, and beside other work. They begin when the context's stream gets there; captured steps have them too.
// Written against NCCL 2.28; not yet measured on a GPU.
#pragma once
#include <memory>
#include <string>

#include "kernels/core/context.h"

namespace poise {

// Before anything uses a GPU: the process takes the one of its number among the ranks of its host. Nothing where this
// build has no CUDA or the machine no GPU.
void use_gpu_of_local_rank(int local_rank);

// Error(environment) without NCCL in this build; Error(runtime) with what NCCL says.
class NcclLink {
 public:
  static constexpr size_t kIdBytes = 128;
  static std::string new_id();  // of one rank, for all
  NcclLink(const std::string& id, int rank, int size);
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  void begin_mean(Context& ctx, const Tensor& x);  // f32 or bf16
  void finish_means(Context& ctx);                 // from here on the context's stream has all of them
  void gather(Context& ctx, const Tensor& x, const Tensor& all);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace poise
