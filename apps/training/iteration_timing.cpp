#include "apps/training/iteration_timing.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "apps/console/program.h"
#include "engine/metrics/quantile.h"

namespace poise {
namespace {

constexpr double kLong = 1;  // seconds; in such a long iteration the warm-up is negligible
constexpr int kFew = 3;

}  // namespace

TrainerOptions dense_options(TrainerOptions options) {
  options.sparse = {};
  return options;
}

double seconds_of_iteration(Trainer& trainer) {
  trainer.synchronize();
  const auto started = std::chrono::steady_clock::now();
  trainer.iterate();
  trainer.synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

double typical_seconds(Trainer& trainer) {
  double best = seconds_of_iteration(trainer);
  for (int i = 0; i < kFew && best < kLong; ++i) best = std::min(best, seconds_of_iteration(trainer));
  return best;
}

std::optional<SpeedComparison> compare_with_dense(Trainer& trainer, const std::shared_ptr<const ImageSet>& images,
                                                  int64_t turns, const std::function<bool()>& stop) {
  const TrainerOptions options = dense_options(trainer.options());
  Trainer dense(options, images);
  std::vector<double> of_dense, of_sparse;
  for (int64_t i = 0; i <= turns; ++i) {
    if (stop()) return std::nullopt;
    const double dense_seconds = seconds_of_iteration(dense), sparse_seconds = seconds_of_iteration(trainer);
    if (i == 0) continue;
    of_dense.push_back(dense_seconds);
    of_sparse.push_back(sparse_seconds);
  }
  const SparseReport sparse = trainer.sparse_report();
  return SpeedComparison{.turns = turns,
                         .dense_seconds = quantile(of_dense, 0.5),
                         .sparse_seconds = quantile(of_sparse, 0.5),
                         .dense_flops = dense.work_by_layer().total().work.executed_flops,
                         .sparse_flops = trainer.work_by_layer().total().work.executed_flops,
                         .density_g = sparse.density_g,
                         .density_d = sparse.density_d,
                         .machine = device_identity(trainer.device().device, trainer.device().precision)};
}

}  // namespace poise
