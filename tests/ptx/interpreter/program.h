// A kernel ready to run. Registers hold one value per lane, side by side: a 32-bit (or 16-bit) register takes 128 bytes
// of the warp's register file, a 64-bit register 256, and a predicate one bit per lane. Literals and special registers
// are registers too, filled before the kernel starts, so that instructions have only one kind of operand.
#pragma once
#include <array>

#include "tests/ptx/interpreter/text.h"

namespace poise::ptx {

constexpr int kLanes = 32;
constexpr uint32_t kAll = 0xffffffffu;

class Warp;
struct Instruction;

// Executes an instruction for these lanes of the warp; `lanes` is never empty.
using Handler = void (*)(Warp&, const Instruction&, uint32_t lanes);

enum class Kind : uint8_t {
  integer,
  real,
  real64,
  special_function,
  conversion,
  predicate,
  move,
  parameter,
  global_load,
  global_store,
  shared_load,
  shared_store,
  local,
  atomic,
  async_copy,
  matrix_load,
  matrix_product,
  shuffle,
  barrier,
  branch,
  other,
  count
};
const char* name_of(Kind kind);

enum class Space : uint8_t { generic, parameter, global, shared, local };

struct Instruction {
  static constexpr uint32_t kNone = 0xffffffffu;
  Handler some = nullptr, all = nullptr;  // for some lanes, for all 32
  uint32_t guard = kNone;                 // this and the operands: byte offsets in the register file
  bool guard_negated = false;
  bool wide_address = true;  // the base of the address has 64 bits
  Kind kind = Kind::other;
  Space space = Space::generic;
  uint32_t d = 0, a = 0, b = 0, c = 0, e = 0;  // destination and sources; a is the base of an address
  uint32_t list = 0;                           // index of the first further operand in Program::operands
  uint64_t offset = 0;                         // of an address
  uint32_t bytes = 0;                          // that an access moves per lane
  uint32_t used_bytes = 0;                     // of these, the leading bytes that the kernel uses
  int target = -1, reconverge = -1;            // of a branch
};

enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt
};

struct Program {
  struct Constant {
    uint32_t place;
    RegisterClass width;
    uint64_t bits;
  };
  std::string name;
  const Module* module = nullptr;
  const KernelText* text = nullptr;
  std::vector<Instruction> code;  // one per instruction of the text, and a final `ret`
  std::vector<uint32_t> operands;
  std::vector<Constant> constants;
  std::vector<std::pair<uint32_t, Special>> specials;
  uint32_t file_bytes = 0;
  size_t static_shared_bytes = 0, dynamic_shared_begin = 0, local_bytes = 0;
};

// Addresses of a module's variables, provided by the loader of the module.
using GlobalAddresses = std::unordered_map<std::string, uint64_t>;

// Throws a Fault that names any instruction it does not support.
Program decode(const Module& module, const std::string& kernel, const GlobalAddresses& globals);

// Sets the reconvergence point of every branch: the instruction where all paths from it meet again.
void find_reconvergence(Program& program);

// Returns "file.cu:12" or "PTX line 34", and the text of the instruction.
std::string place_of(const Program& program, int pc);

}  // namespace poise::ptx
