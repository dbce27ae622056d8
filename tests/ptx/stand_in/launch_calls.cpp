// Registration and launch. A launch is refused if hardware of compute capability 9.0 would refuse it, given the
// registers that ptxas assigned to the kernel.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "tests/ptx/stand_in/device_memory.h"
#include "tests/ptx/stand_in/modules.h"
#include "tests/ptx/stand_in/policy.h"
#include "tests/ptx/stand_in/profile.h"
#include "tests/ptx/stand_in/streams.h"

namespace poise::stand_in {
namespace {

struct Refusal {
  cudaError_t error = cudaSuccess;
  std::string why;
};

Refusal refusal_of(Kernel& kernel, const ptx::Program& program, const dim3& grid, const dim3& block, size_t dynamic) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) {
    return {cudaErrorInvalidConfiguration, "an empty grid or block"};
  }
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    return {cudaErrorInvalidConfiguration, "a grid has at most 2147483647 x 65535 x 65535 blocks"};
  }
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) {
    return {cudaErrorInvalidConfiguration, "a block has at most 1024 x 1024 x 64 threads, and 1024 together"};
  }
  if (program.text->max_threads > 0 && threads > static_cast<uint64_t>(program.text->max_threads)) {
    return {cudaErrorLaunchOutOfResources, "more threads than its launch bounds promise"};
  }
  const int registers = registers_of_block(kernel, static_cast<int>(threads));
  if (registers > kRegistersPerMultiprocessor) {
    return {cudaErrorLaunchOutOfResources, std::to_string(kernel.registers) + " registers for each of " +
                                               std::to_string(threads) + " threads are more than there are"};
  }
  const size_t shared = program.static_shared_bytes + dynamic;
  if (shared > kSharedPerBlock) {
    return {cudaErrorInvalidValue, std::to_string(shared) + " bytes of shared memory are more than a block can have"};
  }
  if (shared > kSharedWithoutAsking && dynamic > kernel.dynamic_allowed) {
    return {cudaErrorInvalidValue, std::to_string(shared) +
                                       " bytes of shared memory without MaxDynamicSharedMemorySize; it allows " +
                                       std::to_string(kernel.dynamic_allowed)};
  }
  return {};
}

cudaError_t error_of(const std::string& fault) {
  if (fault.find("out of bounds") != std::string::npos) return cudaErrorIllegalAddress;
  if (fault.find("misaligned") != std::string::npos) return cudaErrorMisalignedAddress;
  return cudaErrorLaunchFailure;
}

// Launches of at most this many blocks run in full, except matrix products: some build lists that determine how much
// work other kernels do.
constexpr uint64_t kSmallLaunch = 300;

bool may_be_sampled(const ptx::Launch& launch) {
  const auto& code = launch.program->code;
  const auto multiplies = [](const ptx::Instruction& i) { return i.kind == ptx::Kind::matrix_product; };
  return launch.grid.count() > kSmallLaunch || std::any_of(code.begin(), code.end(), multiplies);
}

void execute(Kernel& kernel, ptx::Launch launch) {
  Streams& streams = Streams::instance();
  if (streams.broken != cudaSuccess) return;
  try {
    ptx::Profile profile;
    if (profiling()) launch.options.profile = &profile;
    if (phase() == Phase::between && may_be_sampled(launch)) launch.options.sampled_blocks = policy().sampled_blocks;
    const uint64_t instructions = ptx::totals().warp_instructions;
    const auto before = std::chrono::steady_clock::now();
    const bool sampling_is_over = policy().sampled_blocks > 0 && phase() == Phase::after;
    if (!sampling_is_over) ptx::run(launch);
    if (!profiling()) return;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - before;
    const int resident = resident_blocks(kernel, static_cast<int>(launch.block.count()), launch.dynamic_shared_bytes);
    add_to_profile(kernel.name, kernel.registers, resident, launch, profile,
                   ptx::totals().warp_instructions - instructions, seconds.count());
  } catch (const ptx::Fault& fault) {
    streams.broken = error_of(fault.what());
    complain("a kernel", fault.what());
  }
}

cudaError_t launch(const char* call, Kernel* kernel, const dim3& grid, const dim3& block, void** arguments,
                   size_t dynamic, cudaStream_t handle) {
  Streams& streams = Streams::instance();
  if (streams.broken != cudaSuccess) return answer(streams.broken);
  if (!kernel) return refuse(cudaErrorInvalidDeviceFunction, call, "no such kernel");
  Stream* stream = streams.find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, call, "no such stream");
  try {
    const ptx::Program& program = program_of(*kernel);
    const Refusal refusal = refusal_of(*kernel, program, grid, block, dynamic);
    if (refusal.error != cudaSuccess) return refuse(refusal.error, call, kernel->name + ": " + refusal.why);
    ptx::Launch launch;
    launch.program = &program;
    launch.grid = {grid.x, grid.y, grid.z};
    launch.block = {block.x, block.y, block.z};
    launch.dynamic_shared_bytes = dynamic;
    launch.memory = &DeviceMemory::instance();
    launch.options.order = policy().order;
    launch.parameters.resize(program.text->parameter_bytes);
    for (size_t i = 0; i < program.text->parameters.size(); ++i) {
      const ptx::Parameter& p = program.text->parameters[i];
      std::memcpy(launch.parameters.data() + p.offset, arguments[i], p.bytes);
    }
    static uint64_t number = 0;
    streams.submit(*stream, [kernel, launch = std::move(launch)]() mutable {
      launch.options.seed = policy().seed * 1000003 + ++number;
      execute(*kernel, launch);
    });
  } catch (const ptx::Fault& fault) {
    return refuse(cudaErrorInvalidPtx, call, fault.what());
  }
  return answer(streams.broken);
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

}  // namespace
}  // namespace poise::stand_in

using namespace poise::stand_in;

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) { return static_cast<void**>(register_fat_binary(wrapper)); }
void __cudaRegisterFatBinaryEnd(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** module, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  register_kernel(module, host, name);
}
void __cudaRegisterVar(void** module, char* host, char*, const char* name, int, size_t bytes, int, int) {
  register_variable(module, host, name, bytes);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return answer(cudaErrorMissingConfiguration);
  const Configuration c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *static_cast<cudaStream_t*>(stream) = c.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  const std::lock_guard lock(one_call_at_a_time());
  *kernel = reinterpret_cast<cudaKernel_t>(find_kernel(host));
  return answer(*kernel ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  const std::lock_guard lock(one_call_at_a_time());
  return launch("kernel<<<>>>", reinterpret_cast<Kernel*>(kernel), grid, block, arguments, shared, stream);
}
cudaError_t cudaLaunchKernel(const void* host, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  const std::lock_guard lock(one_call_at_a_time());
  return launch("cudaLaunchKernel", find_kernel(host), grid, block, arguments, shared, stream);
}

cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute attribute, int value) {
  const std::lock_guard lock(one_call_at_a_time());
  constexpr const char* kCall = "cudaFuncSetAttribute";
  Kernel* kernel = find_kernel(host);
  if (!kernel) return refuse(cudaErrorInvalidDeviceFunction, kCall, "no such kernel");
  try {
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
      const size_t rest = kSharedPerBlock - program_of(*kernel).static_shared_bytes;
      if (value < 0 || static_cast<size_t>(value) > rest) {
        return refuse(cudaErrorInvalidValue, kCall,
                      kernel->name + ": there are " + std::to_string(rest) + " bytes left");
      }
      kernel->dynamic_allowed = static_cast<size_t>(value);
    } else if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
      if (value < -1 || value > 100) return refuse(cudaErrorInvalidValue, kCall, "a share of 0 to 100, or -1");
    } else {
      return refuse(cudaErrorInvalidValue, kCall, "this attribute is not known here");
    }
  } catch (const poise::ptx::Fault& fault) {
    return refuse(cudaErrorInvalidPtx, kCall, fault.what());
  }
  return answer(Streams::instance().broken);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* host) {
  const std::lock_guard lock(one_call_at_a_time());
  Kernel* kernel = find_kernel(host);
  if (!kernel) return answer(cudaErrorInvalidDeviceFunction);
  try {
    const auto& program = program_of(*kernel);
    *attributes = {};
    attributes->sharedSizeBytes = program.static_shared_bytes;
    attributes->localSizeBytes = program.local_bytes;
    attributes->numRegs = kernel->registers;
    attributes->ptxVersion = attributes->binaryVersion = 90;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(kernel->dynamic_allowed);
    int threads = program.text->max_threads > 0 ? program.text->max_threads : 1024;
    while (threads > 32 && registers_of_block(*kernel, threads) > kRegistersPerMultiprocessor) threads -= 32;
    attributes->maxThreadsPerBlock = threads;
  } catch (const poise::ptx::Fault& fault) {
    return refuse(cudaErrorInvalidPtx, "cudaFuncGetAttributes", fault.what());
  }
  return answer(Streams::instance().broken);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host, int threads,
                                                                   size_t dynamic, unsigned) {
  const std::lock_guard lock(one_call_at_a_time());
  Kernel* kernel = find_kernel(host);
  if (!kernel) return answer(cudaErrorInvalidDeviceFunction);
  try {
    *blocks = resident_blocks(*kernel, threads, dynamic);
  } catch (const poise::ptx::Fault& fault) {
    return refuse(cudaErrorInvalidPtx, "cudaOccupancyMaxActiveBlocksPerMultiprocessor", fault.what());
  }
  return answer(Streams::instance().broken);
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* host, int threads, size_t dynamic) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, host, threads, dynamic, 0);
}

// For the stand-in's libraries: submits work to a stream, and returns the host address of device memory.
int poise_stand_in_submit(void* handle, void (*work)(void*), void (*done)(void*), void* data) {
  const std::lock_guard lock(one_call_at_a_time());
  Stream* stream = Streams::instance().find(static_cast<cudaStream_t>(handle));
  if (!stream) return 0;
  const std::shared_ptr<void> owned(data, done);
  Streams::instance().submit(*stream, [work, owned] { work(owned.get()); });
  return 1;
}
void* poise_stand_in_memory(const void* device, size_t bytes) {
  const std::lock_guard lock(one_call_at_a_time());
  return DeviceMemory::instance().at(device, bytes);
}
// For tests.
void poise_stand_in_set_order(uint64_t seed) {
  const std::lock_guard lock(one_call_at_a_time());
  Streams::instance().run_all();
  set_order(seed);
}
void poise_stand_in_complain(const char* call, const char* why) { complain(call, why); }

}  // extern "C"
