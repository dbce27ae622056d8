// For programs that may run as one of several ranks (kernels/ranks/ranks.h). A null pointer means a single process.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "apps/console/signals.h"
#include "kernels/core/error.h"
#include "kernels/ranks/ranks.h"

namespace poise {

inline bool is_first(const Ranks* ranks) { return !ranks || ranks->is_first(); }

// An error that all ranks know of, so that each can end by itself.
struct SharedError : Error {
  using Error::Error;
};

// Calls f() on every rank. If it throws on some ranks, the first of these throws its error as a SharedError, and all
// others get the exit code. So there is one message if several ranks fail alike.
std::optional<int> fails_together(Ranks* ranks, const std::function<void()>& f);

// Runs `body` as one of the ranks that were started together, or alone. An error on one rank ends all, with its exit
// code. Returns the program's exit code. `argv` is its command line, for leave_torchrun_to_mpirun().
int run_together(const std::string& name, const char* const* argv, const std::function<int(Ranks*)>& body);

// Requests that any rank received by signals. All ranks call requests_of_all().
struct Requests {
  std::string stop;  // "SIGTERM", "SIGTERM to rank 1 on node7"; empty: continue
  bool save = false;
};
Requests requests_of_all(Ranks* ranks, SignalWatch& signals);

// Threads for this rank: the default divided by the number of ranks that share its cores, unless OMP_NUM_THREADS is
// set.
int threads_of_rank(Ranks& ranks);

}  // namespace poise
