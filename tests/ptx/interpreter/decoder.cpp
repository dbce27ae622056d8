#include <algorithm>
#include <map>

#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

const Forms& forms() {
  static const Forms table;
  return table;
}

const std::unordered_map<std::string, Special>& specials() {
  using S = Special;
  static const std::unordered_map<std::string, Special> table = {{"%tid.x", S::tid_x},
                                                                 {"%tid.y", S::tid_y},
                                                                 {"%tid.z", S::tid_z},
                                                                 {"%ntid.x", S::ntid_x},
                                                                 {"%ntid.y", S::ntid_y},
                                                                 {"%ntid.z", S::ntid_z},
                                                                 {"%ctaid.x", S::ctaid_x},
                                                                 {"%ctaid.y", S::ctaid_y},
                                                                 {"%ctaid.z", S::ctaid_z},
                                                                 {"%nctaid.x", S::nctaid_x},
                                                                 {"%nctaid.y", S::nctaid_y},
                                                                 {"%nctaid.z", S::nctaid_z},
                                                                 {"%laneid", S::laneid},
                                                                 {"%warpid", S::warpid},
                                                                 {"%lanemask_eq", S::lanemask_eq},
                                                                 {"%lanemask_le", S::lanemask_le},
                                                                 {"%lanemask_lt", S::lanemask_lt},
                                                                 {"%lanemask_ge", S::lanemask_ge},
                                                                 {"%lanemask_gt", S::lanemask_gt}};
  return table;
}

Opcode opcode_of(const std::string& whole) {
  Opcode opcode{whole, {}};
  for (size_t begin = 0; begin <= whole.size();) {
    const size_t end = std::min(whole.find('.', begin), whole.size());
    opcode.parts.push_back(whole.substr(begin, end - begin));
    begin = end + 1;
  }
  return opcode;
}

class Decoder final : public Decoding {
 public:
  Decoder(const Module& module, const KernelText& text, const GlobalAddresses& globals)
      : module_(module), text_(text), globals_(globals) {
    program_.name = text.name;
    program_.module = &module;
    program_.text = &text;
  }

  Program decode() {
    lay_out_registers();
    lay_out_shared();
    for (const Variable& v : text_.local) lay_out(v, program_.local_bytes, local_);
    program_.operands.push_back(0);  // so that a list is never 0
    for (const InstructionText& i : text_.instructions) {
      current_ = &i;
      program_.code.push_back(decode(i));
    }
    const InstructionText end{"ret", -1, false, {}, 0, {}, 0};
    current_ = &end;
    program_.code.push_back(decode(end));
    find_reconvergence(program_);
    return std::move(program_);
  }

  uint32_t place(const Operand& operand, char letter) override {
    using Kind = Operand::Kind;
    if (operand.negated) refuse("an operand with ! is not known here");
    switch (operand.kind) {
      case Kind::reg:
        if (operand.second >= 0) refuse("two destinations are not known here");
        return register_place(operand.reg, letter);
      case Kind::integer:
      case Kind::real32:
      case Kind::real64:
        return constant(letter, literal(operand, letter));
      case Kind::symbol:
        if (operand.symbol == "_") return sink(letter);
        return constant(letter, address_of(operand.symbol));
      default:
        refuse("expected a register or a number");
    }
  }

  RegisterClass class_of(const Operand& operand) const override {
    return text_.registers[static_cast<size_t>(operand.reg)];
  }

  void set_address(const Operand& operand, Instruction& i) override {
    if (operand.kind != Operand::Kind::address) refuse("expected an address");
    i.offset = operand.bits;
    if (operand.reg >= 0) {
      i.wide_address = class_of(operand) == RegisterClass::b64;
      i.a = register_place(operand.reg, i.wide_address ? 'l' : 'w');
      return;
    }
    i.wide_address = true;
    if (!operand.symbol.empty()) i.offset += address_of(operand.symbol);
    i.a = constant('l', 0);
  }

  uint32_t add_list(const std::vector<uint32_t>& places) override {
    const auto first = static_cast<uint32_t>(program_.operands.size());
    program_.operands.insert(program_.operands.end(), places.begin(), places.end());
    return first;
  }

  int label(const Operand& operand) const override {
    const auto found = text_.labels.find(operand.symbol);
    if (found == text_.labels.end()) refuse("no such label");
    return found->second;
  }

  [[noreturn]] void refuse(const std::string& why) const override {
    throw Fault("PTX line " + std::to_string(current_->line) + ": " + why + ": " +
                module_.text_of_line(current_->line) + " (in " + text_.name + ")");
  }

 private:
  uint32_t reserve(RegisterClass c) {
    const uint32_t bytes = c == RegisterClass::predicate ? 4 : c == RegisterClass::b64 ? 256 : 128;
    const uint32_t place =
        (program_.file_bytes + std::min(bytes, 64u) - 1) / std::min(bytes, 64u) * std::min(bytes, 64u);
    program_.file_bytes = place + bytes;
    return place;
  }

  void lay_out_registers() {
    places_.resize(text_.registers.size());
    // Predicates first: they are small.
    for (const bool predicates : {true, false}) {
      for (size_t r = 0; r < places_.size(); ++r) {
        if ((text_.registers[r] == RegisterClass::predicate) == predicates) places_[r] = reserve(text_.registers[r]);
      }
    }
    for (const int r : text_.undeclared) {
      const std::string& name = text_.register_names[static_cast<size_t>(r)];
      const auto found = specials().find(name);
      if (found == specials().end())
        throw Fault("PTX: the register " + name + " is neither declared nor a special one that is known");
      program_.specials.emplace_back(places_[static_cast<size_t>(r)], found->second);
    }
  }

  void lay_out(const Variable& v, size_t& end, std::unordered_map<std::string, uint64_t>& where) {
    end = (end + v.alignment - 1) / v.alignment * v.alignment;
    where[v.name] = end;
    end += v.bytes;
  }
  void lay_out_shared() {
    size_t end = 0, alignment = 16;
    for (const auto* list : {&text_.shared, &module_.shared()}) {
      for (const Variable& v : *list) {
        if (!v.unsized) lay_out(v, end, shared_);
        if (v.unsized) alignment = std::max(alignment, v.alignment);
      }
    }
    program_.static_shared_bytes = end;
    program_.dynamic_shared_begin = (end + alignment - 1) / alignment * alignment;
    for (const auto* list : {&text_.shared, &module_.shared()}) {
      for (const Variable& v : *list) {
        if (v.unsized) shared_[v.name] = program_.dynamic_shared_begin;
      }
    }
  }

  uint64_t address_of(const std::string& symbol) const {
    for (const auto* table : {&shared_, &local_, &globals_}) {
      if (const auto found = table->find(symbol); found != table->end()) return found->second;
    }
    for (const Parameter& p : text_.parameters) {
      if (p.name == symbol) return p.offset;
    }
    refuse("nothing is called " + symbol);
  }

  uint32_t register_place(int reg, char letter) const {
    const RegisterClass c = text_.registers[static_cast<size_t>(reg)];
    const bool fits = letter == 'p'   ? c == RegisterClass::predicate
                      : letter == 'l' ? c == RegisterClass::b64
                      : letter == 'h' ? c == RegisterClass::b16 || c == RegisterClass::b32
                                      : c == RegisterClass::b32 || c == RegisterClass::b16;
    if (!fits) refuse("register " + text_.register_names[static_cast<size_t>(reg)] + " has the wrong width");
    return places_[static_cast<size_t>(reg)];
  }

  uint64_t literal(const Operand& operand, char letter) const {
    if (operand.kind == Operand::Kind::real32 && letter != 'w') refuse("a number of 32 bits does not fit here");
    if (operand.kind == Operand::Kind::real64 && letter != 'l') refuse("a number of 64 bits does not fit here");
    if (letter == 'p') return operand.bits != 0 ? kAll : 0;
    return letter == 'h' ? operand.bits & 0xffff : letter == 'w' ? operand.bits & kAll : operand.bits;
  }

  uint32_t constant(char letter, uint64_t bits) {
    const auto key = std::pair(letter == 'h' ? 'w' : letter, bits);
    const auto found = constants_.find(key);
    if (found != constants_.end()) return found->second;
    const RegisterClass c = letter == 'p'   ? RegisterClass::predicate
                            : letter == 'l' ? RegisterClass::b64
                                            : RegisterClass::b32;
    const uint32_t at = reserve(c);
    program_.constants.push_back({at, c, bits});
    return constants_[key] = at;
  }

  uint32_t sink(char letter) {
    return reserve(letter == 'p' ? RegisterClass::predicate : letter == 'l' ? RegisterClass::b64 : RegisterClass::b32);
  }

  Instruction decode(const InstructionText& text) {
    Instruction i;
    if (text.guard >= 0) i.guard = register_place(text.guard, 'p');
    i.guard_negated = text.guard_negated;
    const Opcode opcode = opcode_of(text.opcode);
    for (const auto decoder :
         {decode_move, decode_memory, decode_async_copy, decode_collective, decode_tensor_core, decode_control}) {
      if (decoder(*this, opcode, text, i)) return i;
    }
    const Form* form = forms().find(text.opcode);
    const bool wide = form && form->kind == Kind::conversion && form->operands.back() != 'l' &&
                      text.operands.back().reg >= 0 && class_of(text.operands.back()) == RegisterClass::b64;
    if (wide) form = forms().find(text.opcode + kFromWider);
    if (!form) refuse(text.opcode + " is not known to the interpreter");
    if (form->operands.size() != text.operands.size()) refuse("the number of operands is not as expected");
    uint32_t* const to[] = {&i.d, &i.a, &i.b, &i.c, &i.e};
    for (size_t n = 0; n < text.operands.size(); ++n) *to[n] = place(text.operands[n], form->operands[n]);
    i.some = form->some;
    i.all = form->all;
    i.kind = form->kind;
    return i;
  }

  const Module& module_;
  const KernelText& text_;
  const GlobalAddresses& globals_;
  Program program_;
  const InstructionText* current_ = nullptr;
  std::vector<uint32_t> places_;
  std::unordered_map<std::string, uint64_t> shared_, local_;
  std::map<std::pair<char, uint64_t>, uint32_t> constants_;
};

}  // namespace

Forms::Forms() {
  add_integer_forms(*this);
  add_real_forms(*this);
  add_conversions(*this);
  add_comparisons(*this);
}

const char* name_of(Kind kind) {
  constexpr const char* kNames[] = {
      "integer",   "fp32",        "fp64",         "special",      "conversion",   "predicate", "move",
      "parameter", "global load", "global store", "shared load",  "shared store", "local",     "atomic",
      "cp.async",  "ldmatrix",    "mma",          "shuffle/vote", "barrier",      "branch",    "other"};
  return kNames[static_cast<int>(kind)];
}

Program decode(const Module& module, const std::string& kernel, const GlobalAddresses& globals) {
  return Decoder(module, module.kernel(kernel), globals).decode();
}

std::string place_of(const Program& program, int pc) {
  if (pc < 0 || pc >= static_cast<int>(program.text->instructions.size())) return "the end";
  const InstructionText& i = program.text->instructions[static_cast<size_t>(pc)];
  std::string where = program.module->file_name(i.source.file);
  where = where.empty() ? "PTX line " + std::to_string(i.line) : where + ":" + std::to_string(i.source.line);
  return where + ": " + program.module->text_of_line(i.line);
}

}  // namespace poise::ptx
