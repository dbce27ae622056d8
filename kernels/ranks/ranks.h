// The processes that train one network together, each on its share of every batch: ranks, as MPI counts them. mpirun or
// srun starts them; MPI is the engine between CPUs and on the host, NCCL between GPUs. A process alone has no Ranks but a
// null pointer, and nothing of this runs.
//
// Everything here is collective: all ranks call it, in the same order. Sums are taken in the order of the ranks, whoever
// arrives first: all ranks have the same result, and as many ranks have the same bits on every run.
//
// A collective throws Error(ranks) with the name of the rank that has not arrived within limit() seconds.
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

  // In a step: tensors of the context's device, in the order of its stream; nothing in a plan.
  //   x <- (x_0 + x_1 + .. ) / size()            x [n] f32, bf16 or, not on GPUs, f64; scratch of mean_scratch(x) bytes
  void mean(Context& ctx, const Tensor& x, Tensor& scratch);
  size_t mean_scratch(const Tensor& x) const;
  // The same beside other work: nobody touches x and scratch until finish_means(), which waits for all means begun. On a
  // GPU they have a stream of their own. On the host MPI moves data only while it is called: advance_means() is a chance.
  void begin_mean(Context& ctx, const Tensor& x, Tensor& scratch);
  void advance_means(Context& ctx);
  void finish_means(Context& ctx);
  //   all <- x_0, x_1, ..                        all [size() * n]
  void gather(Context& ctx, const Tensor& x, const Tensor& all);

  // Between steps, memory of the host.
  virtual std::vector<std::string> gather_texts(const std::string& mine) = 0;  // by rank, of any lengths
  virtual void broadcast(void* bytes, size_t size) = 0;                        // of rank 0
  virtual void wait_for_all() = 0;

  // The end: after the last collective, or at once for all ranks. A rank that does neither holds up the others.
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

// What this build has for it: "Open MPI 4.1.4, NCCL 2.28.9", "no MPI".
std::string ranks_built_with();

// The ranks that this process is one of; null if it was started alone. Error(environment) if it was started as one of
// several and this build cannot, with what it lacks.
std::unique_ptr<Ranks> join_ranks();

// torchrun starts processes that MPI knows nothing of. If all of them are on this host, the first of them becomes mpirun
// with as many ranks of this program and does not return; true for the others, which have nothing left to do. False if
// this process was started in another way. Error(environment) for several hosts, a build without MPI, or no mpirun.
bool leave_torchrun_to_mpirun(const char* const* argv);

}  // namespace poise
