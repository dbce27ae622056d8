// Ranks by MPI (kernels/ranks/ranks.h), with NCCL for tensors of GPUs. A build without MPI has only the answers that say
// so.
#pragma once
#include <memory>
#include <string>

#include "kernels/ranks/ranks.h"

namespace poise {

std::string mpi_version();                // "Open MPI 4.1.4"; empty: not built
std::string nccl_version();               // "NCCL 2.28.9" or "no NCCL"
std::unique_ptr<Ranks> join_mpi_ranks();  // Error(environment) where it is not built

}  // namespace poise
