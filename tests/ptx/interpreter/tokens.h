// Splits PTX into words, numbers and punctuation.
#pragma once
#include <string>
#include <string_view>

#include "tests/ptx/interpreter/text.h"

namespace poise::ptx {

class Tokens {
 public:
  Tokens(std::string_view text, size_t begin, int line) : text_(text), at_(begin), line_(line) { advance(); }

  std::string_view current() const { return current_; }  // empty at the end
  bool is(std::string_view what) const { return current_ == what; }
  bool end() const { return current_.empty(); }
  int line() const { return current_line_; }
  size_t position() const { return at_ - current_.size(); }

  std::string_view take();
  bool skip(std::string_view what);  // takes it if it is next
  void expect(std::string_view what);
  int64_t take_integer();
  // Takes the rest of the line unparsed: .loc and .file directives end with the line.
  std::string_view take_rest_of_line();
  [[noreturn]] void fail(const std::string& expected) const;

 private:
  void advance();
  void skip_blanks();

  std::string_view text_, current_;
  size_t at_;
  int line_, current_line_ = 0;
};

// A PTX literal: decimal, 0x..., 0f..., 0d..., with a sign.
bool is_number(std::string_view word);
Operand number(std::string_view word, bool negative);

}  // namespace poise::ptx
