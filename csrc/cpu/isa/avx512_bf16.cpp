// The kernels for bfloat16 images, for AVX-512 with its products of bfloat16 (VDPBF16PS).
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels.h"  // before the target changes: see vector-inl.h

#define GANZOO_AVX512
#define GANZOO_BFLOAT16
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma"))), \
                             apply_to = function)
#include "image_kernels-inl.h"
#pragma clang attribute pop
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma,prefer-vector-width=512")
#include "image_kernels-inl.h"
#endif

namespace ganzoo {
const ImageKernels kAvx512Bfloat16 = avx512_bf16::kImageKernels;
}
#endif
