#if defined(__x86_64__)
#include "kernels.h"

#define ISA avx2
#define ISA_NAME "avx2"
#define KERNELS kAvx2
#define LANES 8
#define REGISTERS 16
#define PIXELS 6
#define FIRST_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define SECOND_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "kernels.inc"
#pragma clang attribute pop
#else
#pragma GCC target("avx2,fma")
#include "kernels.inc"
#endif
#endif
