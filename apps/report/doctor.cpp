#include "apps/report/doctor.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "apps/console/machine_memory.h"
#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/evaluation/networks.h"
#include "apps/options/complete_options.h"
#include "apps/options/load_images.h"
#include "apps/options/option_sources.h"
#include "apps/training/trainer.h"
#include "data/md5.h"
#include "data/verify.h"
#include "engine/io/cache_folder.h"
#include "engine/io/system_file.h"
#include "kernels/gpu/runtime.h"
#include "kernels/ranks/ranks.h"
#include "models/inception_weights.h"

namespace fs = std::filesystem;

namespace poise {
namespace {

using State = Finding::State;
constexpr double kGiB = kMiB * 1024;
constexpr double kLeastMemory = 512 * kMiB, kLeastDisk = 256 * kMiB, kEnoughDisk = 5 * kGiB;  // a demo; a long run

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The number after "NAME:" in a file of /proc, in bytes; nothing if it is missing.
std::optional<double> kib_in(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == name + ":" && file >> value) return value * 1024;
  }
  return std::nullopt;
}

std::string gib(double bytes) { return fmt::format("{:.1f} GiB", bytes / kGiB); }

// The CPU quota of the control group, in cores; nothing if there is none.
std::optional<double> core_quota() {
  std::istringstream second(first_line("/sys/fs/cgroup/cpu.max"));
  double quota = 0, period = 0;
  if (second >> quota >> period && period > 0) return quota / period;
  std::istringstream first(first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  std::istringstream of(first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  if (first >> quota && of >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

Finding cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int64_t mine = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  const int64_t all = ::sysconf(_SC_NPROCESSORS_ONLN);
  Finding finding{State::ok, "cores",
                  fmt::format("{} for this program{}, {}", mine, mine < all ? fmt::format(" of {}", all) : "",
                              counted(thread_count(), "thread"))};
  const std::optional<double> quota = core_quota();
  double load = 0;
  if (quota && *quota + 0.5 < thread_count()) {
    finding.state = State::hint;
    finding.text += fmt::format("; this container may use {:.1f} cores' time: set OMP_NUM_THREADS={:.0f}", *quota,
                                std::max(1.0, *quota));
  } else if (thread_count() > mine && mine > 0) {
    finding.state = State::hint;
    finding.text += fmt::format("; more threads than cores are slower: set OMP_NUM_THREADS={}", mine);
  } else if (::getloadavg(&load, 1) == 1 && load > 1.5 * static_cast<double>(all)) {
    finding.state = State::hint;
    finding.text +=
        fmt::format("; other programs are using {:.0f} of them now, so a run would be slower than alone", load);
  }
  return finding;
}

Finding instructions() {
  std::ifstream file("/proc/cpuinfo");
  std::string flags;
  for (std::string line; flags.empty() && std::getline(file, line);) {
    if (line.starts_with("flags")) flags = line.substr(line.find(':') + 1) + " ";
  }
  const auto has = [&](const char* flag) { return flags.find(" " + std::string(flag) + " ") != std::string::npos; };
  std::string vectors = has("avx512f") ? "AVX-512" : has("avx2") && has("fma") ? "AVX2 and FMA" : "";
  std::string halves;
  for (const auto& [flag, name] : {std::pair("avx512_bf16", "AVX-512"), std::pair("amx_bf16", "AMX")}) {
    if (has(flag)) halves += (halves.empty() ? "" : " and ") + std::string(name);
  }
  const std::string bf16 = halves.empty() ? "no bf16 instructions" : "bf16 by " + halves;
  if (!vectors.empty()) return {State::ok, "processor", fmt::format("{}, {}, {}", cpu_model(), vectors, bf16)};
  return {State::hint, "processor",
          fmt::format("{}: neither AVX-512 nor AVX2, so sparse layers are slow; use another machine", cpu_model())};
}

Finding memory() {
  const MemoryLimit limit = memory_limit();
  const double free = std::min(kib_in("/proc/meminfo", "MemAvailable").value_or(static_cast<double>(limit.bytes)),
                               static_cast<double>(limit.bytes));
  std::string text = fmt::format("{} free; {} {}", gib(free), limit.owner, gib(static_cast<double>(limit.bytes)));
  if (free >= kLeastMemory) return {State::ok, "memory", text};
  return {State::bad, "memory",
          text + fmt::format("; the demo needs {}: end other programs or raise the limit", gib(kLeastMemory))};
}

std::string in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.empty() && ::access((folder + "/" + program).c_str(), X_OK) == 0) return folder + "/" + program;
  }
  return "";
}

// The version of the CUDA toolkit that a build would find. Its version.json has "cuda": {.. "version": "13.0.1"}.
std::string toolkit() {
  std::vector<std::string> compilers = {in_path("nvcc"), "/usr/local/cuda/bin/nvcc"};
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* folder = std::getenv(name)) compilers.push_back(std::string(folder) + "/bin/nvcc");
  }
  for (const std::string& compiler : compilers) {
    if (compiler.empty() || ::access(compiler.c_str(), X_OK) != 0) continue;
    std::error_code error;
    const fs::path real = fs::canonical(compiler, error);
    std::ifstream file(real.parent_path().parent_path() / "version.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const size_t name = text.find("\"cuda\""), key = text.find("\"version\"", name);
    const size_t first = name == std::string::npos ? name : text.find('"', text.find(':', key));
    const size_t last = first == std::string::npos ? first : text.find('"', first + 1);
    return last == std::string::npos ? compiler : text.substr(first + 1, last - first - 1) + " (" + compiler + ")";
  }
  return "";
}

Finding build() {
  const std::string found = toolkit(), have = found.empty() ? "no CUDA toolkit here" : "CUDA toolkit " + found;
#ifdef POISE_CUDA_ARCHITECTURES
  return {State::ok, "build", fmt::format("with CUDA, for architectures {}; {}", POISE_CUDA_ARCHITECTURES, have)};
#else
  const bool gpu = path_exists("/dev/nvidia0");
  return {gpu ? State::hint : State::ok, "build",
          "for the CPU only; " + have +
              (gpu ? "; to use the GPU, install the toolkit if need be, configure with POISE_CUDA=ON and build again"
                   : "")};
#endif
}

Finding driver() {
  const std::string line = first_line("/proc/driver/nvidia/version");
  const size_t number = line.find_first_of("0123456789", line.find("Module"));
  if (!line.empty()) {
    return {State::ok, "driver",
            "NVIDIA " + (number == std::string::npos ? line : line.substr(number, line.find(' ', number) - number))};
  }
  if (path_exists("/dev/dxg")) return {State::ok, "driver", "of Windows, through /dev/dxg"};
  return {State::ok, "driver", "no NVIDIA driver; none is needed without a GPU"};
}

Finding gpu_here(bool wanted) {
  const std::string why = gpu::why_unavailable(Device::cuda);
  if (why.empty()) {
    const gpu::DeviceFacts facts = gpu::runtime(Device::cuda).facts();
    return {State::ok, "gpu",
            fmt::format("{}, {} of {} free, {} multiprocessors", facts.name, gib(static_cast<double>(facts.free_bytes)),
                        gib(static_cast<double>(facts.memory_bytes)), facts.multiprocessors)};
  }
  const bool idle = !wanted && (path_exists("/dev/nvidia0") || path_exists("/dev/dxg"));
  return {wanted ? State::bad : idle ? State::hint : State::ok, "gpu", wanted || idle ? why : "none; runs use the CPU"};
}

Finding several_ranks() {
  const std::string built = ranks_built_with();
  return {State::ok, "ranks",
          built == "no MPI" ? "built without MPI: a run is one process; install libopenmpi-dev and build again for more"
                            : "built with " + built + ": mpirun -n N train_gan .. trains in N processes"};
}

Finding inception(const std::string& named) {
  const std::string path = find_inception_weights(named);
  if (path.empty()) {
    return {State::hint, "inception",
            "no weights, so no FID, IS and KID (frechet-random needs none); give them as "
            "~/.local/share/poise/inception.safetensors (apps/README.md, \"Evaluation\")"};
  }
  try {
    return {State::ok, "inception",
            fmt::format("{} in {}", identify_inception(SafetensorsFile::read(path)).name, path)};
  } catch (const Error& error) {
    return {State::hint, "inception", error.what()};
  }
}

Finding presets() {
  const auto count = preset_names().size();
  if (count > 0) return {State::ok, "presets", fmt::format("{}", count)};
  return {State::bad, "presets", "none: this copy of Poise is not whole; install it again"};
}

Finding sample() {
  constexpr const char *kFile = "cifar10_sample.bin", *kMd5 = "e1f5964efab02fb19c18dbf5607c3517";  // data/README.md
  const std::string path = data_folder(DataOptions{}) + "/" + kFile;
  try {
    Md5 md5;
    md5.update(DataFile(data_set_facts("cifar10"), path).read_all());
    const std::string found = md5.hex();
    if (found == kMd5) return {State::ok, "sample", path};
    return {State::bad, "sample", fmt::format("{}: expected md5 {}, found {}; restore the file", path, kMd5, found)};
  } catch (const Error& error) {
    return {State::bad, "sample", error.what()};
  }
}

// A verdict on each data set with files in the folder. Pictures count only if the user named the folder, since any
// folder may have some.
std::vector<Finding> data_sets_in(const std::string& path, bool asked, bool quiet) {
  std::vector<Finding> findings;
  for (const std::string& name : data_set_names()) {
    if (name == "folder") continue;
    try {
      const DataVerdict verdict = verify_data(name, path, reading_bar("pieces", quiet));
      const bool any = std::any_of(verdict.files.begin(), verdict.files.end(),
                                   [](const FileVerdict& file) { return file.state != FileVerdict::State::missing; });
      if (!any) continue;
      const std::string text = fmt::format("{} in {}: {}", name, verdict.folder, verdict.summary);
      if (verdict.good)
        findings.push_back({State::ok, "data", text});
      else
        findings.push_back({asked ? State::bad : State::hint, "data",
                            fmt::format("{}; inspect_run verify-data {} --dataset {} says which", text, path, name)});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;  // the folder does not have this set
    }
  }
  if (findings.empty() && asked && data_set_in(path) == "folder") {
    findings.push_back(
        {State::ok, "data", fmt::format("pictures in {}; inspect_run verify-data {} reads them all", path, path)});
  } else if (findings.empty() && asked) {
    findings.push_back(
        {State::bad, "data",
         fmt::format("{}: holds neither pictures nor cifar10, cifar100, stl10 or tiny-imagenet; correct the "
                     "path",
                     path)});
  }
  return findings;
}

std::vector<Finding> data_sets(const DoctorRequest& request) {
  std::vector<Finding> findings;
  const bool asked = !request.data.empty();
  for (const std::string& path : asked ? request.data : std::vector<std::string>{"."}) {
    for (Finding& finding : data_sets_in(path, asked, request.quiet)) findings.push_back(std::move(finding));
  }
  if (!findings.empty()) return findings;
  return {{State::hint, "data", "no data set in this folder; name one with --data, as --data ~/cifar-10-batches-bin"}};
}

Finding cache() {
  const std::string folder = cache_folder().string();
  if (folder.empty()) return {State::hint, "cache", "no folder for it: set HOME or POISE_CACHE"};
  std::error_code error;
  double bytes = 0;
  int64_t files = 0;
  for (fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    bytes += static_cast<double>(it->file_size(ignored));
    ++files;
  }
  const std::string text = fmt::format("{}, {} files, {:.1f} MiB; may be deleted", folder, files, bytes / kMiB);
  if (!is_folder(folder) || ::access(folder.c_str(), W_OK) == 0) return {State::ok, "cache", text};
  return {State::hint, "cache", text + "; cannot be written: change its permissions or set POISE_CACHE"};
}

Finding disk(const std::string& runs) {
  fs::path folder = fs::absolute(runs);
  std::error_code error;
  while (!fs::is_directory(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  struct statvfs status {};
  const bool known = ::statvfs(folder.c_str(), &status) == 0;
  const double free = known ? static_cast<double>(status.f_bavail) * static_cast<double>(status.f_frsize) : 0;
  if (::access(folder.c_str(), W_OK) != 0) {
    return {State::bad, "disk",
            fmt::format("{} cannot be written: change its permissions, or give another folder with --runs",
                        folder.string())};
  }
  const std::string text = fmt::format("{} free for {}", gib(free), runs);
  if (known && free < kLeastDisk)
    return {State::bad, "disk", text + "; a run needs more: free some space, or give another folder with --runs"};
  if (known && free < kEnoughDisk)
    return {State::hint, "disk", text + "; enough for small networks: --keep-checkpoints 1 saves some"};
  return {State::ok, "disk", text};
}

// Trains a small network on the sample without writing files, to find what the build or the device cannot do.
Finding trial(const DoctorRequest& request) {
  constexpr int64_t kIterations = 3;  // on a GPU the third is captured as a graph
  OptionSet options;
  for (const auto& [key, value] : {std::pair("width_g", "16"),
                                   {"width_d", "16"},
                                   {"batch_size_d", "4"},
                                   {"batch_size_g", "4"},
                                   {"n_critic", "1"},
                                   {"method", "static"},
                                   {"density_g", "0.5"}}) {
    options.set_text(key, value, "doctor");
  }
  if (request.device) options.set_text("device", name_of(*request.device), "doctor");
  complete_options(options);
  try {
    options.throw_if_problems();
    Trainer trainer(options.settings(), read_images("cifar10", data_folder(options.settings().data), {}));
    for (int64_t i = 0; i < kIterations; ++i) trainer.iterate();
    const IterationReport report = trainer.report();
    if (!report.finite()) {
      return {State::bad, "trial", "losses of a small network are not finite: run the tests of this build (make test)"};
    }
    return {State::ok, "trial",
            fmt::format("{} iterations of a small sparse network: {}", kIterations, trainer.device().text)};
  } catch (const Error& error) {
    return {State::bad, "trial", error.what()};
  }
}

}  // namespace

std::vector<Finding> examine(const DoctorRequest& request) {
  std::vector<Finding> findings = {{State::ok, "version", version_line("poise")},
                                   instructions(),
                                   cores(),
                                   memory(),
                                   build(),
                                   driver(),
                                   gpu_here(request.device == Device::cuda),
                                   several_ranks(),
                                   inception(request.inception),
                                   presets(),
                                   sample()};
  for (Finding& finding : data_sets(request)) findings.push_back(std::move(finding));
  findings.push_back(cache());
  findings.push_back(disk(request.runs));
  findings.push_back(trial(request));
  return findings;
}

std::string findings_text(const std::vector<Finding>& findings) {
  constexpr const char* kWords[] = {"ok", "hint", "BAD"};
  std::string text;
  size_t bad = 0;
  for (const Finding& finding : findings) {
    text += fmt::format("{:<5} {:<10} {}\n", kWords[static_cast<int>(finding.state)], finding.topic, finding.text);
    bad += finding.state == State::bad;
  }
  text += bad == 0 ? "training works here\n"
                   : fmt::format("training would fail here: {} of {} lines are BAD\n", bad, findings.size());
  return text;
}

}  // namespace poise
