#include "apps/programs/sample_gan.h"

int main(int argc, char** argv) { return poise::run_sample_gan(argc, argv); }
