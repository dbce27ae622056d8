// Stubs for builds with MPI but without NCCL.
#include "kernels/core/error.h"
#include "kernels/ranks/mpi_ranks.h"
#include "kernels/ranks/nccl_link.h"

namespace poise {
namespace {

[[noreturn]] void missing() {
  fail(ErrorKind::environment,
       "several ranks on GPUs need NCCL, which this build lacks: install libnccl-dev and build again with CUDA, or use "
       "--device cpu");
}

}  // namespace

struct NcclLink::State {};

std::string nccl_version() { return "no NCCL"; }
void use_gpu_of_local_rank(int) {}
std::string NcclLink::new_id() { missing(); }
NcclLink::NcclLink(const std::string&, int, int) { missing(); }
NcclLink::~NcclLink() = default;
void NcclLink::begin_mean(Context&, const Tensor&) { missing(); }
void NcclLink::finish_means(Context&) { missing(); }
void NcclLink::gather(Context&, const Tensor&, const Tensor&) { missing(); }

}  // namespace poise
