#include "tests/ptx/stand_in/fat_binary.h"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace poise::stand_in {
namespace {

struct Wrapper {
  uint32_t magic, version;
  const unsigned char* data;
  void* more;
};
struct Header {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;
};
struct Entry {
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t bytes;
  uint32_t compressed_bytes, options, more;
  uint32_t architecture;
};
constexpr uint32_t kWrapperMagic = 0x466243b1, kMagic = 0xba55ed50;
constexpr uint16_t kPtx = 1, kElf = 2;
constexpr uint32_t kArchitecture = 90;

template <class T>
T read(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// ptxas stores the register count of a kernel in the attributes of .nv.info. An entry consists of a format, an
// attribute number, a size and, for register counts, the kernel's symbol and the count.
void read_registers(const unsigned char* elf, std::map<std::string, int>& registers) {
  constexpr unsigned char kSizedValue = 4, kRegisterCount = 0x2f;
  const auto header = read<Elf64_Ehdr>(elf);
  const auto section_at = [&](size_t i) { return read<Elf64_Shdr>(elf + header.e_shoff + i * sizeof(Elf64_Shdr)); };
  const Elf64_Shdr names = section_at(header.e_shstrndx);
  const auto section_named = [&](std::string_view name) {
    for (size_t i = 0; i < header.e_shnum; ++i) {
      const Elf64_Shdr section = section_at(i);
      if (name == reinterpret_cast<const char*>(elf + names.sh_offset + section.sh_name)) return section;
    }
    return Elf64_Shdr{};
  };
  const Elf64_Shdr symbols = section_named(".symtab"), strings = section_named(".strtab");
  const Elf64_Shdr attributes = section_named(".nv.info");
  const unsigned char* at = elf + attributes.sh_offset;
  for (const unsigned char* end = at + attributes.sh_size; at < end;) {
    const unsigned char format = at[0], attribute = at[1];
    if (format == kSizedValue && attribute == kRegisterCount) {
      const auto symbol = read<Elf64_Sym>(elf + symbols.sh_offset + read<uint32_t>(at + 4) * sizeof(Elf64_Sym));
      const std::string name = reinterpret_cast<const char*>(elf + strings.sh_offset + symbol.st_name);
      registers[name] = static_cast<int>(read<uint32_t>(at + 8));
    }
    at += 4 + (format == kSizedValue ? read<uint16_t>(at + 2) : 0);
  }
}

}  // namespace

FatBinary read_fat_binary(const void* wrapper_at) {
  const auto wrapper = read<Wrapper>(static_cast<const unsigned char*>(wrapper_at));
  if (wrapper.magic != kWrapperMagic) throw std::runtime_error("not a fat binary");
  const auto header = read<Header>(wrapper.data);
  if (header.magic != kMagic) throw std::runtime_error("not a fat binary");
  FatBinary result;
  const unsigned char* end = wrapper.data + header.header_bytes + header.bytes;
  for (const unsigned char* at = wrapper.data + header.header_bytes; at < end;) {
    const auto entry = read<Entry>(at);
    const unsigned char* content = at + entry.header_bytes;
    if (entry.kind == kPtx && entry.compressed_bytes == 0) {
      result.ptx.assign(reinterpret_cast<const char*>(content), entry.bytes);
      result.ptx.resize(std::strlen(result.ptx.c_str()));
    } else if (entry.kind == kElf && entry.architecture == kArchitecture && entry.compressed_bytes == 0) {
      read_registers(content, result.registers);
    }
    at = content + entry.bytes;
  }
  return result;
}

}  // namespace poise::stand_in
