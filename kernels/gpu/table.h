// Declares the kernels of a GPU, from the list (kernels/kernels.inc). Each .cu file defines its own in this namespace.
#pragma once
#include "kernels/gpu/gpu.h"
#include "kernels/table.h"

namespace poise::POISE_GPU {

#define POISE_KERNEL(Type, entry, kind) Type entry;
#include "kernels/kernels.inc"

}  // namespace poise::POISE_GPU
