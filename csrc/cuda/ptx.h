// The GPU instructions that the kernels use, as functions. With GANZOO_EMULATE they come from an emulator instead, and
// the same kernels run on a CPU (tests/csrc/emulator.h).
#pragma once
#include <cstdint>

#include "indexing.h"

#ifdef GANZOO_EMULATE
#include "emulator.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace ganzoo::cuda {

using bfloat16 = __nv_bfloat16;
using float16 = __half;

GANZOO_HOST_DEVICE float to_float(float v) { return v; }
GANZOO_HOST_DEVICE float to_float(float16 v) { return __half2float(v); }
GANZOO_HOST_DEVICE float to_float(bfloat16 v) { return __bfloat162float(v); }

template <class T>
GANZOO_HOST_DEVICE T from_float(float v);
template <>
GANZOO_HOST_DEVICE float from_float<float>(float v) {
  return v;
}
template <>
GANZOO_HOST_DEVICE float16 from_float<float16>(float v) {
  return __float2half_rn(v);
}
template <>
GANZOO_HOST_DEVICE bfloat16 from_float<bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

// Two numbers of 16 bits in a register.
template <class T>
__device__ __forceinline__ uint32_t pack_pair(float low, float high);
template <>
__device__ __forceinline__ uint32_t pack_pair<float16>(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return reinterpret_cast<const uint32_t&>(pair);
}
template <>
__device__ __forceinline__ uint32_t pack_pair<bfloat16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const uint32_t&>(pair);
}

__device__ __forceinline__ char* shared_memory() {
  extern __shared__ __align__(128) char bytes[];
  return bytes;
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Copies 16 bytes from global to shared memory, both 16-byte aligned, asynchronously; zeros if not `valid`.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending committed groups of this thread are incomplete.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Loads four 8 x 8 matrices of 16-bit numbers (or 8 x 4 of 32 bits); lane l passes the address of row l % 8 of matrix l
// / 8.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

__device__ __forceinline__ float round_to_tf32(float v) {
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
  return __uint_as_float(r);
}

// c += a b, 16 x 8: k is 16 for 16-bit numbers, 8 for tf32. The fragments are laid out as in the PTX manual.
template <class T>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

#define GANZOO_MMA(T, SHAPE_AND_TYPES)                                                                             \
  template <>                                                                                                      \
  __device__ __forceinline__ void multiply_add<T>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { \
    asm volatile("mma.sync.aligned." SHAPE_AND_TYPES                                                               \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                              \
  }
GANZOO_MMA(bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
GANZOO_MMA(float16, "m16n8k16.row.col.f32.f16.f16.f32")
GANZOO_MMA(float, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef GANZOO_MMA

// Launches kernel(arguments) with `bytes` of shared memory on `stream`; returns the launch error or cudaSuccess.
template <class Arguments>
cudaError_t launch(void (*kernel)(Arguments), dim3 grid, int bytes, cudaStream_t stream, const Arguments& arguments) {
  if (bytes > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
  }
  kernel<<<grid, kThreads, bytes, stream>>>(arguments);
  return cudaGetLastError();
}

}  // namespace ganzoo::cuda
#endif
