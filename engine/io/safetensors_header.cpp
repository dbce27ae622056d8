#include "engine/io/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/io/message.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

using nlohmann::json;

constexpr size_t kMostDimensions = 32;
constexpr std::string_view kOtherDTypes[] = {"F16",  "BF16", "I64",     "I16",     "I8",      "U16", "U32",
                                             "BOOL", "C64",  "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4"};
constexpr DType kDTypes[] = {DType::f32, DType::f64, DType::u8, DType::i32, DType::u64};

// Receives the header as a stream of events and accepts exactly its grammar. No tree is built, and a value where the
// grammar does not allow one ends the parse: nesting deeper than the format's three levels is refused at its first
// bracket, however many follow. The underlying parser keeps its levels in a vector, so the stack does not grow either.
class HeaderReader {
 public:
  SafetensorsHeader header;
  std::string problem;  // why the parse ended
  bool whole = false;   // the format allows what was found, but Poise does not read it

  bool start_object(size_t) {
    switch (state_) {
      case State::start:
        return go(State::names);
      case State::metadata:
        return go(State::metadata_keys);
      case State::tensor:
        fields_ = 0;
        return go(State::fields);
      default:
        return unexpected("an object");
    }
  }

  bool end_object() {
    if (state_ == State::fields) {
      if (fields_ != (kDType | kShape | kOffsets)) {
        return refuse(fmt::format("tensor {}: expected dtype, shape and data_offsets, found only some of them",
                                  in_quotes(entry().name)));
      }
      return go(State::names);
    }
    return go(state_ == State::metadata_keys ? State::names : State::end);
  }

  bool key(std::string& text) {
    if (state_ == State::metadata_keys) {
      key_ = text;
      if (header.metadata.count(key_)) return refuse(fmt::format("metadata key {} appears twice", in_quotes(key_)));
      return go(State::metadata_value);
    }
    if (state_ == State::fields) return field(text);
    if (!names_.insert(text).second) return refuse(fmt::format("the name {} appears twice", in_quotes(text)));
    if (text == "__metadata__") return go(State::metadata);
    header.entries.push_back({.name = text});
    return go(State::tensor);
  }

  bool string(std::string& text) {
    if (state_ == State::metadata_value) {
      header.metadata[key_] = text;
      return go(State::metadata_keys);
    }
    if (state_ != State::dtype) return unexpected("a string");
    for (DType dtype : kDTypes) {
      if (text == safetensors_name_of(dtype)) {
        entry().dtype = dtype;
        return go(State::fields);
      }
    }
    whole = std::find(std::begin(kOtherDTypes), std::end(kOtherDTypes), text) != std::end(kOtherDTypes);
    return refuse(fmt::format("tensor {}: expected dtype F32, F64, U8, I32 or U64, found {}", in_quotes(entry().name),
                              in_quotes(text)));
  }

  bool start_array(size_t) {
    if (state_ == State::shape) return go(State::dimensions);
    if (state_ == State::offsets) {
      offset_count_ = 0;
      return go(State::offset_values);
    }
    return unexpected("an array");
  }

  bool end_array() {
    if (state_ == State::offset_values && offset_count_ != 2) return unexpected("an array of another length");
    return go(State::fields);
  }

  bool number_unsigned(uint64_t value) {
    if (state_ == State::dimensions) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return unexpected("a number too large");
      if (entry().shape.size() == kMostDimensions) return unexpected("more than 32 dimensions");
      entry().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ == State::offset_values && offset_count_ < 2) {
      (offset_count_++ == 0 ? entry().begin : entry().end) = value;
      return true;
    }
    return unexpected("a number");
  }

  bool number_integer(int64_t) { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) { return unexpected("a number with a fraction or too large"); }
  bool boolean(bool) { return unexpected("a boolean"); }
  bool null() { return unexpected("null"); }
  bool binary(json::binary_t&) { return unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&, const json::exception&) {
    return refuse(fmt::format("the header is not valid JSON at its byte {}", position));
  }

 private:
  enum class State : uint8_t {
    start,
    names,
    metadata,
    metadata_keys,
    metadata_value,
    tensor,
    fields,
    dtype,
    shape,
    dimensions,
    offsets,
    offset_values,
    end
  };
  enum Field : unsigned { kNone = 0, kDType = 1, kShape = 2, kOffsets = 4 };

  HeaderEntry& entry() { return header.entries.back(); }

  bool go(State next) {
    state_ = next;
    return true;
  }

  bool field(const std::string& text) {
    const Field bit = text == "dtype" ? kDType : text == "shape" ? kShape : text == "data_offsets" ? kOffsets : kNone;
    if (bit == kNone || (fields_ & bit)) {
      return refuse(fmt::format("tensor {}: expected dtype, shape and data_offsets once each, found {}",
                                in_quotes(entry().name), in_quotes(text) + (bit == kNone ? "" : " twice")));
    }
    fields_ |= bit;
    return go(bit == kDType ? State::dtype : bit == kShape ? State::shape : State::offsets);
  }

  const char* expected() const {
    switch (state_) {
      case State::metadata:
        return "__metadata__ to be an object";
      case State::metadata_value:
        return "metadata values to be strings";
      case State::tensor:
        return "an object with dtype, shape and data_offsets";
      case State::dtype:
        return "dtype to be a string";
      case State::shape:
      case State::dimensions:
        return "shape to be an array of non-negative integers";
      case State::offsets:
      case State::offset_values:
        return "data_offsets to be two non-negative integers";
      default:
        return "a JSON object";
    }
  }

  bool unexpected(const char* found) {
    const bool in_tensor = state_ >= State::tensor && state_ <= State::offset_values;
    const std::string where = in_tensor ? fmt::format("tensor {}: ", in_quotes(entry().name)) : "header: ";
    return refuse(fmt::format("{}expected {}, found {}", where, expected(), found));
  }

  bool refuse(std::string why) {
    problem = std::move(why);
    return false;
  }

  State state_ = State::start;
  unsigned fields_ = 0;
  int offset_count_ = 0;
  std::string key_;
  std::set<std::string> names_;
};

}  // namespace

const char* safetensors_name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::u8:
      return "U8";
    case DType::i32:
      return "I32";
    case DType::u64:
      return "U64";
    case DType::bf16:
      return "BF16";
  }
  return "?";
}

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& source) {
  HeaderReader reader;
  if (!json::sax_parse(text, &reader)) {  // throws only bad_alloc, which is not the fault of the file
    if (reader.whole) {                   // the file is not damaged and must not be treated as such
      fail(ErrorKind::environment,
           fmt::format("{}: {}, which Poise does not read; convert the tensors to F32 (weights of Inception: "
                       "bench/convert_inception.py)",
                       source, reader.problem));
    }
    fail(ErrorKind::checkpoint,
         fmt::format("{}: {}; the file is damaged or no safetensors file", source, reader.problem));
  }
  return std::move(reader.header);
}

std::string safetensors_json(const std::vector<HeaderEntry>& entries, const StringMap& metadata) {
  const auto text = [](const std::string& s) {
    try {
      return json(s).dump();
    } catch (const json::exception&) {
      fail(ErrorKind::runtime, fmt::format("safetensors: expected UTF-8 text, found {}; rename it", in_quotes(s)));
    }
  };
  std::string out = "{";
  const auto comma = [&out] { return out.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    std::string pairs;
    for (const auto& [key, value] : metadata) {
      pairs += fmt::format("{}{}:{}", pairs.empty() ? "" : ",", text(key), text(value));
    }
    out += fmt::format("\"__metadata__\":{{{}}}", pairs);
  }
  for (const HeaderEntry& entry : entries) {
    out += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", comma(), text(entry.name),
                       safetensors_name_of(entry.dtype), fmt::join(entry.shape, ","), entry.begin, entry.end);
  }
  return out + "}";
}

}  // namespace poise
