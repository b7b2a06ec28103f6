// The kernels for AVX2 and FMA.
#if defined(__x86_64__)
#include "kernels.h"  // before the target changes: see vector-inl.h

#define GANZOO_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "kernels-inl.h"
#pragma clang attribute pop
#else
#pragma GCC target("avx2,fma")
#include "kernels-inl.h"
#endif
#endif
