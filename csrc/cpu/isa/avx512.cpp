// The kernels for AVX-512.
#if defined(__x86_64__)
#include "kernels.h"  // before the target changes: see vector-inl.h

#define GANZOO_AVX512
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma"))), apply_to = function)
#include "kernels-inl.h"
#pragma clang attribute pop
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,fma,prefer-vector-width=512")
#include "kernels-inl.h"
#endif
#endif
