#include "kernels/core/onednn_threads.h"

#include <omp.h>

namespace poise::cpu {

// oneDNN asks OpenMP, which keeps an answer for each thread that is not its own.
void use_one_onednn_thread() {
  thread_local const bool once = (omp_set_num_threads(1), true);
  static_cast<void>(once);
}

}  // namespace poise::cpu
