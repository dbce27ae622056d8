// NCCL collectives between the GPUs of the ranks, on a separate stream: they run one after the other, as NCCL requires,
// and overlap with other work. They begin when the context's stream reaches them, and can be captured in a step.
// Written against NCCL 2.28; not yet measured on a GPU.
#pragma once
#include <memory>
#include <string>

#include "kernels/core/context.h"

namespace poise {

// Called before anything uses a GPU: selects the GPU whose number is the process's rank on its host, modulo the number
// of GPUs. Does nothing if this build has no NCCL or the machine no GPU.
void use_gpu_of_local_rank(int local_rank);

// Throws Error(environment) if this build has no NCCL, and Error(runtime) with NCCL's message if a call fails.
class NcclLink {
 public:
  static constexpr size_t kIdBytes = 128;
  static std::string new_id();  // created by one rank, passed to all
  NcclLink(const std::string& id, int rank, int size);
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  void begin_mean(Context& ctx, const Tensor& x);  // f32 or bf16
  void finish_means(Context& ctx);                 // makes the context's stream wait for all of them
  void gather(Context& ctx, const Tensor& x, const Tensor& all);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace poise
