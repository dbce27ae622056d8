#include "kernels/core/onednn_threads.h"

#include <omp.h>

namespace poise::cpu {

// oneDNN takes the number of threads from OpenMP, which keeps this setting per thread for threads it did not create.
void use_one_onednn_thread() {
  thread_local const bool once = (omp_set_num_threads(1), true);
  static_cast<void>(once);
}

}  // namespace poise::cpu
