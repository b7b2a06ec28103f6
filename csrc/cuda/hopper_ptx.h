// The instructions of compute capability 9.0a that hopper_*.cuh use, as functions: barriers in shared
// memory, copies of boxes by the tensor memory accelerator (TMA), products of a warpgroup, clusters. With
// GANZOO_EMULATE they come from an emulator instead (tests/csrc/emulator_hopper.h).
#pragma once
#include <cstdint>

#include "ptx.h"

#ifdef GANZOO_EMULATE
#include "emulator_hopper.h"
#else
#include <cuda.h>  // types of the driver's interface only: nothing of it is linked

#include <type_traits>

namespace ganzoo::cuda {

using TensorMap = CUtensorMap;
using Barrier = uint64_t;

// Shared memory from a multiple of 1024 bytes on, which the swizzle of 128 bytes needs.
__device__ __forceinline__ char* hopper_memory() {
  extern __shared__ __align__(1024) char aligned_bytes[];
  return aligned_bytes;
}

// ---- barriers -------------------------------------------------------------------------------------------------------

// A phase of a barrier is complete after `count` arrivals and all bytes that these announced.
__device__ __forceinline__ void init_barrier(Barrier* b, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(count) : "memory");
}
// Makes initialized barriers visible to TMA and to the cluster.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(Barrier* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
__device__ __forceinline__ void arrive_expecting(Barrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
               : "memory");
}
// Waits until the phase of this parity is complete.
__device__ __forceinline__ void wait(Barrier* b, int parity) {
  uint32_t done;
  do {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(done)
        : "r"(shared_address(b)), "r"(parity)
        : "memory");
  } while (!done);
}
// A barrier of `threads` threads of the block, number 1 .. 15.
__device__ __forceinline__ void sync_some(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
__device__ __forceinline__ void sync_block() { __syncthreads(); }
__device__ __forceinline__ void sync_warp() { __syncwarp(); }
__device__ __forceinline__ float from_lane_xor(float v, int mask) { return __shfl_xor_sync(~0u, v, mask); }

// ---- copies of boxes ------------------------------------------------------------------------------------------------

// Orders this thread's ordinary stores to shared memory before what TMA reads after the next barrier.
__device__ __forceinline__ void publish_to_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void prefetch_map(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
// Loads the box at these coordinates of a tensor, zeros outside of it; its bytes arrive at barrier b.
__device__ __forceinline__ void load_box(void* to, const TensorMap* map, Barrier* b, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(shared_address(to)),
      "l"(map), "r"(x), "r"(y), "r"(shared_address(b))
      : "memory");
}
__device__ __forceinline__ void load_box(void* to, const TensorMap* map, Barrier* b, int x, int y, int z, int w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], "
      "[%6];" ::"r"(shared_address(to)),
      "l"(map), "r"(x), "r"(y), "r"(z), "r"(w), "r"(shared_address(b))
      : "memory");
}
__device__ __forceinline__ void store_box(const TensorMap* map, const void* from, int x, int y, int z, int w) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(map),
               "r"(x), "r"(y), "r"(z), "r"(w), "r"(shared_address(from))
               : "memory");
}
// Waits until the stores of boxes of this thread have read shared memory.
__device__ __forceinline__ void finish_stores() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
// Stores four 8 x 8 matrices of 16-bit numbers transposed; lane l passes the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void store_matrices_transposed(void* row, const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

// ---- clusters -------------------------------------------------------------------------------------------------------

__device__ __forceinline__ int rank_in_cluster() {
  int rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ void arrive_in_cluster() {
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}
// Waits until all threads of the cluster's blocks have arrived or ended.
__device__ __forceinline__ void wait_for_cluster() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
// Loads what another block of the cluster has at address `own` of its shared memory. Loads keep their order with respect
// to barriers, but not to other accesses, so that many can be under way.
__device__ __forceinline__ float4 load_from_block(const float4* own, int rank) {
  uint32_t address;
  float4 v;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(own)), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(address));
  return v;
}

// ---- products of a warpgroup ----------------------------------------------------------------------------------------

__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most kPending committed groups of this warpgroup are incomplete.
template <int kPending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

#define GANZOO_8(C, I) "+f"(C[I]), "+f"(C[I + 1]), "+f"(C[I + 2]), "+f"(C[I + 3]), "+f"(C[I + 4]), "+f"(C[I + 5]), \
                       "+f"(C[I + 6]), "+f"(C[I + 7])
#define GANZOO_WGMMA(TYPES)                                                                                        \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"                                                      \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPES                                                \
               " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
               "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "   \
               "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, "   \
               "%59, %60, %61, %62, %63}, %64, %65, add, 1, 1, %66, %66;\n}"                                       \
               : GANZOO_8(c, 0), GANZOO_8(c, 8), GANZOO_8(c, 16), GANZOO_8(c, 24), GANZOO_8(c, 32),                \
                 GANZOO_8(c, 40), GANZOO_8(c, 48), GANZOO_8(c, 56)                                                 \
               : "l"(a), "l"(b), "n"(kTransposed ? 1 : 0))

// c += a b, 64 x 128 over 16 k, both in shared memory; kTransposed: stored k by k. Thread t of the warpgroup has in
// c[4 j .. 4 j + 3] rows t / 32 * 16 + t % 32 / 4 + {0, 0, 8, 8} and columns 8 j + t % 4 * 2 + {0, 1, 0, 1}.
template <class T, bool kTransposed>
__device__ __forceinline__ void multiply_add_async(float (&c)[64], uint64_t a, uint64_t b) {
  if constexpr (std::is_same_v<T, bfloat16>)
    GANZOO_WGMMA("bf16.bf16");
  else
    GANZOO_WGMMA("f16.f16");
}
#undef GANZOO_WGMMA
#undef GANZOO_8

// ---- on the host ----------------------------------------------------------------------------------------------------

// A map of a tensor of 16-bit numbers, innermost dimension first, by which boxes are copied with the swizzle of 128
// bytes; strides: in bytes, of all dimensions but the innermost.
template <class T, int kRank>
cudaError_t encode(CUtensorMap* map, const void* base, const uint64_t (&sizes)[kRank], const uint64_t (&strides)[kRank - 1],
                   const uint32_t (&box)[kRank]) {
  using Encode = CUresult(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                          const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                          CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  static Encode* const encode_tiled = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
#else
    cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    return found == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode*>(function) : nullptr;
  }();
  if (encode_tiled == nullptr) return cudaErrorInsufficientDriver;
  const cuuint32_t steps[] = {1, 1, 1, 1, 1};
  const CUresult result = encode_tiled(
      map, std::is_same_v<T, bfloat16> ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, kRank,
      const_cast<void*>(base), reinterpret_cast<const cuuint64_t*>(sizes),
      reinterpret_cast<const cuuint64_t*>(strides), box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

// Launches kernel(arguments) with clusters of `cluster` blocks along x.
template <class Arguments>
cudaError_t launch_clusters(void (*kernel)(Arguments), dim3 grid, int threads, int cluster, int bytes,
                            cudaStream_t stream, const Arguments& arguments) {
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster, attribute.val.clusterDim.y = 1, attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = dim3(threads, 1, 1), config.dynamicSmemBytes = bytes, config.stream = stream;
  config.attrs = &attribute, config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, arguments);
}

}  // namespace ganzoo::cuda
#endif
