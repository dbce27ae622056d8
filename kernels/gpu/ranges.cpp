#include "kernels/gpu/ranges.h"

#ifdef POISE_HAVE_CUDA
#include <nvtx3/nvToolsExt.h>
#endif

namespace poise::gpu {

#ifdef POISE_HAVE_CUDA
Range::Range(bool on, const std::string& name) : on_(on) {
  if (on_) nvtxRangePushA(name.c_str());
}
Range::~Range() {
  if (on_) nvtxRangePop();
}
#else
Range::Range(bool, const std::string&) : on_(false) {}
Range::~Range() = default;
#endif

Range::Range(bool on, const std::string& layer, const Work& work)
    : Range(on, on ? layer + " " + work.op + " " + name_of(work.pass) : std::string()) {}

}  // namespace poise::gpu
