#include "tests/ptx/interpreter/tokens.h"

#include <cctype>
#include <charconv>

namespace poise::ptx {
namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.';
}

uint64_t integer_of(std::string_view digits, int base, std::string_view whole) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw Fault("PTX: expected a number but got \"" + std::string(whole) + "\"");
  }
  return value;
}

}  // namespace

void Tokens::skip_blanks() {
  while (at_ < text_.size()) {
    if (text_[at_] == '\n') {
      ++line_, ++at_;
    } else if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
      ++at_;
    } else if (text_.compare(at_, 2, "//") == 0) {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else if (text_.compare(at_, 2, "/*") == 0) {
      for (at_ += 2; at_ < text_.size() && text_.compare(at_, 2, "*/") != 0; ++at_) line_ += text_[at_] == '\n';
      at_ += 2;
    } else {
      break;
    }
  }
}

void Tokens::advance() {
  skip_blanks();
  current_line_ = line_;
  if (at_ >= text_.size()) {
    current_ = {};
    return;
  }
  size_t end = at_ + 1;
  if (text_[at_] == '"') {
    while (end < text_.size() && text_[end] != '"') ++end;
    ++end;
  } else if (in_word(text_[at_])) {
    while (end < text_.size() && in_word(text_[end])) ++end;
  }
  current_ = text_.substr(at_, end - at_);
  at_ = end;
}

std::string_view Tokens::take() {
  const std::string_view word = current_;
  if (word.empty()) fail("more text");
  advance();
  return word;
}

bool Tokens::skip(std::string_view what) {
  if (!is(what)) return false;
  advance();
  return true;
}

void Tokens::expect(std::string_view what) {
  if (!skip(what)) fail("\"" + std::string(what) + "\"");
}

int64_t Tokens::take_integer() {
  const bool negative = skip("-");
  if (!is_number(current_)) fail("a number");
  const auto value = static_cast<int64_t>(number(take(), false).bits);
  return negative ? -value : value;
}

std::string_view Tokens::take_rest_of_line() {
  const size_t begin = position();
  at_ = begin;
  line_ = current_line_;
  while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  const std::string_view rest = text_.substr(begin, at_ - begin);
  advance();
  return rest;
}

void Tokens::fail(const std::string& expected) const {
  throw Fault("PTX line " + std::to_string(current_line_) + ": expected " + expected + " but got \"" +
              std::string(current_) + "\"");
}

bool is_number(std::string_view word) {
  return !word.empty() && std::isdigit(static_cast<unsigned char>(word[0])) != 0;
}

Operand number(std::string_view word, bool negative) {
  Operand operand{.kind = Operand::Kind::integer};
  const auto starts = [&](const char* with) { return word.substr(0, 2) == with; };
  const std::string_view rest = word.size() > 2 ? word.substr(2) : std::string_view();
  if (starts("0f") || starts("0F")) {
    operand.kind = Operand::Kind::real32;
    operand.bits = integer_of(rest, 16, word) ^ (negative ? 0x80000000u : 0u);
    return operand;
  }
  if (starts("0d") || starts("0D")) {
    operand.kind = Operand::Kind::real64;
    operand.bits = integer_of(rest, 16, word) ^ (negative ? uint64_t{1} << 63 : 0);
    return operand;
  }
  std::string_view digits = word;
  if (digits.back() == 'U') digits.remove_suffix(1);
  operand.bits = starts("0x") || starts("0X") ? integer_of(digits.substr(2), 16, word) : integer_of(digits, 10, word);
  if (negative) operand.bits = ~operand.bits + 1;
  return operand;
}

}  // namespace poise::ptx
