#include "kernels/gpu/cuda/shared_library.h"

#include <dlfcn.h>

#include <utility>

#include "kernels/core/error.h"

namespace poise::cuda {

SharedLibrary::SharedLibrary(const char* use, std::string name, std::string package)
    : name_(std::move(name)), package_(std::move(package)), handle_(::dlopen(name_.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
  if (handle_) return;
  fail(ErrorKind::environment, std::string(use) + " needs " + name_ + ", which was not found: install " + package_ +
                                   ", or name its folder in LD_LIBRARY_PATH (that of the CUDA toolkit or of "
                                   "PyTorch's packages)");
}

SharedLibrary::Function SharedLibrary::operator[](const char* function) const {
  void* const address = ::dlsym(handle_, function);
  if (!address) fail(ErrorKind::environment, name_ + " has no " + function + ": install " + package_);
  return {address};
}

}  // namespace poise::cuda
