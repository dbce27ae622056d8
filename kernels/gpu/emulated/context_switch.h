// Switches between two stacks.
#pragma once
#include <cstddef>

namespace poise::emulator {

// Returns a context that will run `entry`, which must not return, on this empty stack.
void* prepare_context(char* stack, size_t bytes, void (*entry)());

// Stores the running context in *save and continues `to`. Returns when *save is continued.
void switch_context(void** save, void* to);

}  // namespace poise::emulator
