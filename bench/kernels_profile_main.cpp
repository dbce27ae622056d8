// Prints what our kernels do on a GPU, counted without one: the stand-in for CUDA's runtime interprets the PTX and
// counts (STAND_IN_PROFILE, tests/ptx/stand_in/profile.h). Adds a predicted time and a lower bound.
//
//   kernels_profile FILE [--rows N] [--budgets BUDGETS]
//
// Times are predictions of the model below, not measurements. With --budgets, the exit code is 6 if a kernel exceeds
// BUDGETS (JSON), or if a budget matches no kernel.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "bench/bench_program.h"
#include "bench/kernel_name.h"
#include "kernels/core/error.h"

namespace {

using namespace poise;
using nlohmann::json;

// The model: an H200 (NVIDIA's data sheet) whose multiprocessors process the blocks in waves. The time is that of the
// busiest pipe of a multiprocessor, L2 or DRAM. Latencies count as hidden, so small launches take longer in reality.
constexpr double kClock = 1.755e9;
constexpr double kMultiprocessors = 132;
constexpr double kDramBytesPerSecond = 4.8e12;
constexpr double kL2BytesPerClock = 28;          // per multiprocessor
constexpr double kSharedWavefrontsPerClock = 1;  // 128 bytes
constexpr double kMacsPerClock16 = 2048, kMacsPerClockTf32 = 1024;
constexpr double kMmaShare = 0.62;  // the share that mma.sync reaches on Hopper; the rest needs wgmma
constexpr double kLaunchSeconds = 1.1e-6;

// Warp instructions per clock and multiprocessor. Instructions without a pipe here use issue slots only.
struct Pipe {
  const char* name;
  double per_clock;
  std::vector<const char*> kinds;
};
const std::vector<Pipe>& pipes() {
  static const std::vector<Pipe> all = {
      {"fp32", 4, {"fp32"}},
      {"integer", 2, {"integer", "predicate"}},
      {"special", 0.5, {"special", "conversion"}},
      {"fp64", 2, {"fp64"}},
      {"load/store", 1, {"global load", "global store", "local", "atomic", "cp.async", "shuffle/vote"}},
  };
  return all;
}

struct Row {
  std::string kernel;
  double blocks = 0, threads = 0, registers = 0, resident = 0, launches = 0, lanes = 0, requests = 0, sectors = 0,
         touched = 0, wavefronts = 0, phases = 0, macs16 = 0, macs_tf32 = 0;
  std::map<std::string, double> warps;

  double count(const char* kind) const {
    const auto found = warps.find(kind);
    return found == warps.end() ? 0 : found->second;
  }
  double instructions() const {
    double sum = 0;
    for (const auto& [kind, n] : warps) sum += n;
    return sum;
  }
};

struct Prediction {
  double seconds = 0;  // of all launches
  std::string pipe;
  double floor = 0;  // lower bound: full tensor rate, each byte moved once
};

Prediction predict(const Row& row) {
  std::vector<std::pair<double, std::string>> clocks;  // if one multiprocessor ran all blocks
  clocks.emplace_back(row.instructions() / 4, "issue");
  for (const Pipe& pipe : pipes()) {
    double n = 0;
    for (const char* kind : pipe.kinds) n += row.count(kind);
    clocks.emplace_back(n / pipe.per_clock, pipe.name);
  }
  clocks.emplace_back(row.wavefronts / kSharedWavefrontsPerClock, "shared");
  clocks.emplace_back((row.macs16 / kMacsPerClock16 + row.macs_tf32 / kMacsPerClockTf32) / kMmaShare, "mma");
  clocks.emplace_back(row.sectors * 32 / kL2BytesPerClock, "L2");
  const auto [most, pipe] = *std::max_element(clocks.begin(), clocks.end());
  const double waves = std::ceil(row.blocks / kMultiprocessors);
  Prediction result{most / row.blocks * waves / kClock, pipe, 0};
  const double dram = row.touched * 32 / kDramBytesPerSecond;
  if (dram > result.seconds) result = {dram, "DRAM", 0};
  result.seconds += row.launches * kLaunchSeconds;
  const double mma = (row.macs16 / kMacsPerClock16 + row.macs_tf32 / kMacsPerClockTf32) / kMultiprocessors / kClock;
  result.floor = std::max(mma, dram);
  return result;
}

struct Profile {
  std::vector<Row> rows;
  double seconds = 0, instructions = 0;
  double launches() const {
    double sum = 0;
    for (const Row& row : rows) sum += row.launches;
    return sum;
  }
};

Profile read_profile(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(ErrorKind::data, path + ": cannot be read; make kernels-profile writes it");
  Profile profile;
  bool complete = false;
  for (std::string line; std::getline(file, line);) {
    const json object = json::parse(line, nullptr, false);
    if (object.is_discarded())
      fail(ErrorKind::data, path + ": a line is not JSON; the program that wrote it was stopped");
    if (object.contains("interpreted_seconds")) {
      profile.seconds = object["interpreted_seconds"];
      profile.instructions = object["warp_instructions"];
      complete = true;
      continue;
    }
    Row row;
    row.kernel = kernel_name(object["kernel"]);
    row.blocks = object["blocks"];
    row.threads = object["threads"];
    row.registers = object["registers"];
    row.resident = object["resident_blocks"];
    row.launches = object["launches"];
    row.lanes = object["lanes"];
    row.requests = object["requests"];
    row.sectors = object["sectors"];
    row.touched = object["touched_sectors"];
    row.wavefronts = object["wavefronts"];
    row.phases = object["phases"];
    row.macs16 = object["macs_16_bits"];
    row.macs_tf32 = object["macs_tf32"];
    row.warps = object["warps"].get<std::map<std::string, double>>();
    profile.rows.push_back(row);
  }
  if (!complete) fail(ErrorKind::data, path + ": no end; the program that wrote it was stopped");
  return profile;
}

std::string ratio(double above, double below, const char* format = "{:.2f}") {
  return below > 0 ? fmt::format(fmt::runtime(format), above / below) : "-";
}

std::string table(const Profile& profile, size_t most) {
  std::vector<std::pair<Row, Prediction>> rows;
  double seconds = 0, floor = 0;
  for (const Row& row : profile.rows) {
    rows.emplace_back(row, predict(row));
    seconds += rows.back().second.seconds;
    floor += rows.back().second.floor;
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string text = fmt::format(
      "Per launch: warp instructions, those of tensor cores, and all per one of these; sectors of 32 bytes per "
      "request; "
      "passes through\nshared memory per conflict-free pass; lanes at work; resident warps of 64. predicted and floor: "
      "us, by the model of an H200 in\nbench/kernels_profile_main.cpp, not measured on a GPU.\n\n"
      "{:>8}{:>7}{:>8}{:>5}{:>11}{:>9}{:>8}{:>9}{:>9}{:>7}{:>7}{:>10}{:>8}  {:<11}kernel\n",
      "launches", "blocks", "threads", "regs", "instr", "mma", "per mma", "sectors", "passes", "lanes", "warps",
      "predicted", "floor", "pipe");
  for (size_t i = 0; i < std::min(most, rows.size()); ++i) {
    const auto& [row, prediction] = rows[i];
    const double n = row.launches, mma = row.count("mma");
    text += fmt::format(
        "{:>8.0f}{:>7.0f}{:>8.0f}{:>5.0f}{:>11.0f}{:>9.0f}{:>8}{:>9}{:>9}{:>6.0f}%{:>7.0f}{:>10.2f}{:>8.2f}  "
        "{:<11}{}\n",
        n, row.blocks, row.threads, row.registers, row.instructions() / n, mma / n,
        ratio(row.instructions(), mma, "{:.1f}"), ratio(row.sectors, row.requests), ratio(row.wavefronts, row.phases),
        row.lanes / row.instructions() / 32 * 100, row.resident * std::ceil(row.threads / 32),
        prediction.seconds / n * 1e6, prediction.floor / n * 1e6, prediction.pipe, row.kernel);
  }
  if (rows.size() > most) text += fmt::format("{:>8} rows more\n", rows.size() - most);
  return text + fmt::format(
                    "\n{:.0f} launches, predicted {:.3f} ms, floor {:.3f} ms. Interpreted {:.1f} million warp "
                    "instructions in {:.1f} s: {:.1f} million per second.\n",
                    profile.launches(), seconds * 1e3, floor * 1e3, profile.instructions / 1e6, profile.seconds,
                    profile.instructions / 1e6 / profile.seconds);
}

// {"launches": N, "predicted_ms": X,
//  "kernels": [{"kernel": REGEX, "instructions_per_mma": X, "passes": X, "sectors_per_request": X}, ...]}
// Kernel limits apply to all launches of kernels whose name contains a match of REGEX; absent keys set no limit.
std::vector<std::string> broken_budgets(const Profile& profile, const std::string& path) {
  std::ifstream file(path);
  const json budgets = json::parse(file, nullptr, false);
  if (budgets.is_discarded()) fail(ErrorKind::data, path + ": expected budgets as JSON");
  std::vector<std::string> broken;
  const double launches = profile.launches();
  if (launches > budgets.at("launches").get<double>()) {
    broken.push_back(fmt::format("expected at most {} launches but got {:.0f}", budgets["launches"].dump(), launches));
  }
  double predicted_ms = 0;
  for (const Row& row : profile.rows) predicted_ms += predict(row).seconds * 1e3;
  if (predicted_ms > budgets.value("predicted_ms", predicted_ms)) {
    broken.push_back(
        fmt::format("expected at most {} ms predicted but got {:.3f}", budgets["predicted_ms"].dump(), predicted_ms));
  }
  for (const json& budget : budgets.value("kernels", json::array())) {
    const auto name = budget.at("kernel").get<std::string>();
    const std::regex expression(name);
    Row sum;
    for (const Row& row : profile.rows) {
      if (!std::regex_search(row.kernel, expression)) continue;
      sum.launches += row.launches;
      sum.requests += row.requests;
      sum.sectors += row.sectors;
      sum.wavefronts += row.wavefronts;
      sum.phases += row.phases;
      for (const auto& [kind, n] : row.warps) sum.warps[kind] += n;
    }
    if (sum.launches == 0) broken.push_back(name + ": no such kernel was launched");
    const std::array<std::tuple<const char*, double, double>, 3> limits = {
        {{"instructions_per_mma", sum.instructions(), sum.count("mma")},
         {"passes", sum.wavefronts, sum.phases},
         {"sectors_per_request", sum.sectors, sum.requests}}};
    for (const auto& [key, above, below] : limits) {
      if (!budget.contains(key) || sum.launches == 0) continue;
      const double limit = budget[key], value = above / below;
      if (!(value <= limit))
        broken.push_back(fmt::format("{}: {}: expected at most {} but got {:.3f}", name, key, limit, value));
    }
  }
  return broken;
}

int run(int argc, char** argv) {
  CLI::App app("Prints what our kernels did, as the stand-in for CUDA counted it, with predicted times.");
  std::string file, budgets;
  size_t rows = 40;
  app.add_option("FILE", file, "the file written through STAND_IN_PROFILE")->required();
  app.add_option("--rows", rows, "of the table")->capture_default_str();
  app.add_option("--budgets", budgets, "what kernels may need at most (JSON)");
  if (!parse_flags(app, argc, argv)) return 0;
  const Profile profile = read_profile(file);
  print_result(table(profile, rows));
  if (budgets.empty()) return 0;
  const std::vector<std::string> broken = broken_budgets(profile, budgets);
  for (const std::string& text : broken) print_result("over budget: " + text + "\n");
  return broken.empty() ? 0 : static_cast<int>(ErrorKind::check);
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("kernels_profile", [=] { return run(argc, argv); });
}
