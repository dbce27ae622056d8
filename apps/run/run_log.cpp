#include "apps/run/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "apps/console/progress.h"
#include "engine/io/message.h"

namespace poise {
namespace {

[[noreturn]] void fail_with(const std::string& path, int error) {
  fail(ErrorKind::runtime, path + ": cannot append a line: " + errno_text(error) + "; " + write_remedy(error));
}

}  // namespace

std::vector<JsonField> mask_event_fields(const MaskEvent& event) {
  return {{"event", std::string("mask_update")},
          {"iteration", event.iteration},
          {"network", event.network},
          {"kind", event.kind},
          {"dropped", event.dropped},
          {"grown", event.grown},
          {"alive", event.alive},
          {"density", event.density},
          {"drop_fraction", event.drop_fraction},
          {"balance_ratio", event.balance_ratio},
          {"layers", event.layers}};
}

std::vector<JsonField> execution_event_fields(const ExecutionEvent& event) {
  const ExecutionDecision& d = event.decision;
  return {{"event", std::string("execution")},
          {"iteration", event.iteration},
          {"layer", d.layer},
          {"pass", std::string(name_of(d.pass))},
          {"execution", std::string(name_of(d.execution))},
          {"density", d.density},
          {"speedup", d.speedup},
          {"reason", d.reason}};
}

std::vector<JsonField> speed_fields(const SpeedComparison& speed, int64_t iteration) {
  return {{"event", std::string("speed")},
          {"iteration", iteration},
          {"turns", speed.turns},
          {"dense_seconds", speed.dense_seconds},
          {"sparse_seconds", speed.sparse_seconds},
          {"dense_flops", speed.dense_flops},
          {"sparse_flops", speed.sparse_flops},
          {"density_g", speed.density_g},
          {"density_d", speed.density_d},
          {"machine", speed.machine}};
}

TextLog::TextLog(const std::string& path) : path_(path) {
  do {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail_with(path_, errno);
}

TextLog::~TextLog() { ::close(descriptor_); }

void TextLog::line(const std::string& text) {
  const std::string whole = iso_time_now() + " " + text + "\n";
  for (size_t done = 0; done < whole.size();) {
    const ssize_t count = ::write(descriptor_, whole.data() + done, whole.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_with(path_, count < 0 ? errno : EIO);
    done += static_cast<size_t>(count);
  }
}

}  // namespace poise
