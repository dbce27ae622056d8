// Reads and writes the JSON header of a safetensors file. Types and key names are checked here, and sizes and offsets
// against the data in safetensors.cpp. The two are separate so that nlohmann-json is compiled in one small place.
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
  std::vector<HeaderEntry> entries;  // with different names
  StringMap metadata;
};

const char* safetensors_name_of(DType dtype);  // "F32"

// Error(checkpoint), naming `source`, for a malformed header; Error(environment) for a dtype that Poise does not read.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& source);

std::string safetensors_json(const std::vector<HeaderEntry>& entries, const StringMap& metadata);

}  // namespace poise
