// Branches and exits, the divergent paths of a warp, and where they reconverge.
#include <algorithm>

#include "tests/ptx/interpreter/forms.h"

namespace poise::ptx {
namespace {

void branch(Warp& w, const Instruction& i, uint32_t taken) { w.branch(i, taken); }

void branch_together(Warp& w, const Instruction& i, uint32_t taken) {
  if (taken != w.active) fault("bra.uni, and lanes disagree");
  w.branch(i, taken);
}

void leave(Warp& w, const Instruction&, uint32_t lanes) { w.leave(lanes); }

void trap(Warp&, const Instruction&, uint32_t) { fault("trap"); }

// Pack parts into a register, or unpack them. a: the whole register; list: the parts, from the low end.
template <class Whole, int kParts>
void unpack(Warp& w, const Instruction& i, uint32_t lanes) {
  const uint32_t* places = &w.block->launch->program->operands[i.list];
  const Whole* from = w.lanes<Whole>(i.a);
  Whole values[kLanes];
  std::copy(from, from + kLanes, values);
  constexpr int kBits = static_cast<int>(sizeof(Whole)) * 8 / kParts;
  for (int n = 0; n < kParts; ++n) {
    uint32_t* to = w.lanes<uint32_t>(places[n]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const auto part = static_cast<uint32_t>(values[lane] >> kBits * n & ((uint64_t{1} << kBits) - 1));
      to[lane] = has(lanes, lane) ? part : to[lane];
    }
  }
}
template <class Whole, int kParts>
void pack(Warp& w, const Instruction& i, uint32_t lanes) {
  const uint32_t* places = &w.block->launch->program->operands[i.list];
  constexpr int kBits = static_cast<int>(sizeof(Whole)) * 8 / kParts;
  Whole values[kLanes] = {};
  for (int n = 0; n < kParts; ++n) {
    const uint32_t* from = w.lanes<uint32_t>(places[n]);
    for (int lane = 0; lane < kLanes; ++lane) values[lane] |= static_cast<Whole>(from[lane]) << kBits * n;
  }
  Whole* to = w.lanes<Whole>(i.a);
  for (int lane = 0; lane < kLanes; ++lane) to[lane] = has(lanes, lane) ? values[lane] : to[lane];
}

}  // namespace

bool decode_control(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  if (opcode.whole == "bra" || opcode.whole == "bra.uni") {
    i.some = i.all = opcode.whole == "bra" ? branch : branch_together;
    i.kind = Kind::branch;
    i.target = d.label(text.operands.at(0));
    return true;
  }
  if (opcode.whole == "ret" || opcode.whole == "exit") {
    i.some = i.all = leave;
    i.kind = Kind::branch;
    return true;
  }
  if (opcode.whole == "trap") {
    i.some = i.all = trap;
    return true;
  }
  return false;
}

bool decode_move(Decoding& d, const Opcode& opcode, const InstructionText& text, Instruction& i) {
  if (opcode.parts[0] != "mov" || text.operands.size() != 2) return false;
  const bool out = text.operands[0].kind == Operand::Kind::vector;
  if (!out && text.operands[1].kind != Operand::Kind::vector) return false;
  const std::vector<Operand>& parts = text.operands[out ? 0 : 1].parts;
  const bool wide = opcode.parts[1] == "b64";
  if (!wide && opcode.parts[1] != "b32") d.refuse("expected .b32 or .b64");
  i.kind = Kind::move;
  i.a = d.place(text.operands[out ? 1 : 0], wide ? 'l' : 'w');
  std::vector<uint32_t> places;
  for (const Operand& part : parts) places.push_back(d.place(part, wide && parts.size() == 2 ? 'w' : 'h'));
  i.list = d.add_list(places);
  if (wide && parts.size() == 2) {
    i.some = i.all = out ? unpack<uint64_t, 2> : pack<uint64_t, 2>;
  } else if (wide && parts.size() == 4) {
    i.some = i.all = out ? unpack<uint64_t, 4> : pack<uint64_t, 4>;
  } else if (!wide && parts.size() == 2) {
    i.some = i.all = out ? unpack<uint32_t, 2> : pack<uint32_t, 2>;
  } else {
    d.refuse("expected two parts, or four of 16 bits");
  }
  return true;
}

void Warp::branch(const Instruction& i, uint32_t taken) {
  if (taken == active) {
    pc = i.target;
    return;
  }
  if (Profile* profile = block->launch->options.profile) ++profile->divergent_branches;
  Path sides[2] = {{active & ~taken, pc, i.reconverge}, {taken, i.target, i.reconverge}};
  // Kernels must not depend on which side goes first.
  const Order order = block->launch->options.order;
  if (order == Order::descending || (order == Order::random && block->draw() % 2 == 0)) std::swap(sides[0], sides[1]);
  // All lanes continue together at the reconvergence point. If this path ends there anyway, the path below covers that.
  if (i.reconverge != reconverge) waiting.push_back({active, i.reconverge, reconverge});
  for (const Path& side : sides) {
    // Lanes that branch to an unconditional exit leave now: the hardware would not make them wait either.
    const Instruction& first = block->launch->program->code[static_cast<size_t>(side.pc)];
    if (first.kind == Kind::branch && first.target < 0 && first.guard == Instruction::kNone) {
      exited |= side.lanes;
      for (Path& path : waiting) path.lanes &= ~side.lanes;
    } else if (side.pc != i.reconverge) {
      waiting.push_back(side);
    }
  }
  active = 0;
  pop_finished_paths();
}

void Warp::leave(uint32_t lanes) {
  exited |= lanes;
  active &= ~lanes;
  for (Path& path : waiting) path.lanes &= ~lanes;
  if (active == 0) pop_finished_paths();
}

void Warp::pop_finished_paths() {
  while (active == 0 || pc == reconverge) {
    if (waiting.empty()) {
      state = State::done;
      return;
    }
    active = waiting.back().lanes;
    pc = waiting.back().pc;
    reconverge = waiting.back().reconverge;
    waiting.pop_back();
  }
}

// Computes immediate postdominators iteratively (Cooper, Harvey and Kennedy, 2001) on the reversed graph of basic
// blocks, starting at the end.
void find_reconvergence(Program& program) {
  auto& code = program.code;
  const int n = static_cast<int>(code.size());
  const auto at = [&](int pc) -> Instruction& { return code[static_cast<size_t>(pc)]; };
  const auto is_branch = [&](int pc) { return at(pc).kind == Kind::branch; };

  std::vector<int> block_of(static_cast<size_t>(n), 0), begins;
  std::vector<char> leader(static_cast<size_t>(n) + 1, 0);
  leader[0] = 1;
  for (int pc = 0; pc < n; ++pc) {
    if (!is_branch(pc)) continue;
    leader[static_cast<size_t>(pc) + 1] = 1;
    if (at(pc).target >= 0) leader[static_cast<size_t>(at(pc).target)] = 1;
  }
  for (int pc = 0; pc < n; ++pc) {
    if (leader[static_cast<size_t>(pc)]) begins.push_back(pc);
    block_of[static_cast<size_t>(pc)] = static_cast<int>(begins.size()) - 1;
  }
  const int blocks = static_cast<int>(begins.size()), end = blocks;  // `end` is not a block: it follows all
  std::vector<std::vector<int>> next(static_cast<size_t>(blocks) + 1), before(static_cast<size_t>(blocks) + 1);
  for (int b = 0; b < blocks; ++b) {
    const int last = (b + 1 < blocks ? begins[static_cast<size_t>(b) + 1] : n) - 1;
    const Instruction& i = at(last);
    const auto link = [&](int to) {
      next[static_cast<size_t>(b)].push_back(to);
      before[static_cast<size_t>(to)].push_back(b);
    };
    if (is_branch(last)) link(i.target < 0 ? end : block_of[static_cast<size_t>(i.target)]);
    if (!is_branch(last) || i.guard != Instruction::kNone)
      link(last + 1 < n ? block_of[static_cast<size_t>(last) + 1] : end);
  }

  // Postorder of the backward graph.
  std::vector<int> number(static_cast<size_t>(blocks) + 1, -1), order;
  std::vector<std::pair<int, size_t>> stack = {{end, 0}};
  std::vector<char> seen(static_cast<size_t>(blocks) + 1, 0);
  seen[static_cast<size_t>(end)] = 1;
  while (!stack.empty()) {
    auto& [b, child] = stack.back();
    if (child < before[static_cast<size_t>(b)].size()) {
      const int to = before[static_cast<size_t>(b)][child++];
      if (!seen[static_cast<size_t>(to)]) {
        seen[static_cast<size_t>(to)] = 1;
        stack.emplace_back(to, 0);
      }
    } else {
      number[static_cast<size_t>(b)] = static_cast<int>(order.size());
      order.push_back(b);
      stack.pop_back();
    }
  }
  std::vector<int> above(static_cast<size_t>(blocks) + 1, -1);  // immediate postdominator
  above[static_cast<size_t>(end)] = end;
  const auto meet = [&](int a, int b) {
    while (a != b) {
      while (number[static_cast<size_t>(a)] < number[static_cast<size_t>(b)]) a = above[static_cast<size_t>(a)];
      while (number[static_cast<size_t>(b)] < number[static_cast<size_t>(a)]) b = above[static_cast<size_t>(b)];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t k = order.size(); k-- > 0;) {
      const int b = order[k];
      if (b == end) continue;
      int found = -1;
      for (const int to : next[static_cast<size_t>(b)]) {
        if (above[static_cast<size_t>(to)] < 0) continue;
        found = found < 0 ? to : meet(found, to);
      }
      if (found >= 0 && above[static_cast<size_t>(b)] != found) {
        above[static_cast<size_t>(b)] = found;
        changed = true;
      }
    }
  }
  for (int pc = 0; pc < n; ++pc) {
    if (!is_branch(pc) || at(pc).target < 0) continue;
    const int b = above[static_cast<size_t>(block_of[static_cast<size_t>(pc)])];
    at(pc).reconverge = b < 0 || b == end ? n : begins[static_cast<size_t>(b)];
  }
}

}  // namespace poise::ptx
