// The program train_gan: its command line. training_run.h does the work.
#pragma once

namespace poise {

// What main() does; a function so that tests can call it. Returns the exit code.
int run_train_gan(int argc, const char* const* argv);

}  // namespace poise
