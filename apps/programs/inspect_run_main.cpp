#include "apps/programs/inspect_run.h"

int main(int argc, char** argv) { return poise::run_inspect_run(argc, argv); }
