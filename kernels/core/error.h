// The engine's only exception type. A message says where, what was expected, what was found and what to change:
//   D.linear: linear expects input [N,128] for weight [1,128] but got [4,100]
#pragma once
#include <stdexcept>
#include <string>

namespace poise {

// The kind decides the exit code of a program (apps/README.md, "Signals and exit codes").
enum class ErrorKind : int { runtime = 1, usage = 2, environment = 3, data = 4, checkpoint = 5, check = 6, ranks = 7 };

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

[[noreturn]] inline void fail(ErrorKind kind, const std::string& message) { throw Error(kind, message); }

// For conditions that only a bug in Poise itself can break.
inline void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorKind::runtime, std::string("internal error: ") + what);
}

}  // namespace poise
