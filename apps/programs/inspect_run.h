// inspect_run: what a run would cost, what it did, and a page that shows it.
#pragma once

namespace poise {

// Exit codes are those of train_gan.
int run_inspect_run(int argc, const char* const* argv);

}  // namespace poise
