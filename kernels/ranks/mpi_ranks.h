// Ranks (kernels/ranks/ranks.h) on MPI, with NCCL for tensors on GPUs. In a build without MPI these functions only
// report that.
#pragma once
#include <memory>
#include <string>

#include "kernels/ranks/ranks.h"

namespace poise {

std::string mpi_version();                // "Open MPI 4.1.4"; empty in a build without MPI
std::string nccl_version();               // "NCCL 2.28.9" or "no NCCL"
std::unique_ptr<Ranks> join_mpi_ranks();  // Error(environment) in a build without MPI

}  // namespace poise
