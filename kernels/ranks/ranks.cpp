#include "kernels/ranks/ranks.h"

#include <cstdlib>
#include <functional>

#include "kernels/core/integer.h"
#include "kernels/gpu/emulated/stream.h"
#include "kernels/ranks/mpi_ranks.h"

namespace poise {
namespace {

// The processes that the starter of this one says it started; 1 if none did.
struct Started {
  const char* by = "";
  int count = 1;
};

Started started() {
  for (const auto& [variable, by] : {std::pair("OMPI_COMM_WORLD_SIZE", "mpirun"), std::pair("PMI_SIZE", "mpirun"),
                                     std::pair("SLURM_STEP_NUM_TASKS", "srun"), std::pair("WORLD_SIZE", "torchrun")}) {
    const char* text = std::getenv(variable);
    const int count = text ? std::atoi(text) : 1;
    if (count > 1) return {by, count};
  }
  return {};
}

// On the emulated device, when its stream gets there.
void in_stream_order(const Context& ctx, std::function<void()> work) {
  if (!ctx.stream) return work();
  static_cast<emulator::Stream*>(ctx.stream)->submit(std::move(work));
}

}  // namespace

size_t Ranks::mean_scratch(const Tensor& x) const {
  if (x.device == Device::cuda) return 0;
  return static_cast<size_t>(ceil_div<int64_t>(x.elements(), size()) * size()) * size_of(x.dtype);
}

void Ranks::mean(Context& ctx, const Tensor& x, Tensor& scratch) {
  begin_mean(ctx, x, scratch);
  finish_means(ctx);
}

void Ranks::begin_mean(Context& ctx, const Tensor& x, Tensor& scratch) {
  if (ctx.planning) return;
  if (ctx.device == Device::cuda) return gpu_begin_mean(ctx, x);
  in_stream_order(ctx, [this, x, scratch] { host_begin_mean(x, scratch); });
}

void Ranks::advance_means(Context& ctx) {
  if (ctx.planning || ctx.device == Device::cuda) return;
  in_stream_order(ctx, [this] { host_advance_means(); });
}

void Ranks::finish_means(Context& ctx) {
  if (ctx.planning) return;
  if (ctx.device == Device::cuda) return gpu_finish_means(ctx);
  in_stream_order(ctx, [this] { host_finish_means(); });
}

void Ranks::gather(Context& ctx, const Tensor& x, const Tensor& all) {
  if (ctx.planning) return;
  if (ctx.device == Device::cuda) return gpu_gather(ctx, x, all);
  in_stream_order(ctx, [this, x, all] { host_gather(x, all); });
}

std::string ranks_built_with() {
  const std::string mpi = mpi_version();
  return mpi.empty() ? "no MPI" : mpi + ", " + nccl_version();
}

std::unique_ptr<Ranks> join_ranks() {
  const Started start = started();
  if (start.count == 1) return nullptr;
  const std::string processes = std::to_string(start.count) + " processes by " + start.by;
  if (mpi_version().empty()) {
    fail(ErrorKind::environment, "started as one of " + processes +
                                     ", but this build has no MPI: install libopenmpi-dev and build again, or start "
                                     "one process");
  }
  std::unique_ptr<Ranks> ranks = join_mpi_ranks();
  if (const int size = ranks->size(); size != start.count) {
    ranks->leave();
    fail(ErrorKind::environment,
         "started as one of " + processes + ", but MPI knows of " + std::to_string(size) +
             ": start with mpirun, or with srun --mpi=pmix, of the MPI that Poise was built with (" + mpi_version() +
             ")");
  }
  return ranks;
}

}  // namespace poise
