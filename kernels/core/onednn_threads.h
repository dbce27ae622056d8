// We run oneDNN inside our own tasks, on the calling thread alone. With threads of its own, oneDNN splits sums by their
// number, and the bits of a result would depend on it.
#pragma once

namespace poise::cpu {

// Call this before a thread creates or executes a oneDNN primitive. Repeated calls cost nothing.
void use_one_onednn_thread();

}  // namespace poise::cpu
