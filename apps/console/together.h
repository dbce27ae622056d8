// What a program does as one of several ranks (kernels/ranks/ranks.h). A null pointer is a process alone, which is all of
// them.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "apps/console/signals.h"
#include "kernels/core/error.h"
#include "kernels/ranks/ranks.h"

namespace poise {

inline bool is_first(const Ranks* ranks) { return !ranks || ranks->is_first(); }

// An error that all ranks know of: the program may end as if it were alone.
struct SharedError : Error {
  using Error::Error;
};

// f() on every rank. If it throws on some of them, the first of those throws it as a SharedError, and for the others this
// is the exit code. Several ranks on one host that fail alike complain once.
std::optional<int> fails_together(Ranks* ranks, const std::function<void()>& f);

// Runs `body` as one of the ranks that were started together, if any were; an error on one of them ends all, with its
// exit code. Returns that of the program. `argv` is its command line, for leave_torchrun_to_mpirun().
int run_together(const std::string& name, const char* const* argv, const std::function<int(Ranks*)>& body);

// What signals asked of any rank. All ranks call it.
struct Requests {
  std::string stop;  // "SIGTERM", "SIGTERM to rank 1 on node7"; empty: go on
  bool save = false;
};
Requests requests_of_all(Ranks* ranks, SignalWatch& signals);

// Threads for each of the ranks that share their cores, so that these have one each. As many as there are if each has cores
// of its own.
int threads_of_rank(Ranks& ranks);

}  // namespace poise
