// The program sweep_gan: its command line. apps/sweep/ does the work.
#pragma once

namespace poise {

int run_sweep_gan(int argc, const char* const* argv);

}  // namespace poise
