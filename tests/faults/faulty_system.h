// A system that fails on demand. This file's object defines open(), write(), rename() and their like, so that a program
// it is linked into, and every library of that program, calls these instead of libc's. They count the calls that concern
// a folder, and make one of them, or all from one on, fail or do less than was asked.
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
bool writes(Call call);  // needs a disk with space, and the right to write

// What happened, in memory that processes share.
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
  int error = 0;              // its errno; 0: it does less than it was asked (of read and write)
  bool from_then_on = false;  // and all later calls that write
};

// From now on, in this process: counts what concerns `folder` (and standard output) in `ledger`, with this fault.
void begin(const std::string& folder, Ledger& ledger, const Fault& fault);

}  // namespace poise::faults
