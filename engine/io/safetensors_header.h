// The JSON header of a safetensors file, read and nothing more: types and key names are checked here, sizes and offsets
// against the data in safetensors.cpp. Apart from it so that nlohmann-json is compiled in one small place.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/safetensors.h"

namespace poise {

struct HeaderEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // data_offsets
};

struct SafetensorsHeader {
  std::vector<HeaderEntry> entries;  // names differ
  StringMap metadata;
};

const char* safetensors_name_of(DType dtype);  // "F32"

// Error(checkpoint), naming `source`, for anything but a well-formed header.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& source);

std::string safetensors_json(const std::vector<HeaderEntry>& entries, const StringMap& metadata);

}  // namespace poise
