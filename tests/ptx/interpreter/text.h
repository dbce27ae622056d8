// Parsed PTX text: modules, kernels, instructions and their operands, by name. The meaning of an instruction is not
// handled here but in decoder.cpp.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace poise::ptx {

// The exception for all errors: text that cannot be parsed, an unsupported instruction, an access that is invalid on a
// GPU. The message says where.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class RegisterClass : uint8_t { predicate, b16, b32, b64 };

struct Operand {
  enum class Kind : uint8_t {
    none,
    reg,      // a register, or two: r|p
    integer,  // bits of a literal
    real32,   // 0f...
    real64,   // 0d...
    symbol,   // a variable, a parameter or a label
    address,  // [register or symbol + offset]
    vector,   // {...}
  };
  Kind kind = Kind::none;
  bool negated = false;       // !p
  int reg = -1, second = -1;  // indices in KernelText::registers; for an address: its base, if that is a register
  uint64_t bits = 0;          // of a literal; for an address: the offset
  std::string symbol;
  std::vector<Operand> parts;  // of a vector
};

// The source line from which the compiler generated an instruction (-lineinfo): the innermost one.
struct SourceLine {
  int file = 0, line = 0;
};

struct InstructionText {
  std::string opcode;  // with all its modifiers: "mad.lo.s32"
  int guard = -1;      // a predicate register
  bool guard_negated = false;
  std::vector<Operand> operands;
  int line = 0;  // in the module
  SourceLine source;
  uint32_t used_bytes = 0;  // .pragma "used_bytes_mask" before a load, or 0
};

struct Variable {
  std::string name;
  size_t bytes = 0, alignment = 1;
  std::vector<unsigned char> initial;  // shorter than bytes: zeros follow
  bool unsized = false;                // extern .shared x[]
};

struct Parameter {
  std::string name;
  size_t offset = 0, bytes = 0;
};

struct KernelText {
  std::string name;
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  int max_threads = 0;  // .maxntid, product; 0: not given
  int min_blocks = 0;   // .minnctapersm
  std::vector<RegisterClass> registers;
  std::vector<std::string> register_names;
  std::vector<int> undeclared;  // registers without a declaration: the special ones, such as %tid.x
  std::vector<Variable> shared, local;
  std::vector<InstructionText> instructions;
  std::unordered_map<std::string, int> labels;  // index of the instruction that follows
};

// The text of one compilation unit. Kernels are parsed on first use.
class Module {
 public:
  explicit Module(std::string text);
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  std::vector<std::string> kernel_names() const;
  const KernelText& kernel(const std::string& name) const;

  const std::vector<Variable>& globals() const { return globals_; }
  const std::vector<Variable>& shared() const { return shared_; }  // declared outside of the kernels
  std::string file_name(int number) const;
  const std::string& text() const { return text_; }
  std::string text_of_line(int line) const;

 private:
  struct Body {
    size_t begin = 0;  // of the text after ".entry"
    int line = 0;
  };
  std::string text_;
  std::map<std::string, Body> bodies_;
  std::vector<Variable> globals_, shared_;
  std::map<int, std::string> files_;
  mutable std::map<std::string, std::unique_ptr<KernelText>> parsed_;
};

}  // namespace poise::ptx
