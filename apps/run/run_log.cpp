#include "apps/run/run_log.h"

#include "apps/console/progress.h"

namespace poise {

std::string finished_line(int64_t iteration) { return "finished at iteration " + std::to_string(iteration); }

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

void TextLog::line(const std::string& text) { file_.append(iso_time_now() + " " + text + "\n"); }

}  // namespace poise
