// Conversions between types, and comparisons.
#include <cmath>
#include <limits>

#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

// Rounds to nearest, ties to even; every NaN becomes the one NaN that the hardware generates.
uint16_t bf16_of(float x) {
  if (std::isnan(x)) return 0x7fff;
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Rounds to the nearest number with a 10-bit mantissa, ties away from zero.
uint32_t tf32_of(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return 0x7fffffff;
  if (std::isinf(x)) return bits;
  return (bits + 0x1000) & ~0x1fffu;
}

// A value out of range becomes the nearest one in range; NaN becomes zero, or in 64 bits only the top bit is set.
template <class To, class From>
To saturated(From x) {
  if (std::isnan(x)) return sizeof(To) == 8 ? static_cast<To>(uint64_t{1} << 63) : To{0};
  const From least = static_cast<From>(std::numeric_limits<To>::min());
  const From beyond = std::ldexp(From{1}, std::numeric_limits<To>::digits);
  if (x < least) return std::numeric_limits<To>::min();
  if (x >= beyond) return std::numeric_limits<To>::max();
  return static_cast<To>(x);
}

template <class To, class From>
void add_between_integers(Forms& f, const std::string& to, const std::string& from) {
  f.add<To, From>(Kind::conversion, "cvt." + to + "." + from, [](From a) { return static_cast<To>(a); });
  // A register may be wider than the part that is read.
  if constexpr (sizeof(From) < 8) {
    f.add<To, uint64_t>(Kind::conversion, "cvt." + to + "." + from + kFromWider,
                        [](uint64_t a) { return static_cast<To>(static_cast<From>(a)); });
  }
}
template <class To>
void add_to_integer(Forms& f, const std::string& to) {
  add_between_integers<To, int8_t>(f, to, "s8");
  add_between_integers<To, uint8_t>(f, to, "u8");
  add_between_integers<To, int16_t>(f, to, "s16");
  add_between_integers<To, uint16_t>(f, to, "u16");
  add_between_integers<To, int32_t>(f, to, "s32");
  add_between_integers<To, uint32_t>(f, to, "u32");
  add_between_integers<To, int64_t>(f, to, "s64");
  add_between_integers<To, uint64_t>(f, to, "u64");
}

template <class From, class To>
void add_rounding(Forms& f, const std::string& to, const std::string& from) {
  const auto add = [&](const char* mode, auto op) {
    f.add<To, From>(Kind::conversion, std::string("cvt.") + mode + "." + to + "." + from, op);
  };
  add("rni", [](From a) { return saturated<To>(std::nearbyint(a)); });
  add("rzi", [](From a) { return saturated<To>(std::trunc(a)); });
  add("rmi", [](From a) { return saturated<To>(std::floor(a)); });
  add("rpi", [](From a) { return saturated<To>(std::ceil(a)); });
}
template <class Real>
void add_between_real_and_integer(Forms& f, const std::string& real) {
  add_rounding<Real, int32_t>(f, "s32", real);
  add_rounding<Real, uint32_t>(f, "u32", real);
  add_rounding<Real, int64_t>(f, "s64", real);
  add_rounding<Real, uint64_t>(f, "u64", real);
  const auto from = [&]<class From>(const char* type, From) {
    f.add<Real, From>(Kind::conversion, "cvt.rn." + real + "." + type, [](From a) { return static_cast<Real>(a); });
  };
  from("s16", int16_t{});
  from("u16", uint16_t{});
  from("s32", int32_t{});
  from("u32", uint32_t{});
  from("s64", int64_t{});
  from("u64", uint64_t{});
  const auto integral = [&](const char* mode, auto op) {
    f.add<Real, Real>(Kind::conversion, std::string("cvt.") + mode + "." + real + "." + real, op);
  };
  integral("rni", [](Real a) { return std::nearbyint(a); });
  integral("rzi", [](Real a) { return std::trunc(a); });
  integral("rmi", [](Real a) { return std::floor(a); });
  integral("rpi", [](Real a) { return std::ceil(a); });
}

template <class T>
void add_ordered(Forms& f, const std::string& type) {
  f.add_comparison<T>("setp.lt." + type, [](T a, T b) { return a < b; });
  f.add_comparison<T>("setp.le." + type, [](T a, T b) { return a <= b; });
  f.add_comparison<T>("setp.gt." + type, [](T a, T b) { return a > b; });
  f.add_comparison<T>("setp.ge." + type, [](T a, T b) { return a >= b; });
}
template <class T>
void add_equality(Forms& f, const std::string& type) {
  f.add_comparison<T>("setp.eq." + type, [](T a, T b) { return a == b; });
  // False if either is NaN; setp.neu is true then.
  f.add_comparison<T>("setp.ne." + type, [](T a, T b) { return a < b || a > b; });
}
template <class T>
void add_unordered(Forms& f, const std::string& type) {
  f.add_comparison<T>("setp.equ." + type, [](T a, T b) { return !(a < b || a > b); });
  f.add_comparison<T>("setp.neu." + type, [](T a, T b) { return !(a == b); });
  f.add_comparison<T>("setp.ltu." + type, [](T a, T b) { return !(a >= b); });
  f.add_comparison<T>("setp.leu." + type, [](T a, T b) { return !(a > b); });
  f.add_comparison<T>("setp.gtu." + type, [](T a, T b) { return !(a <= b); });
  f.add_comparison<T>("setp.geu." + type, [](T a, T b) { return !(a < b); });
  f.add_comparison<T>("setp.nan." + type, [](T a, T b) { return a != a || b != b; });
  f.add_comparison<T>("setp.num." + type, [](T a, T b) { return a == a && b == b; });
}

template <class T>
void select(Warp& w, const Instruction& i, uint32_t mask) {
  const T *a = w.lanes<T>(i.a), *b = w.lanes<T>(i.b);
  const uint32_t chosen = w.predicate(i.c);
  T* to = w.lanes<T>(i.d);
#pragma GCC ivdep
  for (int lane = 0; lane < kLanes; ++lane) {
    const T value = has(chosen, lane) ? a[lane] : b[lane];
    to[lane] = has(mask, lane) ? value : to[lane];
  }
}

// Applies F to the predicates of all 32 lanes at once.
template <class F>
void predicates(Warp& w, const Instruction& i, uint32_t mask) {
  uint32_t& to = w.predicate(i.d);
  to = (to & ~mask) | (F{}(w.predicate(i.a), w.predicate(i.b)) & mask);
}

}  // namespace

void add_conversions(Forms& f) {
  add_to_integer<int16_t>(f, "s16");
  add_to_integer<uint16_t>(f, "u16");
  add_to_integer<int32_t>(f, "s32");
  add_to_integer<uint32_t>(f, "u32");
  add_to_integer<int64_t>(f, "s64");
  add_to_integer<uint64_t>(f, "u64");
  add_between_real_and_integer<float>(f, "f32");
  add_between_real_and_integer<double>(f, "f64");
  f.add<double, float>(Kind::conversion, "cvt.f64.f32", [](float a) { return static_cast<double>(a); });
  f.add<float, double>(Kind::conversion, "cvt.rn.f32.f64", [](double a) { return static_cast<float>(a); });
  f.add<float, float>(Kind::conversion, "cvt.sat.f32.f32",
                      [](float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; });  // NaN becomes zero
  f.add<uint32_t, float>(Kind::conversion, "cvt.rna.tf32.f32", [](float a) { return tf32_of(a); });
  f.add<uint16_t, float>(Kind::conversion, "cvt.rn.bf16.f32", [](float a) { return bf16_of(a); });
  f.add<uint32_t, float, float>(Kind::conversion, "cvt.rn.bf16x2.f32", [](float high, float low) {
    return static_cast<uint32_t>(bf16_of(high)) << 16 | bf16_of(low);
  });
  f.add<float, uint16_t>(Kind::conversion, "cvt.f32.bf16",
                         [](uint16_t a) { return std::bit_cast<float>(static_cast<uint32_t>(a) << 16); });
}

void add_comparisons(Forms& f) {
  const auto add = [&]<class T>(const char* type, T) {
    add_ordered<T>(f, type);
    add_equality<T>(f, type);
  };
  add("s16", int16_t{});
  add("u16", uint16_t{});
  add("s32", int32_t{});
  add("u32", uint32_t{});
  add("s64", int64_t{});
  add("u64", uint64_t{});
  add("f32", float{});
  add("f64", double{});
  add_equality<uint16_t>(f, "b16");
  add_equality<uint32_t>(f, "b32");
  add_equality<uint64_t>(f, "b64");
  add_unordered<float>(f, "f32");
  add_unordered<double>(f, "f64");

  for (const char* type : {"b16", "u16", "s16"}) {
    f.add_handler(Kind::move, std::string("selp.") + type, "hhhp", select<uint32_t>);
  }
  for (const char* type : {"b32", "u32", "s32", "f32"}) {
    f.add_handler(Kind::move, std::string("selp.") + type, "wwwp", select<uint32_t>);
  }
  for (const char* type : {"b64", "u64", "s64", "f64"}) {
    f.add_handler(Kind::move, std::string("selp.") + type, "lllp", select<uint64_t>);
  }
  const auto logic = [&](const char* name, auto op) {
    f.add_handler(Kind::predicate, name, "ppp", predicates<decltype(op)>);
  };
  logic("and.pred", [](uint32_t a, uint32_t b) { return a & b; });
  logic("or.pred", [](uint32_t a, uint32_t b) { return a | b; });
  logic("xor.pred", [](uint32_t a, uint32_t b) { return a ^ b; });
  f.add_handler(Kind::predicate, "not.pred", "pp", predicates<decltype([](uint32_t a, uint32_t) { return ~a; })>);
  f.add_handler(Kind::predicate, "mov.pred", "pp", predicates<decltype([](uint32_t a, uint32_t) { return a; })>);
}

}  // namespace poise::ptx
