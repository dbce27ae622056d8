#include <algorithm>
#include <cctype>
#include <charconv>

#include "tests/ptx/interpreter/text.h"
#include "tests/ptx/interpreter/tokens.h"

namespace poise::ptx {
namespace {

size_t size_of_type(std::string_view type) {
  // .b8 .u16 .f32 .pred ...
  size_t bits = 0;
  const size_t digits = type.find_first_of("0123456789");
  if (digits == std::string_view::npos) throw Fault("PTX: expected a type but got \"" + std::string(type) + "\"");
  std::from_chars(type.data() + digits, type.data() + type.size(), bits);
  return bits / 8;
}

bool is_type(std::string_view word) {
  return word.size() >= 3 && word[0] == '.' && std::string_view("bsuf").find(word[1]) != std::string_view::npos &&
         std::isdigit(static_cast<unsigned char>(word[2])) != 0;
}

RegisterClass class_of(std::string_view type) {
  if (type == ".pred") return RegisterClass::predicate;
  switch (size_of_type(type)) {
    case 2:
      return RegisterClass::b16;
    case 4:
      return RegisterClass::b32;
    case 8:
      return RegisterClass::b64;
    default:
      throw Fault("PTX: no registers of type " + std::string(type) + " are known");
  }
}

// Parses "[.align N] .type name[N] [= {...}]", which follows .shared, .global, .local or .param.
Variable take_variable(Tokens& t) {
  Variable variable;
  size_t element = 0;
  while (!t.end() && t.current()[0] == '.') {
    const std::string_view word = t.take();
    if (word == ".align") {
      variable.alignment = static_cast<size_t>(t.take_integer());
    } else if (is_type(word)) {
      element = size_of_type(word);
      variable.alignment = std::max(variable.alignment, element);
    } else if (word != ".ptr" && word != ".global" && word != ".const") {
      t.fail("a type; nothing is known of " + std::string(word));
    }
  }
  variable.name = t.take();
  variable.bytes = element;
  if (t.skip("[")) {
    variable.unsized = t.is("]");
    variable.bytes = variable.unsized ? 0 : element * static_cast<size_t>(t.take_integer());
    t.expect("]");
  }
  if (t.skip("=")) {
    const bool list = t.skip("{");
    do {
      const bool negative = t.skip("-");
      const uint64_t bits = number(t.take(), negative).bits;
      for (size_t i = 0; i < element; ++i) variable.initial.push_back(static_cast<unsigned char>(bits >> 8 * i));
    } while (list && t.skip(","));
    if (list) t.expect("}");
  }
  return variable;
}

void skip_braces(Tokens& t) {
  int depth = 0;
  do {
    if (t.is("{")) ++depth;
    if (t.is("}")) --depth;
    t.take();
  } while (depth > 0);
}

class KernelParser {
 public:
  KernelParser(std::string_view text, size_t begin, int line) : t_(text, begin, line) {}

  std::unique_ptr<KernelText> parse() {
    kernel_->name = t_.take();
    parameters();
    while (!t_.is("{")) requirement();
    t_.expect("{");
    scopes_.emplace_back();
    while (!scopes_.empty()) statement();
    return std::move(kernel_);
  }

 private:
  struct Range {
    int first = 0, count = 0;
  };
  struct Scope {
    std::unordered_map<std::string, int> names;
    std::unordered_map<std::string, Range> ranges;  // %r<100> declares %r0 .. %r99
  };

  void parameters() {
    if (!t_.skip("(")) return;
    while (!t_.skip(")")) {
      t_.expect(".param");
      const Variable v = take_variable(t_);
      size_t& offset = kernel_->parameter_bytes;
      offset = (offset + v.alignment - 1) / v.alignment * v.alignment;
      kernel_->parameters.push_back({v.name, offset, v.bytes});
      offset += v.bytes;
      t_.skip(",");
    }
  }

  void requirement() {
    const std::string_view word = t_.take();
    if (word == ".maxntid") {
      kernel_->max_threads = static_cast<int>(t_.take_integer());
      while (t_.skip(",")) kernel_->max_threads *= static_cast<int>(t_.take_integer());
    } else if (word == ".minnctapersm") {
      kernel_->min_blocks = static_cast<int>(t_.take_integer());
    } else if (word == ".pragma") {
      while (!t_.skip(";")) t_.take();
    } else {
      t_.fail("\"{\"; no kernel with " + std::string(word) + " is known");
    }
  }

  void statement() {
    const std::string_view word = t_.current();
    if (t_.skip("{")) {
      scopes_.emplace_back();
    } else if (t_.skip("}")) {
      scopes_.pop_back();
    } else if (t_.skip(";")) {
      return;
    } else if (word == ".loc") {
      location(t_.take_rest_of_line());
    } else if (word == ".reg") {
      t_.take();
      registers();
    } else if (word == ".shared" || word == ".local") {
      t_.take();
      (word == ".shared" ? kernel_->shared : kernel_->local).push_back(take_variable(t_));
      t_.expect(";");
    } else if (word == ".pragma") {
      t_.take();
      pragma(t_.take());
      t_.expect(";");
    } else {
      label_or_instruction();
    }
  }

  void location(std::string_view rest) {  // .loc FILE LINE COLUMN ...
    std::sscanf(std::string(rest).c_str(), ".loc %d %d", &source_.file, &source_.line);
  }

  void pragma(std::string_view text) {
    constexpr std::string_view kUsed = "\"used_bytes_mask ";
    if (text.substr(0, kUsed.size()) != kUsed) return;
    used_bytes_ = static_cast<uint32_t>(std::atoi(std::string(text.substr(kUsed.size())).c_str()));
  }

  int add_register(RegisterClass c, const std::string& name) {
    kernel_->registers.push_back(c);
    kernel_->register_names.push_back(name);
    return static_cast<int>(kernel_->registers.size()) - 1;
  }

  void registers() {
    const RegisterClass c = class_of(t_.take());
    do {
      const std::string name(t_.take());
      if (t_.skip("<")) {
        const auto count = static_cast<int>(t_.take_integer());
        t_.expect(">");
        const int first = static_cast<int>(kernel_->registers.size());
        for (int i = 0; i < count; ++i) add_register(c, name + std::to_string(i));
        scopes_.back().ranges[name] = {first, count};
      } else {
        scopes_.back().names[name] = add_register(c, name);
      }
    } while (t_.skip(","));
    t_.expect(";");
  }

  // A register's index, or -1. Special registers (%tid.x) are added at their first use.
  int register_of(std::string_view word) {
    const std::string name(word);
    size_t digits = name.size();
    while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1])) != 0) --digits;
    for (size_t i = scopes_.size(); i-- > 0;) {
      const Scope& scope = scopes_[i];
      if (const auto found = scope.names.find(name); found != scope.names.end()) return found->second;
      if (digits == name.size()) continue;
      const auto range = scope.ranges.find(name.substr(0, digits));
      if (range == scope.ranges.end()) continue;
      const int index = std::atoi(name.c_str() + digits);
      if (index < range->second.count) return range->second.first + index;
    }
    if (word[0] != '%') return -1;
    kernel_->undeclared.push_back(add_register(RegisterClass::b32, name));
    return scopes_[0].names[name] = kernel_->undeclared.back();
  }

  Operand operand() {
    using Kind = Operand::Kind;
    Operand o;
    if (t_.skip("{")) {
      o.kind = Kind::vector;
      do o.parts.push_back(operand());
      while (t_.skip(","));
      t_.expect("}");
      return o;
    }
    if (t_.skip("[")) {
      o = operand();
      if (o.kind != Kind::reg && o.kind != Kind::symbol && o.kind != Kind::integer) t_.fail("an address");
      o.kind = Kind::address;
      if (t_.skip("+")) o.bits += static_cast<uint64_t>(t_.take_integer());
      t_.expect("]");
      return o;
    }
    o.negated = t_.skip("!");
    const bool minus = t_.skip("-");
    const std::string_view word = t_.take();
    if (is_number(word)) {
      const bool negated = o.negated;
      o = number(word, minus);
      o.negated = negated;
      return o;
    }
    o.reg = register_of(word);
    if (o.reg < 0) {
      o.kind = Kind::symbol;
      o.symbol = word;
      return o;
    }
    o.kind = Kind::reg;
    if (t_.skip("|")) o.second = register_of(t_.take());
    return o;
  }

  void label_or_instruction() {
    InstructionText i{.line = t_.line(), .source = source_};
    if (t_.skip("@")) {
      i.guard_negated = t_.skip("!");
      i.guard = register_of(t_.take());
    }
    i.opcode = t_.take();
    if (t_.skip(":")) {
      kernel_->labels[i.opcode] = static_cast<int>(kernel_->instructions.size());
      return;
    }
    while (!t_.skip(";")) {
      i.operands.push_back(operand());
      if (!t_.is(";")) t_.expect(",");
    }
    i.used_bytes = used_bytes_;
    used_bytes_ = 0;
    kernel_->instructions.push_back(std::move(i));
  }

  Tokens t_;
  std::unique_ptr<KernelText> kernel_ = std::make_unique<KernelText>();
  std::vector<Scope> scopes_;
  SourceLine source_;
  uint32_t used_bytes_ = 0;
};

}  // namespace

Module::Module(std::string text) : text_(std::move(text)) {
  Tokens t(text_, 0, 1);
  while (!t.end()) {
    const std::string_view word = t.current();
    if (word == ".version" || word == ".target" || word == ".address_size") {
      t.take_rest_of_line();
    } else if (word == ".file") {
      const std::string rest(t.take_rest_of_line());  // .file 1 "path"
      const size_t quote = rest.find('"');
      files_[std::atoi(rest.c_str() + 5)] = rest.substr(quote + 1, rest.rfind('"') - quote - 1);
    } else if (word == ".section") {
      while (!t.is("{")) t.take();
      skip_braces(t);
    } else if (word == ".entry") {
      t.take();
      const Body body{t.position(), t.line()};
      bodies_[std::string(t.take())] = body;
      while (!t.is("{")) t.take();
      skip_braces(t);
    } else if (word == ".global" || word == ".const" || word == ".shared") {
      t.take();
      (word == ".shared" ? shared_ : globals_).push_back(take_variable(t));
      t.expect(";");
    } else if (word == ".extern" || word == ".visible" || word == ".weak" || t.is(";")) {
      t.take();
    } else {
      t.fail("a kernel or a variable; a module");
    }
  }
}

std::vector<std::string> Module::kernel_names() const {
  std::vector<std::string> names;
  for (const auto& [name, body] : bodies_) names.push_back(name);
  return names;
}

const KernelText& Module::kernel(const std::string& name) const {
  auto& kernel = parsed_[name];
  if (!kernel) {
    const auto body = bodies_.find(name);
    if (body == bodies_.end()) throw Fault("PTX: no kernel " + name);
    kernel = KernelParser(text_, body->second.begin, body->second.line).parse();
  }
  return *kernel;
}

std::string Module::file_name(int number) const {
  const auto found = files_.find(number);
  return found == files_.end() ? "" : found->second;
}

std::string Module::text_of_line(int line) const {
  size_t begin = 0;
  for (; line > 1 && begin != std::string::npos; --line) begin = text_.find('\n', begin) + 1;
  std::string text = text_.substr(begin, text_.find('\n', begin) - begin);
  std::replace(text.begin(), text.end(), '\t', ' ');
  return text.substr(std::min(text.size(), text.find_first_not_of(' ')));
}

}  // namespace poise::ptx
