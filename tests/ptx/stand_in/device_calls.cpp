// Device properties, and the names of errors.
#include <cstring>

#include "tests/ptx/stand_in/device_memory.h"
#include "tests/ptx/stand_in/modules.h"
#include "tests/ptx/stand_in/profile.h"
#include "tests/ptx/stand_in/streams.h"

using namespace poise::stand_in;

namespace {

struct ErrorName {
  cudaError_t error;
  const char *name, *text;
};
constexpr ErrorName kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorMissingConfiguration, "cudaErrorMissingConfiguration", "__global__ function call is not configured"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidPtx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "capture was not initiated in this stream"},
};
const ErrorName& name_of(cudaError_t error) {
  for (const ErrorName& e : kErrors) {
    if (e.error == error) return e;
  }
  static constexpr ErrorName unknown = {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
  return unknown;
}

}  // namespace

extern "C" {

cudaError_t cudaProfilerStart() {
  const std::lock_guard lock(one_call_at_a_time());
  Streams::instance().run_all();
  enter(Phase::between);
  return answer(Streams::instance().broken);
}
cudaError_t cudaProfilerStop() {
  const std::lock_guard lock(one_call_at_a_time());
  Streams::instance().run_all();
  enter(Phase::after);
  return answer(Streams::instance().broken);
}

const char* cudaGetErrorName(cudaError_t error) { return name_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return name_of(error).text; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return answer(Streams::instance().broken);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return answer(Streams::instance().broken);
}
cudaError_t cudaSetDevice(int device) {
  return answer(device == 0 ? Streams::instance().broken : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return answer(cudaErrorInvalidDevice);
  *p = {};
  std::strcpy(p->name, "stand-in for an H200 (PTX interpreter)");
  p->totalGlobalMem = DeviceMemory::instance().total();
  p->sharedMemPerBlock = kSharedWithoutAsking;
  p->sharedMemPerBlockOptin = kSharedPerBlock;
  p->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
  p->reservedSharedMemPerBlock = kSharedReserved;
  p->regsPerBlock = p->regsPerMultiprocessor = kRegistersPerMultiprocessor;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = kMostThreads;
  p->maxBlocksPerMultiProcessor = kMostBlocks;
  p->major = 9;
  p->multiProcessorCount = kMultiprocessors;
  p->l2CacheSize = 50 << 20;
  p->memoryBusWidth = 6144;
  p->unifiedAddressing = 1;
  return answer(Streams::instance().broken);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return answer(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = kMultiprocessors;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(kSharedWithoutAsking);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kSharedPerBlock);
      break;
    case cudaDevAttrMaxGridDimX:
      *value = 0x7fffffff;
      break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *value = 65535;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      *value = 1'000'000;
      break;
    default:
      return refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute",
                    "attribute " + std::to_string(static_cast<int>(attribute)) + " is not known here");
  }
  return answer(Streams::instance().broken);
}

}  // extern "C"
