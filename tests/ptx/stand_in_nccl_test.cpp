// The stand-in's NCCL between the processes of mpirun: collectives in a captured step, on a second stream.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <mpi.h>
#include <nccl.h>

#include <vector>

namespace {

TEST(StandInNccl, CollectivesOfACapturedStep) {
  constexpr size_t kCount = 64, kBytes = kCount * sizeof(float);
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  ASSERT_GT(size, 1) << "mpirun -n 2 stand_in_nccl_test";
  ncclUniqueId id = {};
  if (rank == 0) ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  MPI_Bcast(&id, sizeof id, MPI_CHAR, 0, MPI_COMM_WORLD);
  ncclComm_t comm = nullptr;
  ASSERT_EQ(ncclCommInitRank(&comm, size, id, rank), ncclSuccess);

  cudaStream_t step = nullptr, beside = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&step, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&fork), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&join), cudaSuccess);
  void *x = nullptr, *all = nullptr;
  ASSERT_EQ(cudaMalloc(&x, kBytes), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&all, kBytes * static_cast<size_t>(size)), cudaSuccess);
  const std::vector<float> own(kCount, static_cast<float>(rank + 1));
  std::vector<float> mean(kCount), gathered(kCount * static_cast<size_t>(size));
  ASSERT_EQ(cudaMemcpyAsync(x, own.data(), kBytes, cudaMemcpyHostToDevice, step), cudaSuccess);

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(step, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(fork, step), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(beside, fork, 0), cudaSuccess);
  ASSERT_EQ(ncclAllGather(x, all, kBytes, ncclChar, comm, beside), ncclSuccess);
  ASSERT_EQ(ncclAllReduce(x, x, kCount, ncclFloat, ncclAvg, comm, beside), ncclSuccess);
  ASSERT_EQ(cudaEventRecord(join, beside), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(step, join, 0), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(step, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, step), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(mean.data(), x, kBytes, cudaMemcpyDeviceToHost, step), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(gathered.data(), all, kBytes * static_cast<size_t>(size), cudaMemcpyDeviceToHost, step),
            cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(step), cudaSuccess);
  EXPECT_EQ(mean, std::vector<float>(kCount, static_cast<float>(size + 1) / 2));
  for (int r = 0; r < size; ++r) EXPECT_EQ(gathered[static_cast<size_t>(r) * kCount + 7], static_cast<float>(r + 1));

  EXPECT_EQ(ncclAllReduce(x, x, kCount, ncclFloat, ncclSum, comm, step), ncclInvalidArgument);
  EXPECT_EQ(ncclAllReduce(own.data(), x, kCount, ncclFloat, ncclAvg, comm, step), ncclInvalidArgument);
  EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  MPI_Finalize();
  return failed;
}
