// Stubs for builds without MPI.
#include "kernels/core/error.h"
#include "kernels/ranks/mpi_ranks.h"

namespace poise {

std::string mpi_version() { return ""; }
std::string nccl_version() { return "no NCCL"; }
std::unique_ptr<Ranks> join_mpi_ranks() { fail(ErrorKind::environment, "this build has no MPI"); }

}  // namespace poise
