// Prints the short table at the end of bench/gpu_suite.sh from the JSON files in its results folder, and collects the
// files in summary.json. Leaves out what was not measured.
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/console/program.h"
#include "engine/io/atomic_file.h"
#include "kernels/core/error.h"

namespace {

using namespace poise;
using nlohmann::ordered_json;

class Results {
 public:
  explicit Results(const std::string& folder) : folder_(folder) {}

  // A number in one of the files, given its JSON pointer.
  std::optional<double> number(const std::string& file, const std::string& pointer) {
    const ordered_json& json = load(file);
    const ordered_json::json_pointer at(pointer);
    if (!json.contains(at) || !json.at(at).is_number()) return std::nullopt;
    return json.at(at).get<double>();
  }
  const ordered_json& load(const std::string& file) {
    if (!all_.contains(file)) {
      std::ifstream in(folder_ + "/" + file + ".json");
      all_[file] = in ? ordered_json::parse(in, nullptr, false) : ordered_json();
      if (all_[file].is_discarded()) all_[file] = ordered_json();  // cut off by a time limit
    }
    return all_[file];
  }
  void save() const { write_file_atomically(folder_ + "/summary.json", all_.dump(1) + "\n"); }

 private:
  std::string folder_;
  ordered_json all_ = ordered_json::object();
};

std::string text_of(const std::optional<double>& value, const char* unit) {
  return value ? fmt::format("{:.4g} {}", *value, unit) : "not measured";
}

// Rows of op_bench's JSON: the convolutions and matrix products, as a share of the measured matrix rate.
std::string op_rows(Results& results, const std::string& precision) {
  const ordered_json& ops = results.load("ops_" + precision);
  const auto ceiling = results.number("ceilings", "/" + precision + "_mma_tflops");
  if (!ops.contains("benchmarks")) return "";
  std::string text;
  for (const ordered_json& row : ops["benchmarks"]) {
    if (!row.contains("GFLOP/s")) continue;
    const double tflops = row["GFLOP/s"].get<double>() * 1e-3;
    const std::string share = ceiling ? fmt::format("{:6.1f}% of mma.sync", 100 * tflops / *ceiling) : "";
    text += fmt::format("  {:<58}{:>9.3f} {}{:>9.1f} TFLOP/s {}\n", precision + " " + row["name"].get<std::string>(),
                        row["real_time"].get<double>(), row["time_unit"].get<std::string>(), tflops, share);
  }
  return text;
}

int run(const std::string& folder) {
  Results results(folder);
  std::string text = op_rows(results, "bf16");
  text += fmt::format("copy {}, L2 {}, mma.sync bf16 {}, tf32 {}\n",
                      text_of(results.number("ceilings", "/copy_gb_per_s"), "GB/s"),
                      text_of(results.number("ceilings", "/l2_read_gb_per_s"), "GB/s"),
                      text_of(results.number("ceilings", "/bf16_mma_tflops"), "TFLOP/s"),
                      text_of(results.number("ceilings", "/tf32_mma_tflops"), "TFLOP/s"));
  const std::pair<const char*, std::optional<double>> iterations[] = {
      {"Poise bf16", results.number("step_bf16", "/median_ms")},
      {"Poise bf16, --no-graph", results.number("step_bf16_no_graph", "/median_ms")},
      {"Poise tf32", results.number("step_tf32", "/median_ms")},
      {"PyTorch eager, AMP bf16, channels_last", results.number("peers", "/eager/median_ms")},
      {"PyTorch torch.compile, CUDA graphs", results.number("peers", "/compiled/median_ms")},
  };
  text += "one iteration of SNGAN-32 (5 D steps on 64 + 64 images, G step on 128):\n";
  for (const auto& [name, ms] : iterations) {
    text +=
        fmt::format("  {:<42}{}\n", name, ms ? fmt::format("{:9.2f} ms{:9.2f} it/s", *ms, 1e3 / *ms) : "not measured");
  }
  if (iterations[0].second && iterations[3].second) {
    text += fmt::format("  PyTorch eager / Poise bf16: {:.2f}\n", *iterations[3].second / *iterations[0].second);
  }
  results.save();
  print_result(text);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("gpu_suite_table", [=] {
    if (argc != 2) fail(ErrorKind::usage, "usage: gpu_suite_table RESULTS_FOLDER");
    return run(argv[1]);
  });
}
