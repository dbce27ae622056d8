#include "apps/console/program.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <new>

#include "apps/console/commit.h"
#include "apps/console/signals.h"
#include "engine/io/message.h"
#include "kernels/core/error.h"
#include "kernels/gpu/runtime.h"
#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

void complain(const std::string& name, const std::string& what) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: error: %s\n", name.c_str(), what.c_str());
}

}  // namespace

int run_program(const std::string& name, const std::function<int()>& body) {
  prepare_standard_streams();
  try {
    return body();
  } catch (const Error& error) {
    complain(name, error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    complain(name, "out of memory; try a smaller batch size or width (--dry-run shows what a run needs)");
  } catch (const std::exception& error) {
    complain(name, error.what());
  }
  return 1;
}

void print_result(const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int error = count < 0 ? errno : EIO;
      const char* const remedy = error == EPIPE ? "its reader has ended before the output did"
                                                : "send it to an open pipe or a file on a disk with space";
      fail(ErrorKind::runtime, "standard output: cannot write: " + errno_text(error) + "; " + remedy);
    }
    done += static_cast<size_t>(count);
  }
}

std::string version() { return POISE_VERSION POISE_COMMIT; }
std::string build_type() { return POISE_BUILD_TYPE; }

std::string compiler() {
#if defined(__clang__)
  return std::string("clang++ ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string version_line(const std::string& program) {
  return program + " " + version() + " (" + build_type() + ", " + compiler() +
         (gpu::built_with_cuda() ? ", CUDA, " : ", CPU, ") + ranks_built_with() + ")";
}

std::string program_folder() { return std::filesystem::read_symlink("/proc/self/exe").parent_path().string(); }

std::string shared_folder(const std::string& name, const std::string& in_source_tree) {
  const std::string in_bundle = program_folder() + "/../share/poise/" + name;
  std::error_code error;
  return std::filesystem::is_directory(in_bundle, error) ? in_bundle : in_source_tree;
}

std::string device_identity(Device device, Precision precision) {
  if (device == Device::cpu) {
    return "cpu " + cpu_model() + " " + std::to_string(thread_count()) + " threads" +
           (precision == Precision::bf16 ? std::string(" ") + name_of(precision) : "");
  }
  return std::string(name_of(device)) + " " + gpu::runtime(device).facts().name + " " + name_of(precision);
}

double peak_memory_mib() {
  // getrusage is unsuitable: its maximum survives fork and exec, so it may include a large parent process.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib / 1024;
  }
  return 0;
}

}  // namespace poise
