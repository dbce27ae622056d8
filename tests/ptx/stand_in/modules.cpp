#include "tests/ptx/stand_in/modules.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "tests/ptx/stand_in/device_memory.h"
#include "tests/ptx/stand_in/fat_binary.h"
#include "tests/ptx/stand_in/policy.h"

namespace poise::stand_in {

struct LoadedModule {
  FatBinary binary;
  std::unique_ptr<ptx::Module> text;  // loaded when a kernel of the module is first used
  ptx::GlobalAddresses globals;
};

namespace {

struct Registry {
  std::vector<std::unique_ptr<LoadedModule>> modules;
  std::unordered_map<const void*, std::unique_ptr<Kernel>> kernels;
};
Registry& registry() {
  static Registry& all = *new Registry;  // never destroyed: used from before main() until the program ends
  return all;
}

void load(LoadedModule& module) {
  if (module.binary.ptx.empty()) {
    throw ptx::Fault("no uncompressed PTX in this program: build with a virtual architecture (90, or 90-virtual)");
  }
  module.text = std::make_unique<ptx::Module>(changed_by_policy(std::move(module.binary.ptx)));
  DeviceMemory& memory = DeviceMemory::instance();
  for (const ptx::Variable& v : module.text->globals()) {
    void* device = memory.allocate(v.bytes);
    unsigned char* real = memory.at(device, v.bytes);
    std::memset(real, 0, v.bytes);
    std::memcpy(real, v.initial.data(), std::min(v.bytes, v.initial.size()));
    module.globals[v.name] = reinterpret_cast<uint64_t>(device);
  }
}

}  // namespace

void* register_fat_binary(const void* wrapper) {
  auto& modules = registry().modules;
  modules.push_back(std::make_unique<LoadedModule>());
  modules.back()->binary = read_fat_binary(wrapper);
  return modules.back().get();
}

void register_kernel(void* module, const void* host_function, const char* name) {
  auto kernel = std::make_unique<Kernel>();
  kernel->name = name;
  kernel->module = static_cast<LoadedModule*>(module);
  const auto& registers = kernel->module->binary.registers;
  const auto known = registers.find(name);
  kernel->registers = known == registers.end() ? 0 : known->second;
  registry().kernels[host_function] = std::move(kernel);
}

void register_variable(void*, const void*, const char*, size_t) {}  // no supported call accesses one by name

Kernel* find_kernel(const void* host_function) {
  const auto found = registry().kernels.find(host_function);
  return found == registry().kernels.end() ? nullptr : found->second.get();
}

const ptx::Program& program_of(Kernel& kernel) {
  if (!kernel.program) {
    LoadedModule& module = *kernel.module;
    if (!module.text) load(module);
    if (kernel.registers == 0) {
      throw ptx::Fault(kernel.name +
                       ": its registers are not known: build with machine code for 90, too (90 or 90-real)");
    }
    kernel.program = std::make_unique<ptx::Program>(ptx::decode(*module.text, kernel.name, module.globals));
  }
  return *kernel.program;
}

// Registers are allocated to a warp in units of 256, and warps to a block in units of four.
int registers_of_block(const Kernel& kernel, int threads) {
  const int per_warp = (kernel.registers * 32 + 255) / 256 * 256;
  const int warps = (threads + 31) / 32;
  return per_warp * ((warps + 3) / 4 * 4);
}

int resident_blocks(Kernel& kernel, int threads, size_t dynamic_shared_bytes) {
  const ptx::Program& program = program_of(kernel);
  const size_t shared = program.static_shared_bytes + dynamic_shared_bytes + kSharedReserved;
  const int warps = (threads + 31) / 32;
  return std::min({kMostBlocks, kMostThreads / 32 / warps,
                   kRegistersPerMultiprocessor / std::max(1, registers_of_block(kernel, threads)),
                   static_cast<int>(kSharedPerMultiprocessor / shared)});
}

}  // namespace poise::stand_in
