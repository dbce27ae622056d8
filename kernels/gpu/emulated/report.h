// Words for reports: who, where, waiting for what.
#pragma once
#include <string>

#include "kernels/gpu/emulated/launch.h"

namespace poise::emulator {

bool same_line(const Site& a, const Site& b);
std::string place(const Site& site);                 // "dense/conv2d.cu:17"
std::string hexadecimal(uint32_t mask);              // "0x0000ffff"
std::string describe(const Launch& launch);          // the kernel's name, who launched it, grid and block
std::string thread_name(int thread, int64_t block);  // "thread 5 of block 2"; coordinates where there are several
std::string this_thread();                           // the one that runs
std::string who_waits();                             // "127 threads [0..126] wait in __syncthreads at f.cu:17; ..."
std::string threads_that_left();                     // "1 thread [3]"
std::string function_at(const void* code);           // name of the function
std::string line_at(const void* code);               // "dense/conv2d.cu:17" where debug information is at hand

}  // namespace poise::emulator
