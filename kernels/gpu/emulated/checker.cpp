#include "kernels/gpu/emulated/checker.h"

#include <algorithm>
#include <bit>

#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/shared_memory.h"

namespace poise::emulator {

Checker checker;

// --- Time ---

void Checker::start_launch(const Launch& launch) {
  watching_ = launch.checked && options().check;
  if (!watching_) return;
  if (shared_ == nullptr) {
    shared_ = std::make_unique<Shadow>(shared_arena.begin(), shared_arena.capacity(), Contents::inaccessible);
  }
  constexpr uint32_t kTimeToStartOver = 1u << 31;
  constexpr size_t kMaxSites = 1u << 15;
  if (now_ > kTimeToStartOver || sites_.size() > kMaxSites) {  // old accesses happened before everything anyway
    memory_map.forget_accesses();
    shared_ = std::make_unique<Shadow>(shared_arena.begin(), shared_arena.capacity(), Contents::inaccessible);
    now_ = 1;
    sites_.clear();
    site_numbers_.clear();
    std::fill(std::begin(recent_sites_), std::end(recent_sites_), RecentSite{});
    std::fill_n(&partial_[0][0][0], sizeof(partial_) / sizeof(uint32_t), 0u);
    std::fill(std::begin(warp_barrier_), std::end(warp_barrier_), 0u);
  }
  launch_start_ = ++now_;
  publications_.clear();
  block_starts_.clear();
  shared_->mark(shared_->begin(), shared_arena.capacity(), Contents::inaccessible);
}

void Checker::start_block() {
  if (!watching_) return;
  block_start_ = block_barrier_ = ++now_;
  block_starts_.push_back({block_start_, scheduler.block()});
  seen_by_atomic_.clear();
  relied_on_.clear();
  for (const SharedArena::Piece& piece : shared_arena.pieces()) mark_shared(piece.begin, piece.bytes);
}

void Checker::mark_shared(const void* begin, size_t bytes) {
  if (watching_) shared_->mark(reinterpret_cast<uintptr_t>(begin), bytes, Contents::undefined);
}

void Checker::barrier() { block_barrier_ = ++now_; }

void Checker::warp_barrier(int warp, uint32_t lanes) {
  const uint32_t time = ++now_;
  if (lanes == scheduler.warps[warp].exists) {
    warp_barrier_[warp] = time;
    return;
  }
  uint32_t known[kLanes] = {};
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((lanes >> lane & 1) == 0) continue;
    for (int other = 0; other < kLanes; ++other) known[other] = std::max(known[other], partial_[warp][lane][other]);
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((lanes >> lane & 1) == 0) continue;
    for (int other = 0; other < kLanes; ++other) {
      partial_[warp][lane][other] = (lanes >> other & 1) != 0 ? time : known[other];
    }
  }
}

void Checker::fence(bool device_wide) {
  const int t = scheduler.thread();
  const Fence fence{.time = ++now_, .block_barrier = block_barrier_, .warp_barrier = warp_barrier_[t / kLanes]};
  fences_[kWithinBlock][t] = fence;
  if (device_wide) fences_[kWithinDevice][t] = fence;
  for (const Seen& s : seen_by_atomic_) {
    if (happened_before(s.thread, s.time)) relied_on_.push_back({s.publications, s.count, t, fence.time});
  }
}

void Checker::publish_and_see(const void* address) {
  const int self = scheduler.thread(), threads = scheduler.block_threads;
  Publication mine{.block = scheduler.block(), .before = {}};
  bool fenced = false;
  for (int scope = 0; scope < kScopes; ++scope) {
    const auto in_force = [&](int t) {  // has t passed a fence in this block, and before now?
      const uint32_t time = fences_[scope][t].time;
      return time > block_start_ && happened_before(t, time);
    };
    for (int t = 0; t < threads; ++t) {
      if (!in_force(t)) continue;
      fenced = true;
      mine.before[scope].resize(static_cast<size_t>(threads));
      mine.before[scope][static_cast<size_t>(t)] = fences_[scope][t].time;
    }
    if (!in_force(self)) continue;
    // A fence also passes on what its thread knew about others.
    for (int t = 0; t < threads; ++t) {
      uint32_t& before = mine.before[scope][static_cast<size_t>(t)];
      before = std::max(before, fences_[scope][self].block_barrier);
      if (t / kLanes == self / kLanes) before = std::max(before, fences_[scope][self].warp_barrier);
    }
  }
  const auto at = publications_.find(address);
  if (at == publications_.end() && !fenced) return;
  Publications& all = at != publications_.end() ? at->second : publications_[address];
  if (!all.empty()) seen_by_atomic_.push_back({&all, all.size(), self, now_});
  if (fenced) all.push_back(std::move(mine));
}

// --- Order ---

// Did what a thread of this block did at this time happen before everything that the running thread does now?
bool Checker::happened_before(int thread, uint32_t time) const {
  const int self = scheduler.thread(), warp = self / kLanes;
  return thread == self || time < block_barrier_ ||
         (thread / kLanes == warp &&
          (time < warp_barrier_[warp] || time < partial_[warp][self % kLanes][thread % kLanes]));
}

bool Checker::ordered(const Record& r, bool shared) const {
  if (r.time() >= block_start_) return happened_before(r.thread(), r.time()) || published(r);
  return shared || r.time() < launch_start_ || published(r);  // each block has its own shared memory
}

// Has an atomic published the access, and has the running thread seen that?
bool Checker::published(const Record& r) const {
  if (relied_on_.empty()) return false;
  const int64_t block = block_at(r.time());
  const Scope scope = block == scheduler.block() ? kWithinBlock : kWithinDevice;
  for (const Seen& s : relied_on_) {
    if (!happened_before(s.thread, s.time)) continue;
    for (size_t i = 0; i < s.count; ++i) {
      const Publication& p = (*s.publications)[i];
      const auto& before = p.before[scope];
      if (p.block == block && !before.empty() && r.time() < before[static_cast<size_t>(r.thread())]) return true;
    }
  }
  return false;
}

int64_t Checker::block_at(uint32_t time) const {
  const auto after = std::upper_bound(block_starts_.begin(), block_starts_.end(), time,
                                      [](uint32_t value, const BlockStart& b) { return value < b.time; });
  return after == block_starts_.begin() ? -1 : std::prev(after)->block;
}

// --- Accesses ---

void Checker::access(const void* pointer, size_t bytes, Access kind, AccessSite site) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  if (address - reinterpret_cast<uintptr_t>(&device::indices) < sizeof(device::indices)) return;  // threadIdx ...
  if (shared_arena.owns(pointer)) return check(*shared_, address, bytes, kind, site, true);
  if (scheduler.fibers.owns(pointer)) {
    if (!scheduler.owns_stack(pointer)) {
      scheduler.stop(
          [=] { return this_thread() + " at " + site.text() + " accesses a local variable of another thread"; });
    }
    return;
  }
  if (Shadow* shadow = memory_map.find(address)) {
    check(*shadow, address, bytes, kind, site, false);
  } else {
    outside(address, bytes, kind, site);
  }
  if (kind == Access::atomic) publish_and_see(pointer);
}

void Checker::check(Shadow& shadow, uintptr_t address, size_t bytes, Access kind, AccessSite site, bool shared) {
  const int self = scheduler.thread();
  const uint32_t number = number_of(site), oldest = shared ? block_start_ : launch_start_;
  const auto race = [&](const Record& r, uint32_t mask) {
    return r.time() >= oldest && (r.bytes() & mask) != 0 && !(r.atomic() && kind == Access::atomic) &&
           !ordered(r, shared);
  };
  const uintptr_t end = address + bytes;
  for (uintptr_t a = address & ~uintptr_t{1}; a < end; a += 2) {
    const uint32_t mask = (a >= address ? 1u : 0u) | (a + 1 < end ? 2u : 0u);
    if (a + (mask >> 1) >= shadow.end()) report_out_of_bounds(address, bytes, kind, site, shared);
    uint8_t& state = shadow.state(a);
    if (state != 0) {
      if ((state >> 2 & mask) != 0) report_out_of_bounds(address, bytes, kind, site, shared);
      if (kind != Access::write && (state & mask) != 0) {
        report_undefined(address, bytes, site, shared, (state & state::kInFlight) != 0);
      }
      state = static_cast<uint8_t>(state & ~(kind == Access::read ? 0u : mask | mask << 4));
    }
    Cell& cell = shadow.cell(a);
    if (race(cell.write, mask)) report_race(cell.write, kind, site, bytes, address, shared, true);
    const Record mine = Record::make(now_, number, self, mask, kind == Access::atomic);
    if (kind != Access::read) {
      for (const Record& r : cell.reads) {
        if (race(r, mask)) report_race(r, kind, site, bytes, address, shared, false);
      }
      cell = {.write = mine, .reads = {}};
      continue;
    }
    // Keep the reads that are most likely to expose a later write: if possible, reads of different warps.
    const auto replaceable = [&](const Record& r) { return r.time() < oldest || r.thread() == self; };
    const auto same_warp = [&](const Record& r) { return r.thread() / kLanes == self / kLanes; };
    const int slot = replaceable(cell.reads[0])   ? 0
                     : replaceable(cell.reads[1]) ? 1
                     : same_warp(cell.reads[0])   ? 0
                     : same_warp(cell.reads[1])   ? 1
                                                  : static_cast<int>(now_ & 1);
    cell.reads[slot] = mine;
  }
}

uint32_t Checker::number_of(AccessSite site) {
  const void* key = site.key();
  RecentSite& recent = recent_sites_[(reinterpret_cast<uintptr_t>(key) >> 2) % std::size(recent_sites_)];
  if (recent.key == key) return recent.number;
  const auto [at, added] = site_numbers_.try_emplace(key, static_cast<uint32_t>(sites_.size()));
  if (added) sites_.push_back(site);
  recent = {key, at->second};
  return at->second;
}

void Checker::copy_starts(void* shared, const void* global, size_t bytes, bool valid, Site site) {
  access(shared, bytes, Access::write, site);
  if (valid) access(global, bytes, Access::read, site);
  shared_->mark_in_flight(reinterpret_cast<uintptr_t>(shared), bytes);
}

void Checker::copy_lands(void* shared, const void* global, size_t bytes, bool valid, Site site) {
  if (valid) access(global, bytes, Access::read, site);
  access(shared, bytes, Access::write, site);
}

}  // namespace poise::emulator
