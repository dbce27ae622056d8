// The program evaluate_gan: metrics of a generator, or of any set of images.
#pragma once

namespace poise {

// What main() does; a function so that tests can call it. Returns the exit code.
int run_evaluate_gan(int argc, const char* const* argv);

}  // namespace poise
