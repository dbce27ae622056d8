#include "tests/ptx/interpreter/access.h"

#include <algorithm>
#include <cstdio>

namespace poise::ptx {
namespace {

std::string hex(uint64_t address) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

std::string text_of(const char* what, uint32_t bytes, uint64_t address, int lane) {
  return std::string(what) + " of " + std::to_string(bytes) + " bytes at " + hex(address) + " by lane " +
         std::to_string(lane);
}

void check_alignment(const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, const char* what) {
  uint64_t together = 0;
  for (int lane = 0; lane < kLanes; ++lane) together |= has(lanes, lane) ? addresses[lane] : 0;
  if ((together & (bytes - 1)) == 0) return;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has(lanes, lane) && (addresses[lane] & (bytes - 1)) != 0) {
      fault("misaligned: " + text_of(what, bytes, addresses[lane], lane));
    }
  }
}

struct Extent {
  uint64_t least, most;
};
Extent extent_of(const uint64_t (&addresses)[kLanes], uint32_t lanes) {
  uint64_t least = ~uint64_t{0}, most = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    least = std::min(least, has(lanes, lane) ? addresses[lane] : ~uint64_t{0});
    most = std::max(most, has(lanes, lane) ? addresses[lane] : 0);
  }
  return {least, most};
}

void check_below(uint64_t end, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, const char* what,
                 const char* where) {
  check_alignment(addresses, lanes, bytes, what);
  if (extent_of(addresses, lanes).most + bytes <= end) return;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has(lanes, lane) && addresses[lane] + bytes > end) {
      fault("out of bounds: " + text_of(what, bytes, addresses[lane], lane) + "; there are " + std::to_string(end) +
            " bytes of " + where);
    }
  }
}

void resolve_generic(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, const char* what,
                     Places& places) {
  check_alignment(addresses, lanes, bytes, what);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has(lanes, lane)) continue;
    const uint64_t address = addresses[lane];
    const uint32_t one = uint32_t{1} << lane;
    uint64_t inside[kLanes] = {};
    if (address - kSharedWindow < kWindowBytes) {
      inside[lane] = address - kSharedWindow;
      check_shared(w, inside, one, bytes, what);
      places.at[lane] = w.block->shared + inside[lane];
    } else if (address - kLocalWindow < kWindowBytes) {
      inside[lane] = address - kLocalWindow;
      const size_t local = w.block->launch->program->local_bytes;
      check_below(local, inside, one, bytes, what, "local memory");
      places.at[lane] = w.local + static_cast<size_t>(lane) * local + inside[lane];
    } else {
      resolve_global(w, addresses, one, bytes, bytes, what, places);
    }
  }
}

const char* word_of(Access access, Space space) {
  constexpr const char* kWords[2][5] = {
      {"load", "load of a parameter", "load from global memory", "load from shared memory", "load from local memory"},
      {"store", "store to a parameter", "store to global memory", "store to shared memory", "store to local memory"}};
  return kWords[access == Access::store][static_cast<int>(space)];
}

InstructionCounts& counts_of(Profile& profile, const Warp& w, const Instruction& i) {
  return profile.counts[static_cast<size_t>(&i - w.block->launch->program->code.data())];
}

}  // namespace

void addresses_of(Warp& w, const Instruction& i, uint32_t base, uint64_t (&to)[kLanes]) {
  if (i.wide_address) {
    const uint64_t* from = w.lanes<uint64_t>(base);
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = from[lane] + i.offset;
  } else {
    const uint32_t* from = w.lanes<uint32_t>(base);
    const auto offset = static_cast<uint32_t>(i.offset);
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = from[lane] + offset;
  }
}

void resolve_global(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, uint32_t used,
                    const char* what, Places& places) {
  check_alignment(addresses, lanes, bytes, what);
  Region& latest = w.block->latest;
  const auto [least, most] = extent_of(addresses, lanes);
  const MemoryMap& memory = *w.block->launch->memory;
  if (!latest.holds(least, most + used)) {
    const std::optional<Region> found = memory.find(least);
    if (found) latest = *found;
  }
  if (latest.holds(least, most + used)) {
    const ptrdiff_t to_host = latest.to_host;
    for (int lane = 0; lane < kLanes; ++lane) {
      places.at[lane] = reinterpret_cast<unsigned char*>(addresses[lane] + static_cast<uint64_t>(to_host));
    }
    return;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has(lanes, lane)) continue;
    const std::optional<Region> region = memory.find(addresses[lane]);
    if (!region || !region->holds(addresses[lane], addresses[lane] + used)) {
      fault("out of bounds: " + text_of(what, bytes, addresses[lane], lane) + ", " + memory.describe(addresses[lane]));
    }
    places.at[lane] = reinterpret_cast<unsigned char*>(addresses[lane] + static_cast<uint64_t>(region->to_host));
  }
}

void check_shared(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, const char* what) {
  check_below(w.block->shared_bytes, addresses, lanes, bytes, what, "shared memory");
}

void resolve(Warp& w, const Instruction& i, uint32_t lanes, Access access, Places& places) {
  uint64_t addresses[kLanes];
  addresses_of(w, i, i.a, addresses);
  const char* what = word_of(access, i.space);
  switch (i.space) {
    case Space::global:
      count_global(w, i, addresses, lanes);
      return resolve_global(w, addresses, lanes, i.bytes, i.used_bytes, what, places);
    case Space::generic:
      return resolve_generic(w, addresses, lanes, i.bytes, what, places);
    case Space::shared:
      check_shared(w, addresses, lanes, i.bytes, what);
      count_shared(w, i, addresses, lanes, i.bytes);
      for (int lane = 0; lane < kLanes; ++lane) places.at[lane] = w.block->shared + addresses[lane];
      return;
    case Space::parameter: {
      const auto& parameters = w.block->launch->parameters;
      check_below(parameters.size(), addresses, lanes, i.bytes, what, "parameters");
      auto* base = const_cast<unsigned char*>(parameters.data());
      for (int lane = 0; lane < kLanes; ++lane) places.at[lane] = base + addresses[lane];
      return;
    }
    case Space::local: {
      const size_t bytes = w.block->launch->program->local_bytes;
      check_below(bytes, addresses, lanes, i.bytes, what, "local memory");
      for (int lane = 0; lane < kLanes; ++lane) {
        places.at[lane] = w.local + static_cast<size_t>(lane) * bytes + addresses[lane];
      }
      return;
    }
  }
}

void count_global(Warp& w, const Instruction& i, const uint64_t (&addresses)[kLanes], uint32_t lanes) {
  Profile* profile = w.block->launch->options.profile;
  if (!profile || lanes == 0) return;
  InstructionCounts& counts = counts_of(*profile, w, i);
  uint64_t sectors[kLanes];
  size_t n = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has(lanes, lane)) sectors[n++] = addresses[lane] / 32;  // an aligned access lies within one
  }
  std::sort(sectors, sectors + n);
  n = static_cast<size_t>(std::unique(sectors, sectors + n) - sectors);
  ++counts.requests;
  counts.sectors += n;
  counts.first_sector = std::min(counts.first_sector, sectors[0]);
  counts.last_sector = std::max(counts.last_sector, sectors[n - 1]);
  profile->touched.insert(sectors, sectors + n);
}

// A pass moves 128 bytes: 32 lanes of up to 4 bytes, 16 of 8, or 8 of 16. Each bank delivers one 4-byte word per pass.
void count_shared(Warp& w, const Instruction& i, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes) {
  Profile* profile = w.block->launch->options.profile;
  if (!profile) return;
  InstructionCounts& counts = counts_of(*profile, w, i);
  const int group = bytes <= 4 ? kLanes : static_cast<int>(128 / bytes);
  const uint64_t words_per_lane = std::max<uint32_t>(1, bytes / 4);
  for (int first = 0; first < kLanes; first += group) {
    uint64_t words[kLanes];
    size_t n = 0;
    for (int lane = first; lane < first + group; ++lane) {
      if (!has(lanes, lane)) continue;
      for (uint64_t k = 0; k < words_per_lane; ++k) words[n++] = addresses[lane] / 4 + k;
    }
    if (n == 0) continue;
    std::sort(words, words + n);
    n = static_cast<size_t>(std::unique(words, words + n) - words);
    uint32_t in_bank[32] = {}, worst = 0;
    for (size_t k = 0; k < n; ++k) worst = std::max(worst, ++in_bank[words[k] % 32]);
    counts.wavefronts += worst;
    ++counts.phases;
  }
}

}  // namespace poise::ptx
