// Text for reports: which thread, where, and what it waits for.
#pragma once
#include <bit>
#include <string>

#include "kernels/gpu/emulated/launch.h"

namespace poise::emulator {

// The place in the source of an access: a line known at compile time, or an address in the code.
struct AccessSite {
  const void* code = nullptr;
  Site site;
  AccessSite(const void* c) : code(c) {}
  AccessSite(Site s) : site(s) {}
  const void* key() const { return code != nullptr ? code : std::bit_cast<const void*>(site); }
  std::string text() const;
};

// Aborts the launch unless the address is a multiple of `bytes`.
void require_alignment(const void* address, size_t bytes, AccessSite site);

bool same_text(const Site& a, const Site& b);
inline bool same_line(const Site& a, const Site& b) {
  return std::bit_cast<const void*>(a) == std::bit_cast<const void*>(b) || same_text(a, b);
}
std::string place(const Site& site);                 // "dense/conv2d/conv2d.cu:17"
std::string hexadecimal(uint32_t mask);              // "0x0000ffff"
std::string describe(const Launch& launch);          // the kernel's name, the line of its launch, grid and block
std::string thread_name(int thread, int64_t block);  // "thread 5 of block 2"; coordinates where there are several
std::string this_thread();                           // the running thread
std::string who_waits();                             // "127 threads [0..126] wait in __syncthreads at f.cu:17; ..."
std::string threads_that_left();                     // "1 thread [3]"
std::string function_at(const void* code);           // name of the function
std::string line_at(const void* code);               // "dense/conv2d/conv2d.cu:17" if there is debug information

}  // namespace poise::emulator
