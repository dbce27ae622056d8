#include "apps/run/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/console/progress.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"

namespace poise {
namespace {

using nlohmann::json;

double number_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>()
                                                     : NAN;  // null, and "nan" of earlier versions
}

// f(object, iteration) for each whole line.
template <class F>
void for_each_line(const std::string& path, const F& f) {
  const auto text = read_text_if_exists(path, ErrorKind::runtime);
  if (!text) return;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("iteration") || !object["iteration"].is_number_integer()) continue;
    f(object, object["iteration"].get<int64_t>());
  }
}

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

std::vector<TrainLine> read_train_lines(const std::string& path) {
  std::vector<TrainLine> lines;
  for_each_line(path, [&](const json& object, int64_t iteration) {
    if (object.contains("event")) return;
    lines.push_back({.iteration = iteration,
                     .report = {.loss_d = number_of(object, "loss_d"),
                                .loss_g = number_of(object, "loss_g"),
                                .mean_real = number_of(object, "mean_real"),
                                .mean_fake = number_of(object, "mean_fake")},
                     .seconds = number_of(object, "seconds"),
                     .it_per_s = number_of(object, "it_per_s")});
  });
  return lines;
}

}  // namespace poise
