// The program sample_gan: pictures from a checkpoint.
#pragma once
namespace poise {

// What main() does; a function so that tests can call it. Returns the exit code.
int run_sample_gan(int argc, const char* const* argv);

}  // namespace poise
