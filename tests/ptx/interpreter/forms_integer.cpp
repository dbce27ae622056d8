// Integer arithmetic and logic. Sums wrap around; shifts by more than the width yield zeros or sign bits, as PTX says.
#include <algorithm>

#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// The upper half of a product.
template <class T>
T high_half(T a, T b) {
  if constexpr (sizeof(T) == 8) {
    using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    return static_cast<T>((static_cast<Wide>(a) * b) >> 64);
  } else {
    using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    return static_cast<T>((static_cast<Wide>(a) * b) >> 8 * sizeof(T));
  }
}

// As on a GPU, division by zero yields all ones, and the one quotient that does not fit (minimum / -1) wraps around.
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return static_cast<T>(-static_cast<Unsigned<T>>(a));
  return static_cast<T>(a / b);
}
template <class T>
T remainder_of(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return static_cast<T>(a % b);
}

template <class T>
void add_arithmetic(Forms& f, const std::string& type) {
  using U = Unsigned<T>;
  const auto add = [&](const char* name, auto op) { f.add<T, T, T>(Kind::integer, name + type, op); };
  add("add.", [](T a, T b) { return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b))); });
  add("sub.", [](T a, T b) { return static_cast<T>(static_cast<U>(static_cast<U>(a) - static_cast<U>(b))); });
  add("mul.lo.", [](T a, T b) { return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)); });
  add("mul.hi.", [](T a, T b) { return high_half(a, b); });
  add("div.", [](T a, T b) { return quotient(a, b); });
  add("rem.", [](T a, T b) { return remainder_of(a, b); });
  add("min.", [](T a, T b) { return std::min(a, b); });
  add("max.", [](T a, T b) { return std::max(a, b); });
  f.add<T, T>(Kind::move, "mov." + type, [](T a) { return a; });
  f.add<T, T, T, T>(Kind::integer, "mad.lo." + type, [](T a, T b, T c) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) + static_cast<uint64_t>(c));
  });
  f.add<T, T, uint32_t>(Kind::integer, "shr." + type, [](T a, uint32_t n) {
    constexpr uint32_t kMost = sizeof(T) * 8 - 1;
    if (n > kMost) return static_cast<T>(std::is_signed_v<T> ? a >> kMost : 0);
    return static_cast<T>(a >> n);
  });
  if constexpr (std::is_signed_v<T>) {
    f.add<T, T>(Kind::integer, "neg." + type, [](T a) { return static_cast<T>(-static_cast<U>(a)); });
    f.add<T, T>(Kind::integer, "abs." + type, [](T a) { return a < 0 ? static_cast<T>(-static_cast<U>(a)) : a; });
  }
}

// With a destination of twice the width: d = a b, d = a b + c.
template <class Wide, class T>
void add_wide(Forms& f, const std::string& type) {
  using U = Unsigned<Wide>;
  f.add<Wide, T, T>(Kind::integer, "mul.wide." + type,
                    [](T a, T b) { return static_cast<Wide>(static_cast<Wide>(a) * static_cast<Wide>(b)); });
  f.add<Wide, T, T, Wide>(Kind::integer, "mad.wide." + type, [](T a, T b, Wide c) {
    return static_cast<Wide>(static_cast<U>(static_cast<Wide>(a) * static_cast<Wide>(b)) + static_cast<U>(c));
  });
}

template <class T>
void add_logic(Forms& f, const std::string& type) {
  const auto add = [&](const char* name, auto op) { f.add<T, T, T>(Kind::integer, name + type, op); };
  add("and.", [](T a, T b) { return static_cast<T>(a & b); });
  add("or.", [](T a, T b) { return static_cast<T>(a | b); });
  add("xor.", [](T a, T b) { return static_cast<T>(a ^ b); });
  f.add<T, T>(Kind::integer, "not." + type, [](T a) { return static_cast<T>(~a); });
  f.add<T, T>(Kind::move, "mov." + type, [](T a) { return a; });
  f.add<T, T, uint32_t>(Kind::integer, "shl." + type,
                        [](T a, uint32_t n) { return n >= sizeof(T) * 8 ? T{0} : static_cast<T>(a << n); });
  f.add<T, T, uint32_t>(Kind::integer, "shr." + type,
                        [](T a, uint32_t n) { return n >= sizeof(T) * 8 ? T{0} : static_cast<T>(a >> n); });
}

template <class T>
T reversed(T a) {
  T result = 0;
  for (size_t i = 0; i < sizeof(T) * 8; ++i) result |= (a >> i & 1) << (sizeof(T) * 8 - 1 - i);
  return result;
}

// Inserts the low `count` bits of a into b at bit `first`.
template <class T>
T inserted(T a, T b, uint32_t first, uint32_t count) {
  constexpr uint32_t kBits = sizeof(T) * 8;
  first &= 0xff, count &= 0xff;
  if (first >= kBits || count == 0) return b;
  const T ones = count >= kBits ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << count) - 1);
  const T mask = static_cast<T>(ones << first);
  return static_cast<T>((b & ~mask) | (a << first & mask));
}

template <class T>
void add_bits(Forms& f, const std::string& type) {
  f.add<uint32_t, T>(Kind::integer, "popc." + type, [](T a) { return static_cast<uint32_t>(std::popcount(a)); });
  f.add<uint32_t, T>(Kind::integer, "clz." + type, [](T a) { return static_cast<uint32_t>(std::countl_zero(a)); });
  f.add<T, T>(Kind::integer, "brev." + type, [](T a) { return reversed(a); });
  f.add<T, T, T, uint32_t, uint32_t>(Kind::integer, "bfi." + type, [](T a, T b, uint32_t first, uint32_t count) {
    return inserted(a, b, first, count);
  });
}

template <class T>
T extracted(T a, uint32_t first, uint32_t count) {
  first &= 0xff, count &= 0xff;
  constexpr uint32_t kBits = sizeof(T) * 8;
  using U = Unsigned<T>;
  if (count == 0) return 0;
  const bool sign = std::is_signed_v<T> && (static_cast<U>(a) >> std::min(first + count - 1, kBits - 1) & 1) != 0;
  U result = first >= kBits ? 0 : static_cast<U>(a) >> first;
  const uint32_t present = first >= kBits ? 0 : std::min(count, kBits - first);
  if (present < kBits) result &= (U{1} << present) - 1;
  if (sign && present < kBits) result |= ~U{0} << present;
  return static_cast<T>(result);
}

uint32_t permuted(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t s = selector >> 4 * i & 0xf;
    uint32_t byte = bytes >> 8 * (s & 7) & 0xff;
    if ((s & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
    result |= byte << 8 * i;
  }
  return result;
}

}  // namespace

void add_integer_forms(Forms& f) {
  add_arithmetic<int16_t>(f, "s16");
  add_arithmetic<uint16_t>(f, "u16");
  add_arithmetic<int32_t>(f, "s32");
  add_arithmetic<uint32_t>(f, "u32");
  add_arithmetic<int64_t>(f, "s64");
  add_arithmetic<uint64_t>(f, "u64");
  add_wide<int32_t, int16_t>(f, "s16");
  add_wide<uint32_t, uint16_t>(f, "u16");
  add_wide<int64_t, int32_t>(f, "s32");
  add_wide<uint64_t, uint32_t>(f, "u32");
  add_logic<uint16_t>(f, "b16");
  add_logic<uint32_t>(f, "b32");
  add_logic<uint64_t>(f, "b64");
  add_bits<uint32_t>(f, "b32");
  add_bits<uint64_t>(f, "b64");
  f.add<uint32_t, uint32_t>(Kind::integer, "bfind.u32", [](uint32_t a) {
    return a == 0 ? kAll : 31u - static_cast<uint32_t>(std::countl_zero(a));
  });
  f.add<uint32_t, uint32_t>(Kind::integer, "bfind.shiftamt.u32",
                            [](uint32_t a) { return a == 0 ? kAll : static_cast<uint32_t>(std::countl_zero(a)); });
  f.add<uint32_t, uint32_t, uint32_t>(Kind::integer, "bmsk.clamp.b32", [](uint32_t first, uint32_t count) {
    return first >= 32 ? 0u : (count >= 32 ? kAll : (1u << count) - 1) << first;
  });
  f.add<uint32_t, uint32_t, uint32_t, uint32_t>(
      Kind::integer, "bfe.u32", [](uint32_t a, uint32_t first, uint32_t count) { return extracted(a, first, count); });
  f.add<int32_t, int32_t, uint32_t, uint32_t>(
      Kind::integer, "bfe.s32", [](int32_t a, uint32_t first, uint32_t count) { return extracted(a, first, count); });
  f.add<uint32_t, uint32_t, uint32_t, uint32_t>(
      Kind::integer, "prmt.b32", [](uint32_t a, uint32_t b, uint32_t selector) { return permuted(a, b, selector); });
}

}  // namespace poise::ptx
