// Floating-point arithmetic. Functions that a GPU only approximates (ex2, rcp.approx) are exact here, or nearly exact:
// this catches wrong kernels, but not kernels that need more accuracy than the approximation guarantees.
#include <cfenv>
#include <cmath>
#include <limits>

#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

// If one argument is NaN, the result is the other.
template <class T>
T smaller(T a, T b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T larger(T a, T b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : a > b || (a == b && !std::signbit(a)) ? a : b;
}

float flushed(float x) { return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x; }

// f(a, b, c) in another rounding mode. `volatile` keeps the compiler from moving the computation across the changes.
template <class F>
float rounded(int mode, float a, float b, float c, F f) {
  const int before = std::fegetround();
  std::fesetround(mode);
  volatile float x = a, y = b, z = c;
  volatile float result = f(x, y, z);
  std::fesetround(before);
  return result;
}

template <class T>
void add_arithmetic(Forms& f, Kind kind, const std::string& type) {
  const auto add = [&](const std::string& name, auto op) { f.add<T, T, T>(kind, name + type, op); };
  for (const char* mode : {"", "rn."}) {
    const std::string m = mode;
    add("add." + m, [](T a, T b) { return a + b; });
    add("sub." + m, [](T a, T b) { return a - b; });
    add("mul." + m, [](T a, T b) { return a * b; });
  }
  add("div.rn.", [](T a, T b) { return a / b; });
  add("min.", [](T a, T b) { return smaller(a, b); });
  add("max.", [](T a, T b) { return larger(a, b); });
  add("copysign.", [](T sign, T value) { return std::copysign(value, sign); });
  f.add<T, T, T, T>(kind, "fma.rn." + type, [](T a, T b, T c) { return std::fma(a, b, c); });
  f.add<T, T>(kind, "neg." + type, [](T a) { return -a; });
  f.add<T, T>(kind, "abs." + type, [](T a) { return std::abs(a); });
  f.add<T, T>(Kind::move, "mov." + type, [](T a) { return a; });
  f.add<T, T>(Kind::special_function, "sqrt.rn." + type, [](T a) { return std::sqrt(a); });
  f.add<T, T>(Kind::special_function, "rcp.rn." + type, [](T a) { return 1 / a; });
}

}  // namespace

void add_real_forms(Forms& f) {
  add_arithmetic<float>(f, Kind::real, "f32");
  add_arithmetic<double>(f, Kind::real64, "f64");
  f.add<float, float, float, float>(Kind::real, "fma.rm.f32", [](float a, float b, float c) {
    return rounded(FE_DOWNWARD, a, b, c, [](float x, float y, float z) { return std::fma(x, y, z); });
  });
  f.add<float, float, float>(Kind::real, "add.rz.f32", [](float a, float b) {
    return rounded(FE_TOWARDZERO, a, b, 0, [](float x, float y, float) { return x + y; });
  });
  f.add<float, float>(Kind::special_function, "ex2.approx.ftz.f32",
                      [](float a) { return flushed(static_cast<float>(std::exp2(static_cast<double>(flushed(a))))); });
  f.add<float, float>(Kind::special_function, "rcp.approx.ftz.f32", [](float a) { return flushed(1 / flushed(a)); });
  f.add<float, float>(Kind::special_function, "rsqrt.approx.f32",
                      [](float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); });
  f.add<float, float>(Kind::special_function, "lg2.approx.f32",
                      [](float a) { return static_cast<float>(std::log2(static_cast<double>(a))); });
}

}  // namespace poise::ptx
