// The checker's error messages.
#include "kernels/gpu/emulated/checker.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/shared_memory.h"

namespace poise::emulator {
namespace {

std::string name_of(Access kind, size_t bytes) {
  const std::string count = std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  switch (kind) {
    case Access::read:
      return "reads " + count;
    case Access::write:
      return "writes " + count;
    case Access::atomic:
      return "atomically updates " + count;
  }
  return "";
}

// "shared variable tile, byte 68", "global memory, byte 12 of an allocation of 4096"
std::string place_of(uintptr_t address, bool shared) {
  if (shared) {
    const SharedArena::Piece* nearest = nullptr;
    for (const SharedArena::Piece& piece : shared_arena.pieces()) {
      if (nearest == nullptr || reinterpret_cast<uintptr_t>(piece.begin) <= address) nearest = &piece;
    }
    const uintptr_t offset = address - reinterpret_cast<uintptr_t>(nearest->begin);
    return std::string(nearest->name) + " (shared, " + std::to_string(nearest->bytes) + " bytes), byte " +
           std::to_string(offset);
  }
  const Shadow* shadow = memory_map.find(address);
  if (shadow == nullptr) return "global memory, " + memory_map.neighbourhood(address);
  return "global memory, byte " + std::to_string(address - shadow->begin()) + " of an allocation of " +
         std::to_string(shadow->end() - shadow->begin());
}

}  // namespace

void Checker::report_race(const Record& earlier, Access kind, AccessSite site, size_t bytes, uintptr_t address,
                          bool shared, bool earlier_wrote) {
  const int64_t block = block_at(earlier.time());
  const AccessSite earlier_site = sites_[earlier.site()];
  scheduler.stop([=, this] {
    const bool same_block = block == scheduler.block();
    const bool same_warp = same_block && earlier.thread() / kLanes == scheduler.thread() / kLanes;
    return "data race on " + place_of(address, shared) + ": " + this_thread() + " " + name_of(kind, bytes) + " at " +
           site.text() + "; " + thread_name(earlier.thread(), block) + " " +
           (earlier.atomic() ? "atomically updated"
            : earlier_wrote  ? "wrote"
                             : "read") +
           " it at " + earlier_site.text() + " with no " +
           (same_warp    ? "__syncwarp or __syncthreads"
            : same_block ? "__syncthreads"
                         : "__threadfence, atomic and __threadfence") +
           " in between" +
           (same_block ? ""
                       : " (blocks run in any order; they may meet at an atomic only, with a fence on either side)");
  });
}

void Checker::report_undefined(uintptr_t address, size_t bytes, AccessSite site, bool shared, bool in_flight) {
  scheduler.stop([=] {
    return this_thread() + " reads " + std::to_string(bytes) + " bytes at " + site.text() + " from " +
           place_of(address, shared) +
           (in_flight ? ", which a cp_async writes that has not been waited for (cp_async_wait)"
                      : ", which no thread has written yet");
  });
}

void Checker::report_out_of_bounds(uintptr_t address, size_t bytes, Access kind, AccessSite site, bool shared) {
  scheduler.stop([=] {
    return this_thread() + " " + name_of(kind, bytes) + " out of bounds at " + site.text() + ": " +
           place_of(address, shared);
  });
}

void Checker::outside(uintptr_t address, size_t bytes, Access kind, AccessSite site) {
  const auto call = reinterpret_cast<uintptr_t>(scheduler.launch().call);
  if (address >= call && address < call + scheduler.launch().call_bytes) return;  // the kernel's arguments
  if (memory_map.in_program(address)) return;
  report_out_of_bounds(address, bytes, kind, site, false);
}

}  // namespace poise::emulator
