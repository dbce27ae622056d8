// The supported instructions. Those that work lane by lane are in a table: opcode, operands, function. Each group of
// other instructions has a decoder.
#pragma once
#include "tests/ptx/interpreter/lanes.h"

namespace poise::ptx {

// One letter per operand, the destination first: p predicate, h 16 bits, w 32, l 64.
template <class T>
constexpr char letter_of() {
  return sizeof(T) == 8 ? 'l' : sizeof(T) == 4 ? 'w' : 'h';
}

struct Form {
  Handler some = nullptr, all = nullptr;
  Kind kind = Kind::other;
  std::string operands;
};

class Forms {
 public:
  Forms();
  const Form* find(const std::string& opcode) const {
    const auto found = forms_.find(opcode);
    return found == forms_.end() ? nullptr : &found->second;
  }

  // D and S are the types of the destination and the sources. F is a lambda without captures.
  template <class D, class... S, class F>
  void add(Kind kind, const std::string& opcode, F) {
    Form form{each_lane<false, F, D, S...>, each_lane<true, F, D, S...>, kind, {}};
    form.operands += letter_of<D>();
    ((form.operands += letter_of<S>()), ...);
    forms_[opcode] = form;
  }
  template <class S, class F>
  void add_comparison(const std::string& opcode, F) {
    forms_[opcode] = {each_lane_compares<false, F, S>,
                      each_lane_compares<true, F, S>,
                      Kind::predicate,
                      {'p', letter_of<S>(), letter_of<S>()}};
  }
  void add_handler(Kind kind, const std::string& opcode, const char* operands, Handler handler) {
    forms_[opcode] = {handler, handler, kind, operands};
  }

 private:
  std::unordered_map<std::string, Form> forms_;
};

// Appended to the opcode of a conversion that reads the low part of a 64-bit register.
constexpr const char* kFromWider = " from a wider register";

void add_integer_forms(Forms& forms);
void add_real_forms(Forms& forms);
void add_conversions(Forms& forms);
void add_comparisons(Forms& forms);

// The interface that decoders use. It allocates the place of an operand on request.
class Decoding {
 public:
  virtual ~Decoding() = default;
  virtual uint32_t place(const Operand& operand, char letter) = 0;
  virtual RegisterClass class_of(const Operand& operand) const = 0;
  virtual void set_address(const Operand& operand, Instruction& i) = 0;
  virtual uint32_t add_list(const std::vector<uint32_t>& places) = 0;
  virtual int label(const Operand& operand) const = 0;
  [[noreturn]] virtual void refuse(const std::string& why) const = 0;
};

// An opcode, whole and split into its parts. Each decoder below handles some opcodes and returns false for all others.
struct Opcode {
  std::string whole;
  std::vector<std::string> parts;
  bool has(const char* part) const {
    for (const std::string& p : parts) {
      if (p == part) return true;
    }
    return false;
  }
};
bool decode_memory(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i);
bool decode_async_copy(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i);
bool decode_collective(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i);
bool decode_tensor_core(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i);
bool decode_control(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i);
bool decode_move(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i);

}  // namespace poise::ptx
