// cp_async: copies from global to shared memory that a thread starts now and waits for later.
#pragma once

namespace poise::emulator {

void finish_copies();  // the running thread exits: copies that it has not waited for are completed now
void forget_copies();  // of all threads: the launch was aborted

}  // namespace poise::emulator
