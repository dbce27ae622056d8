// Loads, stores, atomic operations, addresses and fences.
#include <algorithm>
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

// E is the element type in memory, D the type in the register.
template <class E, class D>
void load(Warp& w, const Instruction& i, uint32_t mask) {
  Places places;
  resolve(w, i, mask, Access::load, places);
  const uint32_t* to = &w.block->launch->program->operands[i.list];
  const uint32_t count = i.bytes / sizeof(E);
  for (uint32_t n = 0; n < count; ++n) {
    Stored<D>* lanes = w.lanes<Stored<D>>(to[n]);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!has(mask, lane)) continue;
      E value;
      std::memcpy(&value, places.at[lane] + n * sizeof(E), sizeof(E));
      lanes[lane] = stored<D>(static_cast<D>(value));
    }
  }
}

template <class E, class D>
void store(Warp& w, const Instruction& i, uint32_t mask) {
  Places places;
  resolve(w, i, mask, Access::store, places);
  const uint32_t* from = &w.block->launch->program->operands[i.list];
  const uint32_t count = i.bytes / sizeof(E);
  for (uint32_t n = 0; n < count; ++n) {
    const Stored<D>* lanes = w.lanes<Stored<D>>(from[n]);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!has(mask, lane)) continue;
      const auto value = static_cast<E>(lanes[lane]);
      std::memcpy(places.at[lane] + n * sizeof(E), &value, sizeof(E));
    }
  }
}

// One lane after the other. Kernels must not depend on the order, as the hardware does not guarantee one.
template <class T, class F>
void atomic(Warp& w, const Instruction& i, uint32_t mask) {
  Places places;
  resolve(w, i, mask, Access::store, places);
  Stored<T>* old = w.lanes<Stored<T>>(i.d);
  const Stored<T>*b = w.lanes<Stored<T>>(i.b), *c = w.lanes<Stored<T>>(i.c);
  const bool backwards = w.block->launch->options.order == Order::descending;
  for (int n = 0; n < kLanes; ++n) {
    const int lane = backwards ? kLanes - 1 - n : n;
    if (!has(mask, lane)) continue;
    T value;
    std::memcpy(&value, places.at[lane], sizeof value);
    const T next = F{}(value, get<T>(b, lane), get<T>(c, lane));
    std::memcpy(places.at[lane], &next, sizeof next);
    old[lane] = stored<T>(value);
  }
}

template <class T>
Handler atomic_handler(const std::string& operation) {
  const auto is = [&](const char* name) { return operation == name; };
  if (is("add")) return atomic<T, decltype([](T a, T b, T) { return static_cast<T>(a + b); })>;
  if (is("min")) return atomic<T, decltype([](T a, T b, T) { return std::min(a, b); })>;
  if (is("max")) return atomic<T, decltype([](T a, T b, T) { return std::max(a, b); })>;
  if (is("exch")) return atomic<T, decltype([](T, T b, T) { return b; })>;
  if (is("and")) return atomic<T, decltype([](T a, T b, T) { return static_cast<T>(a & b); })>;
  if (is("or")) return atomic<T, decltype([](T a, T b, T) { return static_cast<T>(a | b); })>;
  if (is("xor")) return atomic<T, decltype([](T a, T b, T) { return static_cast<T>(a ^ b); })>;
  if (is("cas")) return atomic<T, decltype([](T a, T b, T c) { return a == b ? c : a; })>;
  return nullptr;
}

Handler atomic_handler(const std::string& operation, const std::string& type) {
  if (type == "s32") return atomic_handler<int32_t>(operation);
  if (type == "u32" || type == "b32") return atomic_handler<uint32_t>(operation);
  if (type == "s64") return atomic_handler<int64_t>(operation);
  if (type == "u64" || type == "b64") return atomic_handler<uint64_t>(operation);
  return nullptr;  // floating-point atomics are not supported: their order would decide the bits
}

void add_offset(Warp& w, const Instruction& i, uint32_t mask) {
  const uint64_t* from = w.lanes<uint64_t>(i.a);
  uint64_t* to = w.lanes<uint64_t>(i.d);
  for (int lane = 0; lane < kLanes; ++lane) to[lane] = has(mask, lane) ? from[lane] + i.offset : to[lane];
}

void nothing(Warp&, const Instruction&, uint32_t) {}

using LoadAndStore = std::pair<Handler, Handler>;
template <class E>
LoadAndStore by_register(RegisterClass c) {
  if (c == RegisterClass::b16)
    return {load<E, std::conditional_t<std::is_signed_v<E>, int16_t, uint16_t>>,
            store<std::make_unsigned_t<E>, uint16_t>};
  if (c == RegisterClass::b32)
    return {load<E, std::conditional_t<std::is_signed_v<E>, int32_t, uint32_t>>,
            store<std::make_unsigned_t<E>, uint32_t>};
  return {load<E, std::conditional_t<std::is_signed_v<E>, int64_t, uint64_t>>,
          store<std::make_unsigned_t<E>, uint64_t>};
}
LoadAndStore handlers_of(const std::string& type, RegisterClass c) {
  if (type == "s8") return by_register<int8_t>(c);
  if (type == "u8" || type == "b8") return by_register<uint8_t>(c);
  if (type == "s16") return by_register<int16_t>(c);
  if (type == "u16" || type == "b16") return by_register<uint16_t>(c);
  if (type == "s32") return by_register<int32_t>(c);
  if (type == "u32" || type == "b32" || type == "f32") return by_register<uint32_t>(c);
  if (type == "s64" || type == "u64" || type == "b64" || type == "f64") return by_register<uint64_t>(c);
  return {};
}

uint32_t bytes_of(const std::string& type) { return static_cast<uint32_t>(std::atoi(type.c_str() + 1)) / 8; }

char letter_for(RegisterClass c) { return c == RegisterClass::b64 ? 'l' : c == RegisterClass::b32 ? 'w' : 'h'; }

// Modifiers of the memory order, scope and caching of an access. Here every access is visible to all threads at once.
bool is_about_order(const std::string& part) {
  for (const char* word : {"volatile", "relaxed", "acquire", "release", "acq_rel", "weak", "gpu", "cta", "sys", "nc",
                           "ca", "cg", "cs", "lu", "cv", "wb", "wt", "L1::no_allocate", "L2::128B"}) {
    if (part == word) return true;
  }
  return false;
}

std::optional<Space> space_of(const std::string& part) {
  if (part == "global" || part == "const") return Space::global;
  if (part == "shared" || part == "shared::cta") return Space::shared;
  if (part == "param") return Space::parameter;
  if (part == "local") return Space::local;
  return std::nullopt;
}

Kind kind_of(Space space, bool is_load) {
  switch (space) {
    case Space::parameter:
      return Kind::parameter;
    case Space::shared:
      return is_load ? Kind::shared_load : Kind::shared_store;
    case Space::local:
      return Kind::local;
    default:
      return is_load ? Kind::global_load : Kind::global_store;
  }
}

uint32_t used_of(uint32_t bytes, uint32_t mask) {
  return mask == 0 ? bytes : std::min(bytes, 32 - static_cast<uint32_t>(std::countl_zero(mask)));
}

void decode_load_or_store(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const bool is_load = opcode.parts[0] == "ld";
  uint32_t count = 1;
  for (size_t n = 1; n + 1 < opcode.parts.size(); ++n) {
    const std::string& part = opcode.parts[n];
    if (const auto space = space_of(part)) {
      i.space = *space;
    } else if (part == "v2" || part == "v4") {
      count = part == "v2" ? 2 : 4;
    } else if (!is_about_order(part)) {
      d.refuse("." + part + " is not known");
    }
  }
  const std::string& type = opcode.parts.back();
  if (text.operands.size() != 2) d.refuse("expected two operands");
  const Operand& address = text.operands[is_load ? 1 : 0];
  const Operand& values = text.operands[is_load ? 0 : 1];
  std::vector<Operand> parts = values.kind == Operand::Kind::vector ? values.parts : std::vector{values};
  if (parts.size() != count) d.refuse("expected as many operands as elements");
  const RegisterClass c = parts[0].kind == Operand::Kind::reg ? d.class_of(parts[0])
                          : bytes_of(type) == 8               ? RegisterClass::b64
                                                              : RegisterClass::b32;
  const auto [loader, storer] = handlers_of(type, c);
  i.some = i.all = is_load ? loader : storer;
  if (!i.some) d.refuse("no accesses to ." + type + " are known");
  std::vector<uint32_t> places;
  for (const Operand& part : parts) places.push_back(d.place(part, letter_for(c)));
  i.list = d.add_list(places);
  i.kind = kind_of(i.space, is_load);
  i.bytes = bytes_of(type) * count;
  i.used_bytes = used_of(i.bytes, text.used_bytes);
  d.set_address(address, i);
}

void decode_atomic(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const bool has_result = opcode.parts[0] == "atom";
  std::string operation;
  for (size_t n = 1; n + 1 < opcode.parts.size(); ++n) {
    if (const auto space = space_of(opcode.parts[n])) {
      i.space = *space;
    } else if (!is_about_order(opcode.parts[n])) {
      operation = opcode.parts[n];
    }
  }
  const std::string& type = opcode.parts.back();
  i.some = i.all = atomic_handler(operation, type);
  if (!i.some) d.refuse("no atomic " + operation + " of ." + type + " is known");
  const char letter = bytes_of(type) == 8 ? 'l' : 'w';
  const size_t first = has_result ? 1 : 0;
  if (text.operands.size() < first + 2) d.refuse("expected an address and a value");
  i.d = d.place(has_result ? text.operands[0] : Operand{.kind = Operand::Kind::symbol, .symbol = "_"}, letter);
  i.b = d.place(text.operands[first + 1], letter);
  i.c = text.operands.size() > first + 2 ? d.place(text.operands[first + 2], letter) : i.b;
  i.kind = Kind::atomic;
  i.bytes = i.used_bytes = bytes_of(type);
  d.set_address(text.operands[first], i);
}

}  // namespace

bool decode_memory(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const std::string& name = opcode.parts[0];
  if (name == "ld" || name == "st") {
    decode_load_or_store(d, opcode, text, i);
    return true;
  }
  if (name == "atom" || name == "red") {
    decode_atomic(d, opcode, text, i);
    return true;
  }
  if (name == "membar" || name == "fence" || name == "nanosleep") {
    i.some = i.all = nothing;
    i.kind = Kind::other;
    return true;
  }
  if (name == "cvta") {
    const bool to = opcode.has("to");
    const uint64_t window = opcode.has("shared") ? kSharedWindow : opcode.has("local") ? kLocalWindow : 0;
    if (window == 0 && !opcode.has("global")) d.refuse("expected .global, .shared or .local");
    i.some = i.all = add_offset;
    i.kind = Kind::move;
    i.d = d.place(text.operands.at(0), 'l');
    i.a = d.place(text.operands.at(1), 'l');
    i.offset = to ? ~window + 1 : window;
    return true;
  }
  return false;
}

}  // namespace poise::ptx
