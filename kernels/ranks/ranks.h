// Ranks are the processes that train one network together, each on its share of every batch, numbered by MPI. mpirun or
// srun starts them. They communicate by MPI for CPU tensors and host memory, and by NCCL between GPUs. A single process
// has a null pointer instead of Ranks, and none of this code runs.
//
// All operations are collective: all ranks call them, in the same order. Sums are added in a fixed order (on the host,
// in rank order), so all ranks get the same result, and runs with the same number of ranks get the same bits.
//
// On the host, a collective throws Error(ranks), naming the ranks that have not arrived within limit() seconds.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/context.h"

namespace poise {

class Ranks {
 public:
  virtual ~Ranks() = default;
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(hosts_.size()); }
  bool is_first() const { return rank_ == 0; }
  std::string name() const { return name_of(rank_); }
  std::string name_of(int rank) const {  // "rank 1 on node7"
    return "rank " + std::to_string(rank) + " on " + hosts_[static_cast<size_t>(rank)];
  }
  const std::string& host_of(int rank) const { return hosts_[static_cast<size_t>(rank)]; }
  double limit() const { return limit_; }
  void set_limit(double seconds) { limit_ = seconds; }

  // During a step, on tensors of the context's device, in the order of its stream. They do nothing in a plan.
  //   x <- (x_0 + x_1 + .. ) / size()            x [n] f32, bf16 or, not on GPUs, f64; scratch of mean_scratch(x) bytes
  void mean(Context& ctx, const Tensor& x, Tensor& scratch);
  size_t mean_scratch(const Tensor& x) const;
  // The same, overlapped with other work that touches neither x nor scratch; finish_means() waits for all means begun.
  // On a GPU they have their own stream. On the host MPI moves data only inside its calls, which advance_means() makes.
  void begin_mean(Context& ctx, const Tensor& x, Tensor& scratch);
  void advance_means(Context& ctx);
  void finish_means(Context& ctx);
  //   all <- x_0, x_1, ..                        all [size() * n]
  void gather(Context& ctx, const Tensor& x, const Tensor& all);

  // Between steps, on host memory.
  virtual std::vector<std::string> gather_texts(const std::string& mine) = 0;  // indexed by rank, of any lengths
  virtual void broadcast(void* bytes, size_t size) = 0;                        // from rank 0
  virtual void wait_for_all() = 0;

  // The end: leave() after the last collective, or abort() to end all ranks at once. Without either, the others wait.
  virtual void leave() = 0;
  [[noreturn]] virtual void abort(int exit_code) = 0;

 protected:
  Ranks(int rank, std::vector<std::string> hosts) : rank_(rank), hosts_(std::move(hosts)) {}
  virtual void host_begin_mean(const Tensor& x, const Tensor& scratch) = 0;
  virtual void host_advance_means() = 0;
  virtual void host_finish_means() = 0;
  virtual void host_gather(const Tensor& x, const Tensor& all) = 0;
  virtual void gpu_begin_mean(Context& ctx, const Tensor& x) = 0;
  virtual void gpu_finish_means(Context& ctx) = 0;
  virtual void gpu_gather(Context& ctx, const Tensor& x, const Tensor& all) = 0;

 private:
  const int rank_;
  const std::vector<std::string> hosts_;
  double limit_ = 120;
};

// The libraries of this build: "Open MPI 4.1.4, NCCL 2.28.9", "no MPI".
std::string ranks_built_with();

// Returns the ranks that this process belongs to, or null if it was started alone. Throws Error(environment) if it was
// started as one of several but this build lacks MPI, or if MPI reports a different number of ranks.
std::unique_ptr<Ranks> join_ranks();

// torchrun starts processes that MPI does not know. If all of them are on this host, the first becomes mpirun with the
// same number of ranks of this program and does not return; the others get true and have nothing left to do. False if
// this process was started in another way. Error(environment) for several hosts, a build without MPI, or no mpirun.
bool leave_torchrun_to_mpirun(const char* const* argv);

}  // namespace poise
