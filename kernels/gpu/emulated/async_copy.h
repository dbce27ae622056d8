// cp_async: copies from global to shared memory that a thread starts now and waits for later.
#pragma once

namespace poise::emulator {

void finish_copies();  // the running thread leaves: what it started and never waited for lands now
void forget_copies();  // of all threads: the launch was broken off

}  // namespace poise::emulator
