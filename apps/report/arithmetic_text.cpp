#include "apps/report/arithmetic_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace poise {

std::string arithmetic_text(const RunRecord& run) {
  const double dense = run.last("flops"), executed = run.last("executed_flops"), unmasked = run.last("unmasked_flops");
  if (!(dense > 0) || !(executed > 0)) return "";
  std::string text =
      fmt::format("{:.4g} FLOP executed of {:.4g} dense-equivalent ({:.1f}%)", executed, dense, 100 * executed / dense);
  if (!(unmasked > 0) || !(executed < dense)) return text;
  const double by_masks = std::clamp((unmasked - executed) / (dense - executed), 0.0, 1.0);
  return text + fmt::format("; of what was saved, masks {:.1f}%, folded convolutions {:.1f}%", 100 * by_masks,
                            100 * (1 - by_masks));
}

}  // namespace poise
