#include "apps/programs/sweep_gan.h"

int main(int argc, char** argv) { return poise::run_sweep_gan(argc, argv); }
