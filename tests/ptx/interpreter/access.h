// Where the lanes of an access go, checked: bounds, alignment, and what the access costs.
#pragma once
#include "tests/ptx/interpreter/lanes.h"

namespace poise::ptx {

struct Places {
  unsigned char* at[kLanes];  // on the host; of lanes that take part
};

enum class Access : uint8_t { load, store };

// The addresses of an access; a is the place of the base.
void addresses_of(Warp& w, const Instruction& i, uint32_t base, uint64_t (&to)[kLanes]);

// Of an access in i.space. Counts what it costs, if the launch has a profile.
void resolve(Warp& w, const Instruction& i, uint32_t lanes, Access access, Places& places);

// Pieces of both, for copies that go from one space to another.
void resolve_global(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, uint32_t used,
                    const char* what, Places& places);
void check_shared(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, const char* what);

// For the profile, if there is one: sectors of 32 bytes that a request to global memory touches; passes through the 32
// banks that an access to shared memory takes, and how many it would take without conflicts.
void count_global(Warp& w, const Instruction& i, const uint64_t (&addresses)[kLanes], uint32_t lanes);
void count_shared(Warp& w, const Instruction& i, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes);

}  // namespace poise::ptx
