// The .npy half of npz.h: "\x93NUMPY", two bytes of version, the length of the header (16 bits in version 1, else 32),
// the header, a Python literal such as {'descr': '<f8', 'fortran_order': False, 'shape': (2048, 2048), }, and the data.
#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <string_view>

#include "engine/io/message.h"
#include "engine/io/npz.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr size_t kLargestHeader = 65536;
constexpr size_t kMostNpyDimensions = 8;
constexpr int64_t kMostValues = int64_t{1} << 27;

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Parses the literal and accepts only what numpy writes there.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Header parse() {
    Header header;
    std::set<std::string> seen;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      if (!seen.insert(key).second) refuse("key " + in_quotes(key) + " twice");
      expect(':');
      if (key == "descr")
        header.descr = quoted();
      else if (key == "fortran_order")
        header.fortran_order = boolean();
      else if (key == "shape")
        header.shape = tuple();
      else
        refuse("the unknown key " + in_quotes(key));
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) refuse("more text after the header");
    if (seen.size() != 3) refuse("a header without descr, fortran_order or shape");
    return header;
  }

 private:
  [[noreturn]] void refuse(const std::string& found) const {
    fail(ErrorKind::data, where_ + ": expected a header as numpy.save writes it, found " + found +
                              "; save a plain array of float32 or float64 again");
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(in_quotes(text_.substr(at_, 20)) + " instead of " + c);
  }
  std::string quoted() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') refuse("something other than a name (records and objects are not read)");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos || end - at_ > 64) refuse("an unterminated or overlong name");
    const std::string word(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return word;
  }
  bool boolean() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return value;
    }
    refuse("no True or False");
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      sizes.push_back(size());
      if (sizes.size() > kMostNpyDimensions) refuse("too many dimensions");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }
  int64_t size() {
    skip_space();
    int64_t value = 0;
    const size_t first = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + (text_[at_] - '0');
      if (value > kMostValues) refuse("a dimension beyond " + std::to_string(kMostValues));
    }
    if (at_ == first) refuse("a shape that is not a tuple of sizes");
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // as Python 2 wrote it
    return value;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

template <class Float, class Bits>
double load(const std::byte* from, bool swap) {
  Bits bits;
  std::memcpy(&bits, from, sizeof bits);
  if (swap) {
    Bits swapped = 0;
    for (size_t i = 0; i < sizeof bits; ++i) swapped = static_cast<Bits>(swapped << 8 | (bits >> (8 * i) & 0xff));
    bits = swapped;
  }
  return std::bit_cast<Float>(bits);
}

// Converts values from Fortran order to row-major.
std::vector<double> to_row_major(const std::vector<double>& columns, const std::vector<int64_t>& shape) {
  std::vector<double> rows(columns.size());
  std::vector<int64_t> index(shape.size());
  for (const double value : columns) {  // the first index runs fastest
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at = at * shape[d] + index[d];
    rows[static_cast<size_t>(at)] = value;
    for (size_t d = 0; d < shape.size() && ++index[d] == shape[d]; ++d) index[d] = 0;
  }
  return rows;
}

}  // namespace

NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& where) {
  const auto refuse = [&](const std::string& what) { fail(ErrorKind::data, where + ": " + what); };
  const auto byte = [&](size_t i) { return static_cast<size_t>(bytes[i]); };
  if (bytes.size() < 12 || std::memcmp(bytes.data(), "\x93NUMPY", 6) != 0) {
    refuse("expected a NumPy array, found another kind of file; save it with numpy.save, or several with numpy.savez");
  }
  const size_t version = byte(6);
  if (version < 1 || version > 3) refuse("expected .npy version 1, 2 or 3, found " + std::to_string(version));
  const size_t begin = version == 1 ? 10 : 12;
  const size_t length =
      version == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (length > kLargestHeader || length > bytes.size() - begin) {
    refuse("expected a header within the file and of at most " + std::to_string(kLargestHeader) + " bytes, found " +
           std::to_string(length) + "; the array is damaged");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + begin, length);
  const Header header = HeaderParser(text, where).parse();

  int64_t count = 1;
  for (const int64_t size : header.shape) {
    if (size != 0 && count > kMostValues / size) refuse("its shape has more than 2^27 values; save a smaller array");
    count *= size;
  }
  const std::string& descr = header.descr;
  const bool is_text = descr.starts_with("|S") && descr.size() > 2 && descr.size() < 11 && descr[2] != '0' &&
                       descr.find_first_not_of("0123456789", 2) == std::string::npos;
  const bool is_number = descr == "<f8" || descr == ">f8" || descr == "<f4" || descr == ">f4";
  if (!is_number && !(is_text && header.shape.empty())) {
    refuse("expected numbers of type float32 or float64, found " + in_quotes(descr) +
           "; convert the array with .astype(numpy.float64)");
  }
  const size_t item = is_text ? std::stoul(descr.substr(2)) : descr[2] == '8' ? 8 : 4;
  const std::span<const std::byte> data = bytes.subspan(begin + length);
  if (data.size() / item != static_cast<size_t>(count) || data.size() % item != 0) {
    refuse("expected " + std::to_string(count) + " values of " + std::to_string(item) + " bytes, found " +
           std::to_string(data.size()) + " bytes; the array is truncated or damaged");
  }
  NpyArray array{.name = "", .shape = header.shape};
  if (is_text) {
    array.text.assign(reinterpret_cast<const char*>(data.data()), data.size());
    array.text.resize(array.text.find_last_not_of('\0') + 1);  // NumPy pads with zeros
    return array;
  }
  const bool swap = (descr[0] == '>') != (std::endian::native == std::endian::big);
  array.values.resize(static_cast<size_t>(count));
  for (size_t i = 0; i < array.values.size(); ++i) {
    const std::byte* from = data.data() + i * item;
    array.values[i] = item == 8 ? load<double, uint64_t>(from, swap) : load<float, uint32_t>(from, swap);
  }
  if (header.fortran_order && header.shape.size() > 1) array.values = to_row_major(array.values, header.shape);
  return array;
}

}  // namespace poise
