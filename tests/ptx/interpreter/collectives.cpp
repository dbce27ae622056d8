// Operations of several lanes or warps together: shuffles, votes, reductions over a warp, barriers.
#include <algorithm>

#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

std::string lanes_text(uint32_t lanes) {
  std::string text;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has(lanes, lane)) text += (text.empty() ? "" : ",") + std::to_string(lane);
  }
  return text;
}

// Calls f(group) for every set of lanes that pass the same mask. All living lanes in the mask must take part.
template <class F>
void for_each_group(Warp& w, uint32_t mask_place, uint32_t lanes, const F& f) {
  const uint32_t* masks = w.lanes<uint32_t>(mask_place);
  for (uint32_t rest = lanes; rest != 0;) {
    const uint32_t mask = masks[std::countr_zero(rest)];
    uint32_t group = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has(rest, lane) && masks[lane] == mask) group |= uint32_t{1} << lane;
    }
    if ((group & ~mask) != 0) fault("lanes " + lanes_text(group & ~mask) + " are not in the mask they name");
    const uint32_t missing = mask & w.living() & ~group;
    if (missing != 0) fault("lanes " + lanes_text(missing) + " are in the mask but do not take part");
    f(group);
    rest &= ~group;
  }
}

enum class Shuffle { up, down, butterfly, index };

// d: result; e: predicate, if i.offset is not 0. a: value, b: lane or distance, c: segments.
template <Shuffle kind>
void shuffle(Warp& w, const Instruction& i, uint32_t lanes) {
  const uint32_t mask_place = w.block->launch->program->operands[i.list];
  for_each_group(w, mask_place, lanes, [&](uint32_t group) {
    const uint32_t *values = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b), *c = w.lanes<uint32_t>(i.c);
    uint32_t results[kLanes], in_range = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      if (!has(group, static_cast<int>(lane))) continue;
      const uint32_t by = b[lane] & 31, limit = c[lane] & 31, segments = c[lane] >> 8 & 31;
      const auto last = static_cast<int>((lane & segments) | (limit & ~segments));
      int source = 0;
      bool valid = false;
      switch (kind) {
        case Shuffle::up:
          source = static_cast<int>(lane) - static_cast<int>(by);
          valid = source >= last;
          break;
        case Shuffle::down:
          source = static_cast<int>(lane + by);
          valid = source <= last;
          break;
        case Shuffle::butterfly:
          source = static_cast<int>(lane ^ by);
          valid = source <= last;
          break;
        case Shuffle::index:
          source = static_cast<int>((lane & segments) | (by & ~segments));
          valid = source <= last;
          break;
      }
      if (!valid) source = static_cast<int>(lane);
      in_range |= valid ? uint32_t{1} << lane : 0;
      results[lane] = has(group, source) ? values[source] : kAll;  // undefined if the source lane takes no part
    }
    uint32_t* to = w.lanes<uint32_t>(i.d);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has(group, lane)) to[lane] = results[lane];
    }
    if (i.offset != 0) {
      uint32_t& p = w.predicate(i.e);
      p = (p & ~group) | (in_range & group);
    }
  });
}

enum class Vote { ballot, any, every };

// a: predicate, b: mask, d: a number or a predicate.
template <Vote kind>
void vote(Warp& w, const Instruction& i, uint32_t lanes) {
  const uint32_t votes = i.offset != 0 ? ~w.predicate(i.a) : w.predicate(i.a);
  for_each_group(w, i.b, lanes, [&](uint32_t group) {
    const uint32_t in_favour = votes & group;
    if (kind == Vote::ballot) {
      uint32_t* to = w.lanes<uint32_t>(i.d);
      for (int lane = 0; lane < kLanes; ++lane) {
        if (has(group, lane)) to[lane] = in_favour;
      }
      return;
    }
    const bool result = kind == Vote::any ? in_favour != 0 : in_favour == group;
    uint32_t& p = w.predicate(i.d);
    p = result ? p | group : p & ~group;
  });
}

template <class T, class F>
void reduce(Warp& w, const Instruction& i, uint32_t lanes) {
  for_each_group(w, i.b, lanes, [&](uint32_t group) {
    uint32_t* from = w.lanes<uint32_t>(i.a);
    T sum = get<T>(from, std::countr_zero(group));
    for (int lane = std::countr_zero(group) + 1; lane < kLanes; ++lane) {
      if (has(group, lane)) sum = F{}(sum, get<T>(from, lane));
    }
    uint32_t* to = w.lanes<uint32_t>(i.d);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has(group, lane)) to[lane] = stored<T>(sum);
    }
  });
}
template <class T>
Handler reduction(const std::string& operation) {
  if (operation == "add") return reduce<uint32_t, decltype([](uint32_t a, uint32_t b) { return a + b; })>;
  if (operation == "min") return reduce<T, decltype([](T a, T b) { return std::min(a, b); })>;
  if (operation == "max") return reduce<T, decltype([](T a, T b) { return std::max(a, b); })>;
  if (operation == "and") return reduce<T, decltype([](T a, T b) { return static_cast<T>(a & b); })>;
  if (operation == "or") return reduce<T, decltype([](T a, T b) { return static_cast<T>(a | b); })>;
  return nullptr;
}

void warp_barrier(Warp& w, const Instruction& i, uint32_t lanes) {
  for_each_group(w, i.b, lanes, [](uint32_t) {});
}

// b: number of the barrier. If `list` is not 0, it is a bar.red with its predicate in a.
void block_barrier(Warp& w, const Instruction& i, uint32_t lanes) {
  if (lanes != w.living()) {
    fault("a barrier of the block without lanes " + lanes_text(w.living() & ~lanes) + " of the warp");
  }
  const uint32_t number = w.lanes<uint32_t>(i.b)[std::countr_zero(lanes)];
  if (number >= 16) fault("a block has 16 barriers");
  const uint32_t p = i.list == 0 ? 0 : i.offset != 0 ? ~w.predicate(i.a) : w.predicate(i.a);
  w.block->arrive(w, i, p & lanes);
}

uint32_t predicate_of(Decoding& d, const Operand& operand, Instruction& i) {
  Operand plain = operand;
  plain.negated = false;
  i.offset = operand.negated ? 1 : 0;
  return d.place(plain, 'p');
}

void decode_shuffle(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const std::vector<Operand>& o = text.operands;
  if (o.size() != 5 || opcode.parts.size() != 4 || opcode.parts[3] != "b32") d.refuse("expected shfl.sync.KIND.b32");
  const std::string& kind = opcode.parts[2];
  i.some = kind == "up"     ? shuffle<Shuffle::up>
           : kind == "down" ? shuffle<Shuffle::down>
           : kind == "bfly" ? shuffle<Shuffle::butterfly>
           : kind == "idx"  ? shuffle<Shuffle::index>
                            : nullptr;
  if (!i.some) d.refuse("shfl.sync." + kind + " is not known");
  i.all = i.some;
  i.kind = Kind::shuffle;
  Operand result = o[0];
  if (result.second >= 0) {
    Operand p = result;
    p.reg = result.second;
    p.second = -1;
    i.e = d.place(p, 'p');
    i.offset = 1;
    result.second = -1;
  }
  i.d = d.place(result, 'w');
  i.a = d.place(o[1], 'w');
  i.b = d.place(o[2], 'w');
  i.c = d.place(o[3], 'w');
  i.list = d.add_list({d.place(o[4], 'w')});
}

void decode_barrier(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const std::vector<Operand>& o = text.operands;
  i.kind = Kind::barrier;
  if (opcode.has("warp")) {
    i.some = i.all = warp_barrier;
    i.b = d.place(o.at(0), 'w');
    return;
  }
  i.some = i.all = block_barrier;
  if (opcode.parts[1] == "sync") {
    if (o.size() != 1) d.refuse("barriers of a part of the block are not known");
    i.b = d.place(o[0], 'w');
    return;
  }
  if (opcode.parts[1] != "red" || o.size() != 3) d.refuse("expected .sync, or .red of a whole block");
  const bool count = opcode.has("popc");
  if (!count && !opcode.has("and") && !opcode.has("or")) d.refuse("expected .popc, .and or .or");
  i.d = d.place(o[0], count ? 'w' : 'p');
  i.b = d.place(o[1], 'w');
  i.a = predicate_of(d, o[2], i);
  i.list = count ? 1 : opcode.has("and") ? 2 : 3;  // the kind of result; see Block::release_barriers
}

}  // namespace

uint32_t Block::draw() {  // xorshift64* (Vigna, 2016)
  random ^= random >> 12;
  random ^= random << 25;
  random ^= random >> 27;
  return static_cast<uint32_t>((random * 0x2545f4914f6cdd1dull) >> 32);
}

void Block::arrive(Warp& warp, const Instruction& i, uint32_t predicate) {
  const auto number = warp.lanes<uint32_t>(i.b)[std::countr_zero(warp.living())];
  Barrier& barrier = barriers[number];
  ++barrier.warps;
  barrier.threads += static_cast<uint32_t>(std::popcount(warp.living()));
  barrier.threads_with += static_cast<uint32_t>(std::popcount(predicate));
  warp.barrier = &i;
  warp.state = Warp::State::at_barrier;
  release_barriers();
}

// Releases every barrier at which all warps that have not exited are waiting.
void Block::release_barriers() {
  uint32_t living = 0;
  for (const Warp& w : warps) living += w.state != Warp::State::done;
  for (uint32_t number = 0; number < barriers.size(); ++number) {
    Barrier& barrier = barriers[number];
    if (barrier.warps == 0 || barrier.warps != living) continue;
    for (Warp& w : warps) {
      if (w.state != Warp::State::at_barrier) continue;
      const Instruction& i = *w.barrier;
      if (i.list == 1) {
        uint32_t* to = w.lanes<uint32_t>(i.d);
        for (int lane = 0; lane < kLanes; ++lane) {
          if (has(w.living(), lane)) to[lane] = barrier.threads_with;
        }
      } else if (i.list >= 2) {
        const bool result = i.list == 2 ? barrier.threads_with == barrier.threads : barrier.threads_with > 0;
        uint32_t& p = w.predicate(i.d);
        p = result ? p | w.living() : p & ~w.living();
      }
      w.state = Warp::State::ready;
    }
    barrier = {};
  }
}

bool decode_collective(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  const std::string& name = opcode.parts[0];
  if (opcode.parts.size() < 2) return false;
  if (name == "shfl" && opcode.has("sync")) {
    decode_shuffle(d, opcode, text, i);
    return true;
  }
  if (name == "bar" || name == "barrier") {
    decode_barrier(d, opcode, text, i);
    return true;
  }
  if (name == "vote" && opcode.has("sync")) {
    i.some = i.all = opcode.has("ballot") ? vote<Vote::ballot>
                     : opcode.has("any")  ? vote<Vote::any>
                     : opcode.has("all")  ? vote<Vote::every>
                                          : nullptr;
    if (!i.some || text.operands.size() != 3) d.refuse("expected .ballot, .any or .all and three operands");
    i.kind = Kind::shuffle;
    i.d = d.place(text.operands[0], opcode.has("ballot") ? 'w' : 'p');
    i.a = predicate_of(d, text.operands[1], i);
    i.b = d.place(text.operands[2], 'w');
    return true;
  }
  if (name == "redux" && opcode.parts.size() == 4 && opcode.parts[1] == "sync") {
    i.some = i.all =
        opcode.parts[3] == "s32" ? reduction<int32_t>(opcode.parts[2]) : reduction<uint32_t>(opcode.parts[2]);
    if (!i.some) d.refuse("expected .add, .min, .max, .and or .or");
    i.kind = Kind::shuffle;
    i.d = d.place(text.operands.at(0), 'w');
    i.a = d.place(text.operands.at(1), 'w');
    i.b = d.place(text.operands.at(2), 'w');
    return true;
  }
  return false;
}

}  // namespace poise::ptx
