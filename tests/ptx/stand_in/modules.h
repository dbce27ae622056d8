// Registered kernels, by the addresses of their host functions, and the limits of the hardware.
#pragma once
#include <memory>

#include "tests/ptx/interpreter/machine.h"

namespace poise::stand_in {

struct LoadedModule;

struct Kernel {
  std::string name;
  LoadedModule* module = nullptr;
  int registers = 0;                      // per thread; 0: unknown
  size_t dynamic_allowed = 0;             // dynamic shared memory requested with cudaFuncSetAttribute, in bytes
  std::unique_ptr<ptx::Program> program;  // decoded on first use
};

// Limits of compute capability 9.0, per multiprocessor and per block.
constexpr size_t kSharedPerMultiprocessor = 228 << 10, kSharedPerBlock = 227 << 10, kSharedReserved = 1 << 10;
constexpr size_t kSharedWithoutAsking = 48 << 10;
constexpr int kRegistersPerMultiprocessor = 65536, kMostThreads = 2048, kMostBlocks = 32, kMultiprocessors = 132;

void* register_fat_binary(const void* wrapper);
void register_kernel(void* module, const void* host_function, const char* name);
void register_variable(void* module, const void* host_variable, const char* name, size_t bytes);

Kernel* find_kernel(const void* host_function);
// The kernel's code. Throws a Fault if the PTX is missing or not supported.
const ptx::Program& program_of(Kernel& kernel);
// Registers that one block occupies, rounded up to the hardware's allocation units.
int registers_of_block(const Kernel& kernel, int threads);
// How many blocks fit on a multiprocessor at once.
int resident_blocks(Kernel& kernel, int threads, size_t dynamic_shared_bytes);

}  // namespace poise::stand_in
