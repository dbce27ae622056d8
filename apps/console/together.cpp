#include "apps/console/together.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

#include "apps/console/program.h"

namespace poise {

std::optional<int> fails_together(Ranks* ranks, const std::function<void()>& f) {
  if (!ranks) return f(), std::nullopt;
  std::optional<Error> error;
  try {
    f();
  } catch (const Error& e) {
    error = e;
  }
  // An exit code and a message; empty from ranks that succeeded.
  const std::vector<std::string> all =
      ranks->gather_texts(error ? static_cast<char>(error->exit_code()) + std::string(error->what()) : std::string());
  const auto failed = std::find_if(all.begin(), all.end(), [](const std::string& text) { return !text.empty(); });
  if (failed == all.end()) return std::nullopt;
  if (failed - all.begin() == ranks->rank()) throw SharedError(error->kind(), error->what());
  return failed->front();
}

int run_together(const std::string& name, const char* const* argv, const std::function<int(Ranks*)>& body) {
  std::unique_ptr<Ranks> ranks;
  bool others_work = false;
  const auto join = [&] {
    others_work = leave_torchrun_to_mpirun(argv);
    if (!others_work) ranks = join_ranks();
    return 0;
  };
  if (const int code = run_program(name, join); code != 0 || others_work) return code;
  if (!ranks) return run_program(name, [&] { return body(nullptr); });
  bool together = true;
  const int code = run_program(name + ": " + ranks->name(), [&] {
    try {
      return body(ranks.get());
    } catch (const SharedError&) {
      throw;
    } catch (...) {
      together = false;
      throw;
    }
  });
  if (!together) ranks->abort(code);
  // A non-zero exit code makes mpirun end the ranks that are still running.
  const auto meet = [&] { return ranks->wait_for_all(), 0; };
  if (const int missing = run_program(name + ": " + ranks->name(), meet); missing != 0) ranks->abort(missing);
  ranks->leave();
  return code;
}

Requests requests_of_all(Ranks* ranks, SignalWatch& signals) {
  Requests asked{.stop = signals.stop_signal(), .save = signals.take_save_request()};
  if (!ranks) return asked;
  const std::vector<std::string> all = ranks->gather_texts((asked.save ? "+" : "-") + asked.stop);
  asked = {};
  for (int r = 0; r < ranks->size(); ++r) {
    const std::string& text = all[static_cast<size_t>(r)];
    asked.save |= text[0] == '+';
    if (asked.stop.empty() && text.size() > 1) asked.stop = text.substr(1) + " to " + ranks->name_of(r);
  }
  return asked;
}

int threads_of_rank(Ranks& ranks) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  ::sched_getaffinity(0, sizeof cores, &cores);
  const std::string mine = ranks.host_of(ranks.rank()) + std::string(reinterpret_cast<char*>(&cores), sizeof cores);
  const std::vector<std::string> all = ranks.gather_texts(mine);
  const auto sharers = static_cast<int>(std::count(all.begin(), all.end(), mine));
  return std::getenv("OMP_NUM_THREADS") ? thread_count() : std::max(1, thread_count() / sharers);
}

}  // namespace poise
