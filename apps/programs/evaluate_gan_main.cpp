#include "apps/programs/evaluate_gan.h"

int main(int argc, char** argv) { return poise::run_evaluate_gan(argc, argv); }
