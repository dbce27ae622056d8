// The stand-in for CUDA's libraries is as strict as CUDA: it refuses, with a message, whatever a driver would refuse or
// what would fail later.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusparse.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "tests/ptx/stand_in_kernels.h"

extern "C" void poise_stand_in_set_order(uint64_t seed);  // see set_order() in stand_in/policy.h

namespace poise {
namespace {

class StandIn : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&memory, 1 << 12), cudaSuccess);
  }
  void TearDown() override {
    cudaFree(memory);
    cudaStreamDestroy(stream);
  }
  // Checks what `call` returns, and that its message on standard error contains `part`.
  void expect_refusal(cudaError_t expected, const char* part, const std::function<cudaError_t()>& call) {
    testing::internal::CaptureStderr();
    const cudaError_t error = call();
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(error, expected) << cudaGetErrorName(error) << " instead of " << cudaGetErrorName(expected);
    EXPECT_NE(said.find(part), std::string::npos) << "expected: " << part << "\n  got: " << said;
    EXPECT_EQ(cudaGetLastError(), expected);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "an error of a call is told once";
  }
  cudaStream_t stream = nullptr;
  void* memory = nullptr;
  char* bytes() { return static_cast<char*>(memory); }
};

TEST_F(StandIn, CopiesKnowTheirEnds) {
  std::vector<char> host(4096, 7), back(4096);
  ASSERT_EQ(cudaMemcpyAsync(memory, host.data(), 4096, cudaMemcpyHostToDevice, stream), cudaSuccess);
  std::fill(host.begin(), host.end(), 8);  // pageable memory may be reused at once
  ASSERT_EQ(cudaMemcpyAsync(back.data(), memory, 4096, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(back, std::vector<char>(4096, 7));
  expect_refusal(cudaErrorInvalidValue, "expected device memory",
                 [&] { return cudaMemcpyAsync(host.data(), back.data(), 8, cudaMemcpyHostToDevice, stream); });
  expect_refusal(cudaErrorInvalidValue, "expected memory of the host",
                 [&] { return cudaMemcpyAsync(memory, memory, 8, cudaMemcpyHostToDevice, stream); });
  expect_refusal(cudaErrorInvalidValue, "leave",
                 [&] { return cudaMemcpyAsync(bytes() + 4000, host.data(), 97, cudaMemcpyHostToDevice, stream); });
  expect_refusal(cudaErrorInvalidValue, "leave", [&] { return cudaMemsetAsync(memory, 0, 4097, stream); });
  expect_refusal(cudaErrorInvalidMemcpyDirection, "this direction",
                 [&] { return cudaMemcpyAsync(memory, host.data(), 8, cudaMemcpyDefault, stream); });
}

TEST_F(StandIn, MemoryIsFreedOnceAndNotUsedAfterwards) {
  void* other = nullptr;
  ASSERT_EQ(cudaMalloc(&other, 100), cudaSuccess);
  ASSERT_EQ(cudaFree(other), cudaSuccess);
  expect_refusal(cudaErrorInvalidValue, "not an allocation", [&] { return cudaFree(other); });
  expect_refusal(cudaErrorInvalidValue, "not an allocation", [&] { return cudaFree(bytes() + 512); });
  expect_refusal(cudaErrorInvalidValue, "expected device memory", [&] { return cudaMemsetAsync(other, 0, 8, stream); });
  expect_refusal(cudaErrorInvalidValue, "not pinned memory", [&] { return cudaFreeHost(memory); });
}

// As with a GPU, the host cannot access device memory.
TEST_F(StandIn, TheHostCannotReadTheDevice) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(static_cast<volatile char*>(memory)[0] = 1, "");
}

// A call that is forbidden during a capture invalidates the capture, as the manual says.
TEST_F(StandIn, CapturesForbidWhatStalls) {
  void *pinned = nullptr, *unused = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 64), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  char host[64];
  const std::function<cudaError_t()> calls[] = {
      [&] { return cudaMalloc(&unused, 64); },
      [&] { return cudaFree(memory); },
      [&] { return cudaMallocHost(&unused, 64); },
      [&] { return cudaFreeHost(pinned); },
      [&] { return cudaStreamSynchronize(stream); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaEventSynchronize(event); },
      [&] { return cudaEventQuery(event); },
      [&] { return cudaMemcpyAsync(host, memory, 64, cudaMemcpyDeviceToHost, stream); },
      [&] { return cudaMemcpyAsync(memory, host, 64, cudaMemcpyHostToDevice, stream); },
  };
  for (const auto& call : calls) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    expect_refusal(cudaErrorStreamCaptureUnsupported, "captur", call);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated) << &call - calls;
    EXPECT_EQ(graph, nullptr);
    cudaGetLastError();
  }
  cudaEventDestroy(event);
  cudaFreeHost(pinned);
}

TEST_F(StandIn, AGraphRunsWhenItIsReplayed) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaMemsetAsync(memory, 1, 4, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 2, 4, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  char first[4] = {}, second[4] = {};
  ASSERT_EQ(cudaMemcpyAsync(first, memory, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);  // the launched graph still runs
  ASSERT_EQ(cudaMemcpyAsync(second, memory, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(first[0], 1);
  EXPECT_EQ(second[0], 2);
  cudaGraphDestroy(graph);
  expect_refusal(cudaErrorIllegalState, "nothing is captured", [&] { return cudaStreamEndCapture(stream, &graph); });
  expect_refusal(cudaErrorStreamCaptureUnsupported, "legacy",
                 [] { return cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal); });
}

// The work of two streams in one graph runs in any order that its events allow.
TEST_F(StandIn, ACaptureTakesInStreamsThatWaitForIt) {
  cudaStream_t other = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&fork), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&join), cudaSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  const auto capture = [&](bool joined) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(memory, 1, 4, stream), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(fork, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(bytes() + 8, memory, 4, cudaMemcpyDeviceToDevice, other), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(join, other), cudaSuccess);
    EXPECT_EQ(joined ? cudaStreamWaitEvent(stream, join, 0) : cudaSuccess, cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(memory, 2, 4, stream), cudaSuccess);
    return cudaStreamEndCapture(stream, &graph);
  };
  expect_refusal(cudaErrorStreamCaptureUnjoined, "has not waited", [&] { return capture(false); });
  ASSERT_EQ(capture(true), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  for (int turn = 0; turn < 2; ++turn) {
    char got[12] = {};
    ASSERT_EQ(cudaMemsetAsync(memory, 0, 12, stream), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(got, memory, 12, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(got[0], 2);
    EXPECT_EQ(got[8], 1);
  }
  // An event that was not recorded in the capture.
  ASSERT_EQ(cudaEventRecord(join, other), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  expect_refusal(cudaErrorStreamCaptureIsolation, "not recorded in this capture",
                 [&] { return cudaStreamWaitEvent(stream, join, 0); });
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  cudaGraphExecDestroy(exec);
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  cudaStreamDestroy(other);
}

// Nothing runs before the program waits for it, so that a missing wait is noticed. (In random orders some work runs at
// once, hence the fixed order here.)
TEST_F(StandIn, EventsAreReachedWhenTheirStreamIs) {
  constexpr uint64_t kDescending = 1, kOfTheEnvironment = 0;
  poise_stand_in_set_order(kDescending);
  cudaEvent_t first = nullptr, second = nullptr;
  ASSERT_EQ(cudaEventCreate(&first), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&second), cudaSuccess);
  float milliseconds = 0;
  expect_refusal(cudaErrorInvalidResourceHandle, "never recorded",
                 [&] { return cudaEventElapsedTime(&milliseconds, first, second); });
  ASSERT_EQ(cudaEventRecord(first, stream), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 1, 4, stream), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(second, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(second), cudaErrorNotReady);
  cudaGetLastError();
  expect_refusal(cudaErrorNotReady, "has not been reached",
                 [&] { return cudaEventElapsedTime(&milliseconds, first, second); });
  ASSERT_EQ(cudaEventSynchronize(second), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, first, second), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  cudaEventDestroy(first);
  cudaEventDestroy(second);
  poise_stand_in_set_order(kOfTheEnvironment);
}

TEST_F(StandIn, LaunchesKeepWithinWhatTheHardwareHas) {
  auto* to = static_cast<int*>(memory);
  const auto launch = [&](dim3 grid, dim3 block, size_t shared) {
    return [=, this] { return launch_count(grid, block, shared, stream, to); };
  };
  expect_refusal(cudaErrorInvalidConfiguration, "an empty grid", launch({0, 1, 1}, {32, 1, 1}, 128));
  expect_refusal(cudaErrorInvalidConfiguration, "a grid has at most", launch({1, 65536, 1}, {32, 1, 1}, 128));
  expect_refusal(cudaErrorInvalidConfiguration, "a block has at most", launch({1, 1, 1}, {1025, 1, 1}, 8192));
  expect_refusal(cudaErrorLaunchOutOfResources, "launch bounds", launch({1, 1, 1}, {513, 1, 1}, 8192));
  expect_refusal(cudaErrorInvalidValue, "without MaxDynamicSharedMemorySize", launch({1, 1, 1}, {32, 1, 1}, 49153));
  EXPECT_EQ(launch({1, 1, 1}, {32, 1, 1}, 49152)(), cudaSuccess);
  EXPECT_EQ(allow_count_shared_bytes(100 << 10), cudaSuccess);
  EXPECT_EQ(launch({1, 1, 1}, {32, 1, 1}, 100 << 10)(), cudaSuccess);
  expect_refusal(cudaErrorInvalidValue, "it allows 102400", launch({1, 1, 1}, {32, 1, 1}, 101 << 10));
  expect_refusal(cudaErrorInvalidValue, "bytes left", [] { return allow_count_shared_bytes(228 << 10); });
  expect_refusal(cudaErrorInvalidDeviceFunction, "no such kernel", [&] {
    return cudaLaunchKernel(memory, {1, 1, 1}, {32, 1, 1}, nullptr, 0, stream);
  });
  EXPECT_EQ(launch({8, 1, 1}, {128, 1, 1}, 512)(), cudaSuccess);
  std::vector<int> counted(1024);
  ASSERT_EQ(cudaMemcpyAsync(counted.data(), memory, 4096, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  for (int i = 0; i < 1024; ++i) EXPECT_EQ(counted[static_cast<size_t>(i)], i);
}

// The fault of a kernel is reported with its source line at the next wait or earlier, and the device is unusable from
// then on. Which of the kernel's stores fails first depends on the order of warps.
TEST_F(StandIn, AFaultOfAKernelStays) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  std::vector<int> host(64);
  void* freed = nullptr;
  ASSERT_EQ(cudaMalloc(&freed, 1 << 12), cudaSuccess);
  ASSERT_EQ(cudaFree(freed), cudaSuccess);
  const struct {
    int* to;
    unsigned blocks;
    size_t shared;
    cudaError_t error;
    const char* said;
  } faults[] = {
      {host.data(), 1, 256, cudaErrorIllegalAddress, "ordinary host memory"},
      {static_cast<int*>(freed), 1, 256, cudaErrorIllegalAddress, "out of bounds: store to global memory of 4 bytes"},
      {static_cast<int*>(memory), 17, 256, cudaErrorIllegalAddress,
       "[0-9]+ bytes past the end of an allocation of 4096"},
      {static_cast<int*>(memory), 1, 128, cudaErrorIllegalAddress, "there are 128 bytes of shared memory"},
      {reinterpret_cast<int*>(bytes() + 2), 1, 256, cudaErrorMisalignedAddress, "stand_in_kernels.cu:"},
  };
  for (const auto& fault : faults) {
    const auto run = [&] {
      const cudaError_t answer = launch_count({fault.blocks, 1, 1}, {64, 1, 1}, fault.shared, stream, fault.to);
      const bool launched = answer == cudaSuccess || answer == fault.error;
      const bool noticed = cudaStreamSynchronize(stream) == fault.error;
      void* more = nullptr;
      std::exit(launched && noticed && cudaMalloc(&more, 4) == fault.error ? 0 : 1);
    };
    EXPECT_EXIT(run(), testing::ExitedWithCode(0), fault.said);
  }
}

TEST_F(StandIn, CublasWantsItsWorkspaceAlignedAndOnTheDevice) {
  cublasHandle_t handle = nullptr;
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasSetWorkspace(handle, bytes() + 64, 1024), CUBLAS_STATUS_INVALID_VALUE);
  std::vector<char> host(4096);
  EXPECT_EQ(cublasSetWorkspace(handle, host.data(), 1024), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetWorkspace(handle, memory, 1 << 13), CUBLAS_STATUS_INVALID_VALUE);  // exceeds the allocation
  const float one = 1, zero = 0;
  const auto product = [&](int leading) {
    return cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, memory, CUDA_R_32F, leading, bytes() + 1024,
                        CUDA_R_32F, 4, &zero, bytes() + 2048, CUDA_R_32F, 4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(product(4), CUBLAS_STATUS_ALLOC_FAILED) << "without a workspace it would allocate";
  EXPECT_EQ(cublasSetWorkspace(handle, bytes() + 3072, 1024), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(product(3), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(product(1 << 12), CUBLAS_STATUS_INVALID_VALUE) << "the matrix leaves its allocation";
  EXPECT_EQ(product(4), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  cublasDestroy(handle);
}

TEST_F(StandIn, CusparseChecksSizesAndLayouts) {
  cusparseSpMatDescr_t sparse = nullptr;
  cusparseDnMatDescr_t dense = nullptr;
  const auto create = [&](int64_t col_block, void* values) {
    return cusparseCreateBsr(&sparse, 1, 1, 1, 16, col_block, memory, bytes() + 64, values, CUSPARSE_INDEX_32I,
                             CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F, CUSPARSE_ORDER_ROW);
  };
  EXPECT_EQ(create(32, bytes() + 128), CUSPARSE_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(create(16, nullptr), CUSPARSE_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusparseCreateDnMat(&dense, 16, 8, 4, memory, CUDA_R_32F, CUSPARSE_ORDER_ROW),
            CUSPARSE_STATUS_INVALID_VALUE);
}

}  // namespace
}  // namespace poise
