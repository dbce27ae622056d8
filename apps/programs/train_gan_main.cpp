#include "apps/programs/train_gan.h"

int main(int argc, char** argv) { return poise::run_train_gan(argc, argv); }
