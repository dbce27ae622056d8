#include "apps/programs/dry_run.h"

#include <fmt/format.h>

#include <cstdio>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/plan_text.h"
#include "apps/report/training_cost.h"
#include "apps/training/iteration_timing.h"
#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

double measured(const TrainerOptions& options, const std::shared_ptr<ImageSet>& images) {
  const TrainingPlan plan = Trainer::plan(options, images->count);
  check_memory(plan.device.device, plan.bytes());
  Trainer trainer(options, plan, images);
  return typical_seconds(trainer);
}

// Options for timing the final masks: a method that prunes during training becomes static at its final densities.
TrainerOptions options_at_the_end(const Settings& settings) {
  TrainerOptions options = settings;
  const MaskPolicies policies = policies_of(settings.scheduled_sparse());
  const int64_t end = settings.train.iterations;
  bool prunes = false;
  const auto density = [&](const MaskPolicy* policy) {
    if (!policy) return 1.0;
    prunes |= policy->planned_density(end) != policy->planned_density(0);
    return policy->planned_density(end);
  };
  const double g = density(policies.g.get()), d = density(policies.d.get());
  if (!prunes) return options;
  options.sparse.method = "static";
  options.sparse.density_g = g;
  options.sparse.density_d = d;
  return options;
}

// Time of all iterations. Each is interpolated between a dense and a final one, in proportion to its arithmetic.
double planned_seconds(const TrainingCost& cost, double dense_seconds, double end_seconds) {
  const double dense = cost.dense_iteration().total(), end = cost.iteration(cost.periods.back()).total();
  double seconds = 0;
  for (size_t i = 0; i < cost.periods.size(); ++i) {
    const double next = i + 1 < cost.periods.size() ? cost.periods[i + 1].first_iteration : cost.iterations;
    const double saved = dense > end ? (dense - cost.iteration(cost.periods[i]).total()) / (dense - end) : 1;
    seconds += (next - cost.periods[i].first_iteration) * (dense_seconds + saved * (end_seconds - dense_seconds));
  }
  return seconds;
}

// "0.81 s", "81 ms"
std::string iteration_text(double seconds) {
  return seconds < 1 ? fmt::format("{:.3g} ms", 1000 * seconds) : fmt::format("{:.3g} s", seconds);
}

std::string time_text(const Settings& settings, const TrainingPlan& plan, const std::shared_ptr<ImageSet>& images) {
  if (plan.device.device == Device::emulated) return "time        not measured: emulated kernels are slower than any\n";
  const std::string iterations = format_count(settings.train.iterations) + " iterations";
  const std::string here = device_identity(plan.device.device, plan.device.precision);
  const MaskPolicies policies = policies_of(settings.scheduled_sparse());
  try {
    const double dense = measured(dense_options(settings), images);
    if (!policies.masks()) {
      return fmt::format("time        {} per iteration, {} for {} ({})\n", iteration_text(dense),
                         format_duration(dense * static_cast<double>(settings.train.iterations)), iterations, here);
    }
    const double end = measured(options_at_the_end(settings), images);
    const TrainingCost cost = planned_cost(settings, FlopConvention::full);
    const double planned = planned_seconds(cost, dense, end), all_dense = dense * cost.dense_iterations;
    std::string text = fmt::format("time        {} per iteration dense, {} under masks ({})\n", iteration_text(dense),
                                   iteration_text(end), here);
    text += fmt::format(
        "            {} dense, {} as planned for {}: {:.2g}x {}, {}x fewer FLOPs of alive weights\n",
        format_duration(all_dense), format_duration(planned), iterations,
        planned < all_dense ? all_dense / planned : planned / all_dense, planned < all_dense ? "faster" : "slower",
        cost.ratio() > 1e-3 ? fmt::format("{:.3g}", 1 / cost.ratio()) : format_count(std::llround(1 / cost.ratio())));
    if (policies.follow_balance()) text += "            as long as D keeps its first density\n";
    return text;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::environment) throw;
    return fmt::format("time        not measured: {}\n", error.what());
  }
}

}  // namespace

void print_dry_run(const Settings& settings, const TrainingPlan& plan, const std::shared_ptr<ImageSet>& images,
                   bool quiet) {
  print_result(plan_text(settings, plan, *images));
  if (!quiet) std::fprintf(stderr, "timing one iteration\n");
  print_result(time_text(settings, plan, images));
}

}  // namespace poise
