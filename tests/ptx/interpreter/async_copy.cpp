// cp.async: copies from global to shared memory that complete only when the warp waits for their group. Until then all
// bits of the destination are ones, which is NaN.
#include <algorithm>
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

// a: base of the destination. b: base of the source; its offset is in `list`. c: number of valid bytes.
void copy(Warp& w, const Instruction& i, uint32_t mask) {
  const uint32_t* more = &w.block->launch->program->operands[i.list];
  uint64_t to[kLanes], from[kLanes];
  addresses_of(w, i, i.a, to);
  const uint64_t* base = w.lanes<uint64_t>(i.b);
  const uint64_t offset = uint64_t{more[1]} << 32 | more[0];
  for (int lane = 0; lane < kLanes; ++lane) from[lane] = base[lane] + offset;
  check_shared(w, to, mask, i.bytes, "asynchronous copy to shared memory");

  AsyncCopy& copy = w.copies.emplace_back();
  copy.lanes = mask;
  copy.bytes = i.bytes;
  copy.group = w.commits;
  const uint32_t* valid = w.lanes<uint32_t>(i.c);
  uint32_t reading = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has(mask, lane)) continue;
    if (valid[lane] > i.bytes) fault("an asynchronous copy of more valid bytes than bytes");
    reading |= valid[lane] > 0 ? uint32_t{1} << lane : 0;
    copy.to[static_cast<size_t>(lane)] = static_cast<uint32_t>(to[lane]);
    copy.valid_bytes[static_cast<size_t>(lane)] = valid[lane];
    std::memset(w.block->shared + to[lane], 0xff, i.bytes);
  }
  if (reading != 0) {
    Places places;
    resolve_global(w, from, reading, i.bytes, i.bytes, "asynchronous copy from global memory", places);
    for (int lane = 0; lane < kLanes; ++lane) copy.from[static_cast<size_t>(lane)] = places.at[lane];
  }
  count_global(w, i, from, reading);
  count_shared(w, i, to, mask, i.bytes);
}

void land(Warp& w, const AsyncCopy& copy) {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if (!has(copy.lanes, static_cast<int>(lane))) continue;
    unsigned char* to = w.block->shared + copy.to[lane];
    const uint32_t valid = copy.valid_bytes[lane];
    if (valid > 0) std::memcpy(to, copy.from[lane], valid);
    std::memset(to + valid, 0, copy.bytes - valid);
  }
}

// PTX counts groups per thread. They are counted per warp here, which is the same if all lanes take part.
void require_whole_warp(Warp& w, uint32_t mask, const char* what) {
  if (mask != w.living()) fault(std::string(what) + " in divergent code is not known");
}

void commit(Warp& w, const Instruction&, uint32_t mask) {
  require_whole_warp(w, mask, "cp.async.commit_group");
  ++w.commits;
}

// b: how many of the latest groups may still be in flight.
void wait_group(Warp& w, const Instruction& i, uint32_t mask) {
  require_whole_warp(w, mask, "cp.async.wait_group");
  size_t kept = 0;
  for (size_t n = 0; n < w.copies.size(); ++n) {
    if (w.copies[n].group + i.b < w.commits) {
      land(w, w.copies[n]);
    } else {
      if (kept != n) w.copies[kept] = w.copies[n];
      ++kept;
    }
  }
  w.copies.resize(kept);
}

void wait_all(Warp& w, const Instruction&, uint32_t mask) {
  require_whole_warp(w, mask, "cp.async.wait_all");
  for (const AsyncCopy& copy : w.copies) land(w, copy);
  w.copies.clear();
}

}  // namespace

bool decode_async_copy(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  if (opcode.parts[0] != "cp" || opcode.parts.size() < 3 || opcode.parts[1] != "async") return false;
  const std::string& what = opcode.parts[2];
  i.kind = Kind::async_copy;
  if (opcode.whole == "cp.async.commit_group") {
    i.some = i.all = commit;
    return true;
  }
  if (opcode.whole == "cp.async.wait_group") {
    i.some = i.all = wait_group;
    i.b = static_cast<uint32_t>(text.operands.at(0).bits);
    return true;
  }
  if (opcode.whole == "cp.async.wait_all") {
    i.some = i.all = wait_all;
    return true;
  }
  if ((what != "ca" && what != "cg") || !opcode.has("shared") || !opcode.has("global")) return false;
  const std::vector<Operand>& o = text.operands;
  if (o.size() < 3 || o[2].kind != Operand::Kind::integer)
    d.refuse("expected [to], [from], bytes and maybe valid bytes");
  i.some = i.all = copy;
  i.bytes = i.used_bytes = static_cast<uint32_t>(o[2].bits);
  if (i.bytes != 16 && (what == "cg" || (i.bytes != 4 && i.bytes != 8))) d.refuse("no copy of this size exists");
  Instruction source = i;
  d.set_address(o[1], source);
  if (!source.wide_address) d.refuse("the source has an address of 64 bits");
  i.b = source.a;
  i.list = d.add_list({static_cast<uint32_t>(source.offset), static_cast<uint32_t>(source.offset >> 32)});
  i.c = d.place(o.size() > 3 ? o[3] : o[2], 'w');
  i.space = Space::shared;
  d.set_address(o[0], i);
  return true;
}

}  // namespace poise::ptx
