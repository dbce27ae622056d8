#include "kernels/gpu/cuda/runtime.h"

#include <cuda_profiler_api.h>

#include <cstring>

#include "kernels/gpu/cuda/handles.h"

namespace poise::cuda {
namespace {

cudaStream_t raw(gpu::Stream& stream) { return static_cast<Stream&>(stream).handle; }

struct CudaEvent final : gpu::Event {
  CudaEvent() { check(cudaEventCreate(&handle), "cudaEventCreate"); }
  ~CudaEvent() override { cudaEventDestroy(handle); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  cudaEvent_t handle = nullptr;
};
cudaEvent_t raw(gpu::Event& event) { return static_cast<CudaEvent&>(event).handle; }

struct CudaGraph final : gpu::Graph {
  CudaGraph() = default;
  ~CudaGraph() override {
    if (handle) cudaGraphExecDestroy(handle);
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  cudaGraphExec_t handle = nullptr;
};

class CudaRuntime final : public gpu::Runtime {
 public:
  gpu::DeviceFacts facts() override {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device()), "cudaGetDeviceProperties");
    gpu::DeviceFacts facts{.name = properties.name, .multiprocessors = properties.multiProcessorCount};
    check(cudaMemGetInfo(&facts.free_bytes, &facts.memory_bytes), "cudaMemGetInfo");
    return facts;
  }

  void* allocate(size_t bytes) override {
    note_stall(&Counts::allocations, "allocation of device memory");
    void* p = nullptr;
    const cudaError_t error = cudaMalloc(&p, bytes == 0 ? 1 : bytes);
    if (error != cudaSuccess) check(error, ("cudaMalloc of " + std::to_string(bytes >> 20) + " MiB").c_str());
    check(cudaMemset(p, 0, bytes), "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // our streams do not wait for cudaMemset's stream
    return p;
  }
  void release(void* bytes) noexcept override {
    if (!defers(&Runtime::release, bytes)) cudaFree(bytes);
  }
  void* allocate_staging(size_t bytes) override {
    note_stall(&Counts::allocations, "allocation of staging memory");
    void* p = nullptr;
    check(cudaMallocHost(&p, bytes == 0 ? 1 : bytes), "cudaMallocHost");
    std::memset(p, 0, bytes);
    return p;
  }
  void release_staging(void* bytes) noexcept override {
    if (!defers(&Runtime::release_staging, bytes)) cudaFreeHost(bytes);
  }

  std::unique_ptr<gpu::Stream> make_stream() override {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return std::make_unique<Stream>(stream);
  }
  std::unique_ptr<gpu::Event> make_event() override { return std::make_unique<CudaEvent>(); }

  void copy(gpu::Stream& stream, gpu::CopyKind kind, void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    if (kind == gpu::CopyKind::to_host) note_stall(&Counts::copies_to_host, "copy to the host");
    if (kind == gpu::CopyKind::to_device && capturing() && !is_staging(from)) {
      note_stall(&Counts::synchronizations, "copy from ordinary host memory");
    }
    constexpr cudaMemcpyKind kKinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice};
    check(cudaMemcpyAsync(to, from, bytes, kKinds[static_cast<int>(kind)], raw(stream)), "cudaMemcpyAsync");
    // The CUDA runtime may still be writing to ordinary memory, regardless of the documentation.
    if (kind == gpu::CopyKind::to_host && !is_staging(to)) wait_for(raw(stream));
  }
  void fill(gpu::Stream& stream, void* to, unsigned char byte, size_t bytes) override {
    check(cudaMemsetAsync(to, byte, bytes, raw(stream)), "cudaMemsetAsync");
  }
  void record(gpu::Event& event, gpu::Stream& stream) override {
    check(cudaEventRecord(raw(event), raw(stream)), "cudaEventRecord");
  }
  void wait(gpu::Stream& stream, gpu::Event& event) override {
    check(cudaStreamWaitEvent(raw(stream), raw(event), 0), "cudaStreamWaitEvent");
  }
  bool reached(gpu::Event& event) override {
    const cudaError_t answer = cudaEventQuery(raw(event));
    if (answer == cudaErrorNotReady) {
      cudaGetLastError();  // not an error; clear it, or the next launch would report it
      return false;
    }
    check(answer, "cudaEventQuery");
    return true;
  }
  double seconds_between(gpu::Event& from, gpu::Event& to) override {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, raw(from), raw(to)), "cudaEventElapsedTime");
    return milliseconds * 1e-3;
  }

  void synchronize(gpu::Stream& stream) override {
    note_stall(&Counts::synchronizations, "synchronization");
    wait_for(raw(stream));
  }
  void synchronize(gpu::Event& event) override {
    note_stall(&Counts::synchronizations, "synchronization");
    check(cudaEventSynchronize(raw(event)), "cudaEventSynchronize");
  }
  void synchronize() override {
    note_stall(&Counts::synchronizations, "synchronization");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }

  void begin_profile() override { check(cudaProfilerStart(), "cudaProfilerStart"); }
  void end_profile() override { check(cudaProfilerStop(), "cudaProfilerStop"); }

  void begin_capture(gpu::Stream& stream) override {
    require(!capturing_, "one capture at a time");
    check(cudaStreamBeginCapture(raw(stream), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    capturing_ = true;
  }
  std::unique_ptr<gpu::Graph> end_capture(gpu::Stream& stream) override {
    cudaGraph_t recorded = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(raw(stream), &recorded);
    const bool released = release_deferred();
    check(ended, "cudaStreamEndCapture");
    auto graph = std::make_unique<CudaGraph>();
    const cudaError_t error = cudaGraphInstantiate(&graph->handle, recorded, 0);
    cudaGraphDestroy(recorded);
    check(error, "cudaGraphInstantiate");
    if (released) fail(ErrorKind::runtime, kReleasedInCapture);
    return graph;
  }
  void cancel_capture(gpu::Stream& stream) noexcept override {
    cudaGraph_t recorded = nullptr;
    if (cudaStreamEndCapture(raw(stream), &recorded) == cudaSuccess && recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();  // clears the error of an invalidated capture
    release_deferred();
  }
  void replay(gpu::Graph& graph, gpu::Stream& stream) override {
    check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).handle, raw(stream)), "cudaGraphLaunch");
  }

 private:
  static int device() {
    int index = 0;
    check(cudaGetDevice(&index), "cudaGetDevice");
    return index;
  }
  static void wait_for(cudaStream_t stream) { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }
  static bool is_staging(const void* p) {
    cudaPointerAttributes attributes;
    return cudaPointerGetAttributes(&attributes, p) == cudaSuccess && attributes.type == cudaMemoryTypeHost;
  }
};

}  // namespace

void fail_cuda(cudaError_t error, const char* call, const char* file, int line) {
  std::string message = std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                        cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  if (error == cudaErrorMemoryAllocation)
    message += "; use a smaller batch or width (--dry-run shows what needs how much)";
  if (error == cudaErrorIllegalAddress || error == cudaErrorLaunchFailure || error == cudaErrorMisalignedAddress) {
    message += "; caused by an earlier launch: POISE_SYNC=1 names its layer, compute-sanitizer its line";
  }
  fail(ErrorKind::runtime, message);
}

gpu::Runtime& runtime() {
  static CudaRuntime& cuda = *new CudaRuntime;  // never destroyed: buffers of static lifetime release to it
  return cuda;
}

std::string why_unavailable() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return "";
  return std::string("no CUDA device: cudaGetDeviceCount: ") +
         (error == cudaSuccess ? "no device" : cudaGetErrorString(error)) +
         "; look at nvidia-smi for the GPU and its driver, or use --device cpu or emulated";
}

}  // namespace poise::cuda
