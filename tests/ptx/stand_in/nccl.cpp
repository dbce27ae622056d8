// libnccl for programs that run on the stand-in: the collectives that Poise calls, between all processes of mpirun,
// each of which acts as one GPU. The processes wait for each other through MPI when their stream reaches the
// collective; meanwhile nothing else in the program runs.
#include <mpi.h>
#include <nccl.h>

#include <cstring>
#include <vector>

#include "tests/ptx/stand_in/libraries.h"

using namespace poise::stand_in;

struct ncclComm {
  MPI_Comm all = MPI_COMM_NULL;
  int size = 1;
};

namespace {

ncclResult_t refuse(const char* call, const char* why) {
  poise_stand_in_complain(call, why);
  return ncclInvalidArgument;
}

cudaDataType type_of(ncclDataType_t type) { return type == ncclFloat ? CUDA_R_32F : CUDA_R_16BF; }

// Averages in rank order, in f32.
void average(const ncclComm& comm, const void* mine, void* mean, size_t count, cudaDataType type) {
  const size_t bytes = count * size_of(type);
  std::vector<char> all(bytes * static_cast<size_t>(comm.size));
  MPI_Allgather(mine, static_cast<int>(bytes), MPI_CHAR, all.data(), static_cast<int>(bytes), MPI_CHAR, comm.all);
  for (size_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int r = 0; r < comm.size; ++r) sum += load(all.data(), type, static_cast<size_t>(r) * count + i);
    store(mean, type, i, sum / static_cast<float>(comm.size));
  }
}

}  // namespace

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::memset(id->internal, 0, sizeof id->internal);
  std::strcpy(id->internal, "the stand-in's only communicator");
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  constexpr const char* kCall = "ncclCommInitRank";
  ncclUniqueId expected;
  ncclGetUniqueId(&expected);
  if (std::memcmp(id.internal, expected.internal, sizeof id.internal) != 0) {
    return refuse(kCall, "this is no id of ncclGetUniqueId");
  }
  int size = 0, own = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_rank(MPI_COMM_WORLD, &own);
  if (size != ranks || own != rank) return refuse(kCall, "expected the ranks of MPI");
  *comm = new ncclComm{.size = size};
  MPI_Comm_dup(MPI_COMM_WORLD, &(*comm)->all);
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  MPI_Comm_free(&comm->all);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  constexpr const char* kCall = "ncclAllReduce";
  if ((type != ncclFloat && type != ncclBfloat16) || op != ncclAvg) {
    return refuse(kCall, "expected an average of f32 or bf16");
  }
  const size_t bytes = count * size_of(type_of(type));
  const void* mine = poise_stand_in_memory(from, bytes);
  void* mean = poise_stand_in_memory(to, bytes);
  if (!mine || !mean) return refuse(kCall, "a vector is not in one piece of device memory");
  const bool done = submit(stream, [=] { average(*comm, mine, mean, count, type_of(type)); });
  return done ? ncclSuccess : refuse(kCall, "no such stream");
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  constexpr const char* kCall = "ncclAllGather";
  if (type != ncclChar) return refuse(kCall, "expected bytes");
  const void* mine = poise_stand_in_memory(from, count);
  void* all = poise_stand_in_memory(to, count * static_cast<size_t>(comm->size));
  if (!mine || !all) return refuse(kCall, "a vector is not in one piece of device memory");
  const bool done = submit(stream, [=] {
    MPI_Allgather(mine, static_cast<int>(count), MPI_CHAR, all, static_cast<int>(count), MPI_CHAR, comm->all);
  });
  return done ? ncclSuccess : refuse(kCall, "no such stream");
}

const char* ncclGetErrorString(ncclResult_t result) { return result == ncclSuccess ? "no error" : "invalid argument"; }
const char* ncclGetLastError(ncclComm_t) { return "see standard error"; }

}  // extern "C"
