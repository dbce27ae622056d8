#include "tests/ptx/stand_in/profile_report.h"

namespace poise::stand_in {

void add_to_report(const ptx::Launch&, const Kernel&, int, const ptx::Profile&) {}

}  // namespace poise::stand_in
