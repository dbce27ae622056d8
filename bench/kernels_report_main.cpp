// Reports what the CUDA compiler generated for each of our kernels: registers, shared memory and spills, as reported by
// ptxas during the build, and tensor-core and copy instructions, counted in the machine code.
//
//   kernels_report [--check] LIBRARY REPORTS
//
// LIBRARY: libpoise_kernels.so with uncompressed device code. REPORTS: a folder with *.ptxas files, at any depth
// (kernels/gpu/cuda/keep_compiler_report.sh). With --check, prints only problems, and the exit code is 6 if there are
// any: a kernel that spills, or one whose name promises tensor cores but that has no such instruction.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "apps/console/program.h"
#include "bench/kernel_name.h"
#include "kernels/core/error.h"

namespace {

using namespace poise;

// An instruction has 16 bytes on every architecture since Volta; the low 12 bits of its first word are the opcode.
constexpr size_t kInstructionBytes = 16;
struct Instruction {
  const char* name;
  unsigned code;
};
constexpr Instruction kInstructions[] = {
    {"HMMA", 0x23c},    // mma.sync, bf16 and tf32
    {"LDSM", 0x83b},    // ldmatrix
    {"LDGSTS", 0xfae},  // cp.async
    {"HGMMA", 0x9f0},   // wgmma
    {"UTMALDG", 0x5b4}  // bulk tensor copies
};
constexpr size_t kKinds = std::size(kInstructions);

struct Kernel {
  std::string name;  // demangled, shortened
  std::string architecture;
  int registers = -1, shared_bytes = 0, stack_bytes = 0, spill_store_bytes = 0, spill_load_bytes = 0;
  int instructions = 0;
  int counts[kKinds] = {};

  bool uses_tensor_cores() const { return counts[0] > 0 || counts[3] > 0; }
  // The names of our tensor-core kernels say so, by a template argument (the arithmetic, Bf16 or Tf32) or in full.
  bool means_tensor_cores() const {
    for (const char* word : {"Bf16", "Tf32", "tensor_core"}) {
      if (name.find(word) != std::string::npos) return true;
    }
    return false;
  }
};

// By architecture and mangled name, which both sources provide.
using Kernels = std::map<std::pair<std::string, std::string>, Kernel>;

bool is_ours(const std::string& mangled) { return mangled.find("5poise") != std::string::npos; }

Kernel& kernel_of(Kernels& kernels, const std::string& architecture, const std::string& mangled) {
  Kernel& kernel = kernels[{architecture, mangled}];
  kernel.architecture = architecture;
  if (kernel.name.empty()) kernel.name = kernel_name(mangled);
  return kernel;
}

// ptxas, in this order: "... Compiling entry function 'NAME' for 'sm_90a'", once or more
// "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads", "... Used 40 registers, ..., 4096 bytes smem".
void read_compiler_report(const std::string& path, Kernels& kernels) {
  std::ifstream file(path);
  Kernel* kernel = nullptr;
  for (std::string line; std::getline(file, line);) {
    const auto quoted = [&](size_t from) {
      const size_t begin = line.find('\'', from) + 1;
      return std::pair(line.substr(begin, line.find('\'', begin) - begin), line.find('\'', begin) + 1);
    };
    if (line.find("Compiling entry function") != std::string::npos) {
      const auto [name, after] = quoted(0);
      std::string architecture = quoted(after).first;
      if (architecture.ends_with('a')) architecture.pop_back();  // as in the machine code
      kernel = is_ours(name) ? &kernel_of(kernels, architecture, name) : nullptr;
    } else if (kernel && line.find("bytes stack frame") != std::string::npos) {
      int stack = 0, stores = 0, loads = 0;
      std::sscanf(line.c_str(), "%d bytes stack frame, %d bytes spill stores, %d bytes spill loads", &stack, &stores,
                  &loads);
      kernel->stack_bytes += stack;  // the kernel's own, and those of functions that were not inlined
      kernel->spill_store_bytes += stores;
      kernel->spill_load_bytes += loads;
    } else if (const size_t used = line.find("Used "); kernel && used != std::string::npos) {
      kernel->registers = std::atoi(line.c_str() + used + 5);
      if (const size_t end = line.find(" bytes smem"); end != std::string::npos) {
        kernel->shared_bytes = std::atoi(line.c_str() + line.rfind(' ', end - 1));
      }
    }
  }
}

// Reads every ELF image of CUDA machine code in a file, at any offset.
void read_machine_code(const std::string& path, Kernels& kernels) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorKind::data, path + ": no such library; build poise_kernels first");
  std::stringstream all;
  all << file.rdbuf();
  const std::string bytes = all.str();
  const auto read = [&]<class T>(size_t at, T& to) {
    if (at + sizeof(T) > bytes.size()) fail(ErrorKind::data, path + ": an image of device code is cut off");
    std::memcpy(&to, bytes.data() + at, sizeof(T));
  };
  for (size_t image = 0; (image = bytes.find(ELFMAG, image)) != std::string::npos; image += SELFMAG) {
    Elf64_Ehdr header;
    if (image + sizeof header > bytes.size()) break;
    read(image, header);
    if (header.e_machine != EM_CUDA || header.e_shentsize != sizeof(Elf64_Shdr)) continue;
    const std::string architecture = fmt::format("sm_{}", header.e_flags >> 8 & 0xff);  // 90 for sm_90a, too
    Elf64_Shdr names;
    read(image + header.e_shoff + header.e_shstrndx * sizeof names, names);
    for (size_t i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr section;
      read(image + header.e_shoff + i * sizeof section, section);
      const std::string name = bytes.c_str() + image + names.sh_offset + section.sh_name;
      if (!name.starts_with(".text.") || !is_ours(name)) continue;
      Kernel& kernel = kernel_of(kernels, architecture, name.substr(std::strlen(".text.")));
      for (size_t at = 0; at + kInstructionBytes <= section.sh_size; at += kInstructionBytes) {
        uint64_t word = 0;
        read(image + section.sh_offset + at, word);
        ++kernel.instructions;
        for (size_t k = 0; k < kKinds; ++k) kernel.counts[k] += (word & 0xfff) == kInstructions[k].code ? 1 : 0;
      }
    }
  }
}

std::string table(const std::vector<Kernel>& kernels) {
  std::string text = fmt::format("{:<8}{:>5}{:>8}{:>7}{:>7}", "", "regs", "shared", "stack", "spills");
  for (const Instruction& i : kInstructions) text += fmt::format("{:>8}", i.name);
  text += "  kernel\n";
  for (const Kernel& k : kernels) {
    text += fmt::format("{:<8}{:>5}{:>8}{:>7}{:>7}", k.architecture, k.registers, k.shared_bytes, k.stack_bytes,
                        k.spill_store_bytes + k.spill_load_bytes);
    for (const int count : k.counts) text += count == 0 ? fmt::format("{:>8}", "-") : fmt::format("{:>8}", count);
    text += "  " + k.name + "\n";
  }
  return text;
}

std::vector<std::string> faults_of(const std::vector<Kernel>& kernels) {
  std::vector<std::string> faults;
  for (const Kernel& k : kernels) {
    const auto fault = [&](const std::string& what) {
      faults.push_back(fmt::format("{} for {}: {}", k.name, k.architecture, what));
    };
    if (k.registers < 0) fault("expected a report of the compiler, found none; rebuild poise_kernels");
    if (k.instructions == 0) fault("expected machine code, found none; is the device code compressed?");
    if (k.spill_store_bytes + k.spill_load_bytes > 0) {
      fault(fmt::format("spills {} bytes of registers; use a smaller tile or fewer accumulators",
                        k.spill_store_bytes + k.spill_load_bytes));
    }
    if (k.means_tensor_cores() && !k.uses_tensor_cores()) fault("expected tensor-core instructions, found none");
  }
  return faults;
}

int run(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = arguments;
  const bool check = std::erase(words, "--check") > 0;
  if (words.size() != 2) fail(ErrorKind::usage, "usage: kernels_report [--check] LIBRARY REPORTS");
  Kernels found;
  read_machine_code(words[0], found);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(words[1])) {
    if (entry.path().extension() == ".ptxas") read_compiler_report(entry.path(), found);
  }
  std::vector<Kernel> kernels;
  for (const auto& [key, kernel] : found) kernels.push_back(kernel);
  if (kernels.empty())
    fail(ErrorKind::data, words[0] + ": no kernel of ours; build with CUDA and --compress-mode=none");
  std::stable_sort(kernels.begin(), kernels.end(), [](const Kernel& a, const Kernel& b) {
    return std::pair(a.name, a.architecture) < std::pair(b.name, b.architecture);
  });
  if (!check) print_result(table(kernels));
  const std::vector<std::string> faults = faults_of(kernels);
  const auto tensor =
      std::count_if(kernels.begin(), kernels.end(), [](const Kernel& k) { return k.uses_tensor_cores(); });
  print_result(
      fmt::format("{} kernels, {} of them on tensor cores, {} faults\n", kernels.size(), tensor, faults.size()));
  for (const std::string& fault : faults) print_result("  " + fault + "\n");
  return faults.empty() ? 0 : static_cast<int>(ErrorKind::check);
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("kernels_report", [=] { return run({argv + 1, argv + argc}); });
}
