#include "kernels/ranks/ranks.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>

#include "kernels/core/integer.h"
#include "kernels/gpu/emulated/stream.h"
#include "kernels/ranks/mpi_ranks.h"

namespace poise {
namespace {

// The launcher of this process and how many processes it started, according to the environment; 1 without a launcher.
struct Started {
  std::string by;
  int count = 1;

  std::string text() const { return "started as one of " + std::to_string(count) + " processes by " + by; }
};

int number_in(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : otherwise;
}

Started started() {
  for (const auto& [variable, by] : {std::pair("OMPI_COMM_WORLD_SIZE", "mpirun"), std::pair("PMI_SIZE", "mpirun"),
                                     std::pair("SLURM_STEP_NUM_TASKS", "srun"), std::pair("WORLD_SIZE", "torchrun")}) {
    if (const int count = number_in(variable, 1); count > 1) return {by, count};
  }
  return {};
}

void require_mpi(const Started& start) {
  if (!mpi_version().empty()) return;
  fail(ErrorKind::environment, start.text() +
                                   ", but this build has no MPI: install libopenmpi-dev and build again, or start one "
                                   "process");
}

// Runs `work` at once on the CPU, and in stream order on the emulated device.
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
  require_mpi(start);
  std::unique_ptr<Ranks> ranks = join_mpi_ranks();
  if (const int size = ranks->size(); size != start.count) {
    ranks->leave();
    fail(ErrorKind::environment, start.text() + ", but MPI knows of " + std::to_string(size) +
                                     ": start with mpirun, or with srun --mpi=pmix, of the MPI that Poise was built "
                                     "with (" +
                                     mpi_version() + ")");
  }
  return ranks;
}

bool leave_torchrun_to_mpirun(const char* const* argv) {
  const Started start = started();
  if (start.by != "torchrun") return false;
  require_mpi(start);
  if (number_in("LOCAL_WORLD_SIZE", 0) != start.count) {
    fail(ErrorKind::environment, start.text() +
                                     ", not all of them on this host (LOCAL_WORLD_SIZE): across hosts ranks meet by "
                                     "MPI; start with srun --mpi=pmix, or with mpirun --host");
  }
  if (number_in("RANK", -1) != 0) return true;
  const std::string count = std::to_string(start.count), program = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<const char*> command = {"mpirun", "-n", count.c_str(), program.c_str()};
  for (const char* const* argument = argv + 1; *argument; ++argument) command.push_back(*argument);
  command.push_back(nullptr);
  ::execvp(command[0], const_cast<char* const*>(command.data()));
  fail(ErrorKind::environment, start.text() + ", but mpirun cannot be started (" + std::strerror(errno) +
                                   "): install openmpi-bin, or add its folder to PATH");
}

}  // namespace poise
