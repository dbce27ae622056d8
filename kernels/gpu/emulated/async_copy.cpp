// Each thread has a queue of copies. Options::async_copies determines when a copy really happens; a correct kernel does
// not depend on it. Until then the destination is NaN, so a missing wait shows in the result, and a late copy
// overwrites what a kernel that reuses the buffer too early has written there.
#include "kernels/gpu/emulated/async_copy.h"

#include <cstring>
#include <vector>

#include "kernels/gpu/emulated/checker.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"
#include "kernels/gpu/emulated/shared_memory.h"

namespace poise::emulator {
namespace {

struct Copy {
  char* to;
  const char* from;
  int bytes;
  bool valid;  // else zeros
  bool moved;  // before the wait
  int group;
  Site site;
};

struct Queue {
  std::vector<Copy> copies;  // in flight, oldest first
  int groups = 0;            // closed by cp_async_commit
};

Queue queues[kMaxThreads];

void move(const Copy& copy) {
  if (copy.valid) {
    std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  } else {
    std::memset(copy.to, 0, static_cast<size_t>(copy.bytes));
  }
}

void land(const Copy& copy) {
  if (!copy.moved) move(copy);
  if (checker.watching()) {
    checker.copy_lands(copy.to, copy.from, static_cast<size_t>(copy.bytes), copy.valid, copy.site);
  }
}

bool happens_at_once() {
  switch (options().async_copies) {
    case AsyncCopies::late:
      return false;
    case AsyncCopies::eager:
      return true;
    case AsyncCopies::random:
      return scheduler.one_in(2);
  }
  return false;
}

}  // namespace

void finish_copies() {
  Queue& queue = queues[scheduler.thread()];
  for (const Copy& copy : queue.copies) land(copy);
  queue.copies.clear();
  queue.groups = 0;
}

void forget_copies() {
  for (Queue& queue : queues) queue = {};
}

namespace device {

void copy_async(void* shared, const void* global, int bytes, bool valid, Site site) {
  require_alignment(shared, bytes, site);
  require_alignment(global, bytes, site);
  if (!shared_arena.owns(shared)) {
    scheduler.stop([=] { return this_thread() + ": cp_async at " + place(site) + " copies to shared memory only"; });
  }
  if (checker.watching()) checker.copy_starts(shared, global, static_cast<size_t>(bytes), valid, site);
  Queue& queue = queues[scheduler.thread()];
  const Copy copy{.to = static_cast<char*>(shared),
                  .from = static_cast<const char*>(global),
                  .bytes = bytes,
                  .valid = valid,
                  .moved = happens_at_once(),
                  .group = queue.groups,
                  .site = site};
  queue.copies.push_back(copy);
  if (copy.moved) {
    move(copy);
  } else {
    std::memset(shared, 0xff, static_cast<size_t>(bytes));
  }
}

void cp_async_commit() { ++queues[scheduler.thread()].groups; }

void wait_for_copies(int groups_in_flight) {
  Queue& queue = queues[scheduler.thread()];
  size_t landed = 0;
  while (landed < queue.copies.size() && queue.copies[landed].group < queue.groups - groups_in_flight) {
    land(queue.copies[landed++]);
  }
  queue.copies.erase(queue.copies.begin(), queue.copies.begin() + static_cast<long>(landed));
}

}  // namespace device
}  // namespace poise::emulator
