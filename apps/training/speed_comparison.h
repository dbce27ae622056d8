// A sparse training iteration beside a dense one of the same networks, as a run measured and recorded it.
#pragma once
#include <cstdint>
#include <string>

namespace poise {

struct SpeedComparison {
  int64_t turns = 0;                             // iterations of each
  double dense_seconds = 0, sparse_seconds = 0;  // of one iteration
  double dense_flops = 0, sparse_flops = 0;      // that the kernels execute in one
  double density_g = 1, density_d = 1;           // of the sparse networks
  std::string machine;                           // as device_identity() has it
};

}  // namespace poise
