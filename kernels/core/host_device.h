// Marks functions that run both on the host and in kernels.
#pragma once

#ifdef __CUDACC__
#define POISE_HOST_DEVICE __host__ __device__
#else
#define POISE_HOST_DEVICE
#endif
