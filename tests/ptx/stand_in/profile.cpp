#include "tests/ptx/stand_in/profile.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <tuple>

#include "tests/ptx/stand_in/policy.h"

namespace poise::stand_in {
namespace {

constexpr auto kKinds = static_cast<size_t>(ptx::Kind::count);

struct Row {
  int registers = 0, resident_blocks = 0;
  uint64_t launches = 0, lanes = 0, requests = 0, sectors = 0, touched = 0, wavefronts = 0, phases = 0, divergent = 0;
  uint64_t macs_16_bits = 0, macs_tf32 = 0;  // on tensor cores
  std::array<uint64_t, kKinds> warps = {};
};

// Kernel, blocks, threads per block, bytes of shared memory.
using Key = std::tuple<std::string, uint64_t, uint64_t, uint64_t>;

struct Collected {
  std::map<Key, Row> rows;
  double seconds = 0;
  uint64_t instructions = 0;
  void forget() {
    rows.clear();
    seconds = 0;
    instructions = 0;
  }
  ~Collected() {
    const char* path = std::getenv("STAND_IN_PROFILE");
    if (!path || rows.empty()) return;
    std::FILE* file = std::fopen(path, "w");
    if (!file) {
      complain("STAND_IN_PROFILE", std::string("cannot write ") + path);
      return;
    }
    for (const auto& [key, row] : rows) write(file, key, row);
    std::fprintf(file, "{\"interpreted_seconds\": %.3f, \"warp_instructions\": %" PRIu64 "}\n", seconds, instructions);
    if (std::fclose(file) != 0) complain("STAND_IN_PROFILE", std::string("cannot write ") + path);
  }
  static void write(std::FILE* file, const Key& key, const Row& row) {
    const auto& [kernel, blocks, threads, shared] = key;
    std::fprintf(file, "{\"kernel\": \"%s\", \"blocks\": %" PRIu64 ", \"threads\": %" PRIu64, kernel.c_str(), blocks,
                 threads);
    const auto field = [&](const char* name, uint64_t value) { std::fprintf(file, ", \"%s\": %" PRIu64, name, value); };
    field("shared_bytes", shared);
    field("registers", static_cast<uint64_t>(row.registers));
    field("resident_blocks", static_cast<uint64_t>(row.resident_blocks));
    field("launches", row.launches);
    field("lanes", row.lanes);
    field("requests", row.requests);
    field("sectors", row.sectors);
    field("touched_sectors", row.touched);
    field("wavefronts", row.wavefronts);
    field("phases", row.phases);
    field("divergent_branches", row.divergent);
    field("macs_16_bits", row.macs_16_bits);
    field("macs_tf32", row.macs_tf32);
    std::fprintf(file, ", \"warps\": {");
    const char* comma = "";
    for (size_t kind = 0; kind < kKinds; ++kind) {
      if (row.warps[kind] == 0) continue;
      std::fprintf(file, "%s\"%s\": %" PRIu64, comma, ptx::name_of(static_cast<ptx::Kind>(kind)), row.warps[kind]);
      comma = ", ";
    }
    std::fprintf(file, "}}\n");
  }
};

Phase current_phase = Phase::before;

Collected& collected() {
  static Collected all;
  return all;
}

}  // namespace

bool profiling() {
  static const bool on = std::getenv("STAND_IN_PROFILE") != nullptr;
  return on && phase() != Phase::after;
}

Phase phase() { return current_phase; }
void enter(Phase phase) {
  if (phase == Phase::between) collected().forget();
  current_phase = phase;
}

void add_to_profile(const std::string& kernel, int registers, int resident_blocks, const ptx::Launch& launch,
                    const ptx::Profile& profile, uint64_t interpreted, double seconds) {
  const size_t shared = launch.program->static_shared_bytes + launch.dynamic_shared_bytes;
  Row& row = collected().rows[{kernel, launch.grid.count(), launch.block.count(), shared}];
  row.registers = registers;
  row.resident_blocks = resident_blocks;
  ++row.launches;
  row.touched += profile.touched_sectors;
  row.divergent += profile.divergent_branches;
  collected().seconds += seconds;
  collected().instructions += interpreted;
  const auto& text = launch.program->text->instructions;
  for (size_t i = 0; i < profile.counts.size(); ++i) {
    const ptx::InstructionCounts& counts = profile.counts[i];
    row.warps[static_cast<size_t>(launch.program->code[i].kind)] += counts.warps;
    row.lanes += counts.lanes;
    row.requests += counts.requests;
    row.sectors += counts.sectors;
    row.wavefronts += counts.wavefronts;
    row.phases += counts.phases;
    if (launch.program->code[i].kind != ptx::Kind::matrix_product) continue;
    if (text[i].opcode.find("m16n8k16") != std::string::npos) row.macs_16_bits += counts.warps * 16 * 8 * 16;
    if (text[i].opcode.find("m16n8k8") != std::string::npos) row.macs_tf32 += counts.warps * 16 * 8 * 8;
  }
}

}  // namespace poise::stand_in
