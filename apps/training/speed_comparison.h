// A sparse training iteration compared with a dense one of the same networks, as measured and recorded by a run.
#pragma once
#include <cstdint>
#include <string>

namespace poise {

struct SpeedComparison {
  int64_t turns = 0;                             // iterations of each
  double dense_seconds = 0, sparse_seconds = 0;  // per iteration
  double dense_flops = 0, sparse_flops = 0;      // executed by the kernels, per iteration
  double density_g = 1, density_d = 1;           // of the sparse networks
  std::string machine;                           // device_identity()
};

}  // namespace poise
