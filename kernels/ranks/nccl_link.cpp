#include "kernels/ranks/nccl_link.h"

#include <nccl.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/gpu/cuda/handles.h"
#include "kernels/gpu/cuda/runtime.h"
#include "kernels/gpu/cuda/shared_library.h"
#include "kernels/ranks/mpi_ranks.h"

namespace poise {
namespace {

static_assert(NcclLink::kIdBytes == sizeof(ncclUniqueId));

struct Nccl {
  cuda::SharedLibrary nccl{"training by several ranks on GPUs", "libnccl.so.2", "libnccl2 2.28"};
  decltype(&ncclGetUniqueId) get_unique_id = nccl["ncclGetUniqueId"];
  decltype(&ncclCommInitRank) comm_init_rank = nccl["ncclCommInitRank"];
  decltype(&ncclCommDestroy) comm_destroy = nccl["ncclCommDestroy"];
  decltype(&ncclAllReduce) all_reduce = nccl["ncclAllReduce"];
  decltype(&ncclAllGather) all_gather = nccl["ncclAllGather"];
  decltype(&ncclGetErrorString) error_string = nccl["ncclGetErrorString"];
  decltype(&ncclGetLastError) last_error = nccl["ncclGetLastError"];
};

void check(ncclResult_t result, const char* call) {
  if (result == ncclSuccess) return;
  fail(ErrorKind::runtime, std::string(call) + ": " + cuda::opened<Nccl>().error_string(result) + ": " +
                               cuda::opened<Nccl>().last_error(nullptr) + "; NCCL_DEBUG=INFO says more");
}

}  // namespace

struct NcclLink::State {
  ncclComm_t all = nullptr;
  std::unique_ptr<gpu::Stream> stream = cuda::runtime().make_stream();
  std::unique_ptr<gpu::Event> begin = cuda::runtime().make_event(), end = cuda::runtime().make_event();
  bool means = false;  // some have begun and not been waited for

  cudaStream_t after(Context& ctx) {  // our stream, made to wait for the context's work so far
    cuda::runtime().record(*begin, *ctx.stream);
    cuda::runtime().wait(*stream, *begin);
    return static_cast<cuda::Stream&>(*stream).handle;
  }
  void join(Context& ctx) {
    cuda::runtime().record(*end, *stream);
    cuda::runtime().wait(*ctx.stream, *end);
  }
};

std::string nccl_version() {
  return "NCCL " + std::to_string(NCCL_MAJOR) + "." + std::to_string(NCCL_MINOR) + "." + std::to_string(NCCL_PATCH);
}

void use_gpu_of_local_rank(int local_rank) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) return;
  cuda::check(cudaSetDevice(local_rank % count), "cudaSetDevice");
}

std::string NcclLink::new_id() {
  ncclUniqueId id;
  check(cuda::opened<Nccl>().get_unique_id(&id), "ncclGetUniqueId");
  return {id.internal, sizeof id.internal};
}

NcclLink::NcclLink(const std::string& id, int rank, int size) : state_(std::make_unique<State>()) {
  // Only algorithms whose order of addition depends on the topology alone, not those that add inside switches.
  ::setenv("NCCL_ALGO", "Ring,Tree", /*overwrite=*/0);
  ncclUniqueId unique;
  std::memcpy(unique.internal, id.data(), sizeof unique.internal);
  check(cuda::opened<Nccl>().comm_init_rank(&state_->all, size, unique, rank), "ncclCommInitRank");
}

NcclLink::~NcclLink() { cuda::opened<Nccl>().comm_destroy(state_->all); }

void NcclLink::begin_mean(Context& ctx, const Tensor& x) {
  state_->means = true;
  check(cuda::opened<Nccl>().all_reduce(x.bytes, x.bytes, static_cast<size_t>(x.elements()),
                                        x.dtype == DType::bf16 ? ncclBfloat16 : ncclFloat, ncclAvg, state_->all,
                                        state_->after(ctx)),
        "ncclAllReduce");
}

void NcclLink::finish_means(Context& ctx) {
  if (std::exchange(state_->means, false)) state_->join(ctx);
}

void NcclLink::gather(Context& ctx, const Tensor& x, const Tensor& all) {
  check(cuda::opened<Nccl>().all_gather(x.bytes, all.bytes, x.size_bytes(), ncclChar, state_->all, state_->after(ctx)),
        "ncclAllGather");
  state_->join(ctx);
}

}  // namespace poise
