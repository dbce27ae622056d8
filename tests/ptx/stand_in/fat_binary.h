// Reads the container that nvcc embeds in a program: the PTX of a file and its machine code for some architectures.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace poise::stand_in {

struct FatBinary {
  std::string ptx;                       // empty if there is none
  std::map<std::string, int> registers;  // per thread, by kernel, from the machine code for compute capability 9.0
};

// `wrapper` is the pointer that the program registers. Throws std::runtime_error if the format is unknown.
FatBinary read_fat_binary(const void* wrapper);

}  // namespace poise::stand_in
