// A system that fails on demand. faulty_system.cpp defines open(), write(), rename() and so on, so that a program
// linked with it, and every library of that program, calls these instead of libc's. They count the calls that concern a
// folder, and make one of them, or all from one on, fail or do less than requested.
#pragma once
#include <cstdint>
#include <string>

namespace poise::faults {

enum class Call : uint8_t {
  open_to_read,
  open_to_write,
  read,
  write,
  sync,
  rename,
  make_folder,
  open_folder,
  read_folder,
  look,  // stat and its kin
  remove,
  link,
  truncate,
  lock,
  map
};
const char* name_of(Call call);
bool writes(Call call);  // whether the call needs disk space and write permission

// The log of calls, in memory shared between processes.
struct Ledger {
  static constexpr int kMost = 4096;
  struct Entry {
    Call call;
    char path[160];
  };
  int count = 0;
  bool fired = false;
  Entry calls[kMost];
};

struct Fault {
  int at = -1;                // the number of the call; -1: none
  int error = 0;              // its errno; 0: it does less than requested (read and write only)
  bool from_then_on = false;  // and all later calls that write
};

// From now on, logs the calls of this process that concern `folder` or standard output in `ledger`, with this fault.
void begin(const std::string& folder, Ledger& ledger, const Fault& fault);

}  // namespace poise::faults
