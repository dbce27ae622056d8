// What all programs share: results on standard output, one line per error, exit codes.
#pragma once
#include <functional>
#include <string>

#include "kernels/core/dtype.h"
#include "kernels/core/parallel.h"  // thread_count, set_thread_count

namespace poise {

// Runs `body` and returns its value. An exception becomes "NAME: error: ..." on standard error and its exit code:
// Error::exit_code(), 1 for everything else.
int run_program(const std::string& name, const std::function<int()>& body);

// Writes a result to standard output. Error(runtime) if it is closed or full.
void print_result(const std::string& text);

std::string version();     // "0.1.0+a612fa0": the commit, with "-dirty" if files differ from it
std::string build_type();  // "Release"
std::string compiler();    // "g++ 12.2.0"
std::string cpu_model();   // "Intel(R) Xeon(R) ..." or "unknown"
// "train_gan 0.1.0+a612fa0 (Release, g++ 12.2.0, CUDA, Open MPI 4.1.4, NCCL 2.28.9)"; CPU, no MPI
std::string version_line(const std::string& program);
// The folder of the running program.
std::string program_folder();
// A folder of files that come with Poise: ../share/poise/NAME relative to the program's folder, as in an installation
// (which may be moved), or else its place in the source tree.
std::string shared_folder(const std::string& name, const std::string& in_source_tree);
// The device that measured speeds apply to: "cpu AMD EPYC ... 2 threads", "cuda NVIDIA H200 bf16".
std::string device_identity(Device device, Precision precision);
constexpr double kMiB = 1024.0 * 1024.0;
double peak_memory_mib();  // of this process so far

}  // namespace poise
