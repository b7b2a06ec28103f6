// A block's tile of a matrix product on tensor cores: a pipeline of copies into shared memory, fragments, products.
//
// The operations differ in where the numbers are loaded from (a Source) and where the sums are stored.
#pragma once
#include <cstdint>

#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

constexpr int kStages = 3;

// T: the type of the factors. kProducts: 1, or 3 to compute float32 from tf32: high x high + high x low + low x high.
template <class Number, int kProductsOf, int kColumns>
struct Tile {
  using T = Number;
  static constexpr int kProducts = kProductsOf;
  static constexpr int kN = kColumns;
  static constexpr int kVector = 16 / sizeof(T);      // numbers of a 16-byte chunk
  static constexpr int kK = kStageBytes / sizeof(T);  // of one stage
  static constexpr int kWarpsN = kN / 32, kWarpsM = 8 / kWarpsN;
  static constexpr int kFragmentsM = kTileM / kWarpsM / 16, kFragmentsN = 4;  // of a warp: 64 x 32 or 32 x 32
  static constexpr int kBytesA = kTileM * kStageBytes, kBytesB = kN * kStageBytes, kBytes = kBytesA + kBytesB;
  static constexpr int kChunksA = kBytesA / 16 / kThreads, kChunksB = kBytesB / 16 / kThreads;  // of a thread and stage
  static constexpr int kPitch = kN + 4;  // of the sums in shared memory: rows start in different banks
  static constexpr int kSharedBytes = kStages * kBytes;
  static constexpr int kBlocksOfProcessor = kProducts == 3 && kN == 128 ? 1 : 2;  // two: at most 128 registers a thread
  static_assert(kSharedBytes >= (kTileM * kPitch + kThreads) * 4, "the sums and the scratch after them must fit");

  float sum[kFragmentsM][kFragmentsN][4];
};

// The fragments of A (16 x 32 bytes of k, from row m) and of B (two of 8 columns, from n) at 32-byte step `step` of a
// stage. kStraight: stored as [row][k]; otherwise as [k][row], like the images of the weight gradient.
template <class Tile, bool kStraight>
struct Fragments {
  using T = typename Tile::T;
  static constexpr bool kWords = sizeof(T) == 4;

  static __device__ __forceinline__ void a(const char* stage, int m, int step, uint32_t (&r)[4]) {
    const int lane = threadIdx.x & 31, matrix = lane >> 3, line = lane & 7;
    if constexpr (kStraight) {
      load_matrices(r, stage + 16 * swizzled(m + (matrix & 1) * 8 + line, step * 2 + (matrix >> 1), 8, false));
    } else if constexpr (!kWords) {
      const int chunk = (m + (matrix & 1) * 8) / 8;
      load_matrices_transposed(r,
                               stage + 16 * swizzled(step * 16 + (matrix >> 1) * 8 + line, chunk, kTileM / 8, false));
    } else {
      for (int i = 0; i < 4; ++i)
        r[i] = word(stage, step * 8 + (lane & 3) + (i >> 1) * 4, m + (lane >> 2) + (i & 1) * 8, kTileM / 4);
    }
  }

  static __device__ __forceinline__ void b(const char* stage, int n, int step, uint32_t (&r)[4]) {
    const int lane = threadIdx.x & 31, matrix = lane >> 3, line = lane & 7;
    if constexpr (kStraight) {
      load_matrices(r, stage + 16 * swizzled(n + (matrix >> 1) * 8 + line, step * 2 + (matrix & 1), 8, false));
    } else if constexpr (!kWords) {
      const int chunk = (n + (matrix >> 1) * 8) / 8;
      load_matrices_transposed(r,
                               stage + 16 * swizzled(step * 16 + (matrix & 1) * 8 + line, chunk, Tile::kN / 8, false));
    } else {
      for (int i = 0; i < 4; ++i)
        r[i] = word(stage, step * 8 + (lane & 3) + (i & 1) * 4, n + (lane >> 2) + (i >> 1) * 8, Tile::kN / 4);
    }
  }

 private:
  static __device__ __forceinline__ uint32_t word(const char* stage, int k, int row, int chunks) {
    return *reinterpret_cast<const uint32_t*>(stage + 16 * swizzled(k, row / 4, chunks, true) + row % 4 * 4);
  }
};

// Splits float32 numbers into high and low parts, each a tf32 number; the low parts only if they are multiplied.
template <int kProducts, int kCount>
__device__ __forceinline__ void split(uint32_t (&high)[kCount], uint32_t (&low)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float value = __uint_as_float(high[i]), rounded = round_to_tf32(value);
    high[i] = __float_as_uint(rounded);
    if constexpr (kProducts == 3) low[i] = __float_as_uint(round_to_tf32(value - rounded));
  }
}

// Tensor cores truncate their sums instead of rounding them. Over a long k that would lose the accuracy that three
// products gain, so these are added to the sum outside of the tensor cores (Ootomo, Yokota 2022).
template <class Tile>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&a_low)[4],
                                             const uint32_t (&b)[2], const uint32_t (&b_low)[2]) {
  if constexpr (Tile::kProducts == 3) {
    float part[4] = {};
    multiply_add<typename Tile::T>(part, a_low, b);
    multiply_add<typename Tile::T>(part, a, b_low);
    multiply_add<typename Tile::T>(part, a, b);
#pragma unroll
    for (int e = 0; e < 4; ++e) c[e] += part[e];
  } else {
    multiply_add<typename Tile::T>(c, a, b);
  }
}

template <class Tile, bool kStraight>
__device__ __forceinline__ void multiply(Tile& tile, const char* stage) {
  using F = Fragments<Tile, kStraight>;
  const int warp = threadIdx.x >> 5;
  const int m = warp / Tile::kWarpsN * Tile::kFragmentsM * 16, n = warp % Tile::kWarpsN * 32;
// three products: unrolled, they would need more registers than there are
#pragma unroll(Tile::kProducts == 3 ? 1 : kStageBytes / 32)
  for (int step = 0; step < kStageBytes / 32; ++step) {
    uint32_t b[4][2], b_low[4][2], a_low[4];
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
      uint32_t pair[4];
      F::b(stage + Tile::kBytesA, n + j * 8, step, pair);
      for (int i = 0; i < 4; ++i) b[j + i / 2][i % 2] = pair[i];
      if constexpr (sizeof(typename Tile::T) == 4)
        for (int i = 0; i < 2; ++i) split<Tile::kProducts>(b[j + i], b_low[j + i]);
    }
#pragma unroll
    for (int i = 0; i < Tile::kFragmentsM; ++i) {
      uint32_t a[4];
      F::a(stage, m + i * 16, step, a);
      if constexpr (sizeof(typename Tile::T) == 4) split<Tile::kProducts>(a, a_low);
#pragma unroll
      for (int j = 0; j < 4; ++j) multiply_add<Tile>(tile.sum[i][j], a, a_low, b[j], b_low[j]);
    }
  }
}

// Sums over k: stages first .. last of `source`, kStages of them in shared memory while the next ones are loaded. On
// return, shared memory is free.
template <bool kStraight, class Tile, class Source>
__device__ __forceinline__ void accumulate(Tile& tile, const Source& source, int first, int last) {
  char* shared = shared_memory();
#pragma unroll
  for (int i = 0; i < Tile::kFragmentsM; ++i)
    for (int j = 0; j < Tile::kFragmentsN; ++j)
      for (int e = 0; e < 4; ++e) tile.sum[i][j][e] = 0;
  for (int ahead = 0; ahead < kStages - 1; ++ahead) {
    if (first + ahead < last) source.load(first + ahead, shared + ahead * Tile::kBytes);
    commit_copies();
  }
  int reading = 0, writing = kStages - 1;
  for (int k = first; k < last; ++k) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // all threads see stage k and have finished with the stage that is overwritten next
    if (k + kStages - 1 < last) source.load(k + kStages - 1, shared + writing * Tile::kBytes);
    commit_copies();
    multiply<Tile, kStraight>(tile, shared + reading * Tile::kBytes);
    reading = reading + 1 == kStages ? 0 : reading + 1;
    writing = writing + 1 == kStages ? 0 : writing + 1;
  }
  wait_for_copies<0>();
  __syncthreads();
}

// Puts the sums into shared memory as [kTileM][kPitch] for an epilogue that reads them in any order.
template <class Tile>
__device__ __forceinline__ float* stage_sums(const Tile& tile) {
  float* sums = reinterpret_cast<float*>(shared_memory());
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int m = warp / Tile::kWarpsN * Tile::kFragmentsM * 16 + (lane >> 2),
            n = warp % Tile::kWarpsN * 32 + (lane & 3) * 2;
#pragma unroll
  for (int i = 0; i < Tile::kFragmentsM; ++i)
#pragma unroll
    for (int j = 0; j < Tile::kFragmentsN; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<float2*>(sums + (m + i * 16 + half * 8) * Tile::kPitch + n + j * 8) =
            make_float2(tile.sum[i][j][half * 2], tile.sum[i][j][half * 2 + 1]);
  __syncthreads();
  return sums;
}

}  // namespace ganzoo::cuda
