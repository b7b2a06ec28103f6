// Weight gradient of both convolutions as one implicit matrix product: rows are small channels, columns taps and big
// channels, k runs over the small image's pixels.
#pragma once
#include <cstdint>

#include "gemm.cuh"
#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

template <class T>
struct GradientArguments {
  Gradient g;
  const T *small, *big;
  float* out;  // [split][cs][16 cb]
  int stages_of_split;
};

template <class Tile, bool kVector>
struct GradientSource {
  using T = typename Tile::T;
  static constexpr int kChunksOfRowA = kTileM / Tile::kVector, kChunksOfRowB = Tile::kN / Tile::kVector;
  static constexpr bool kWords = sizeof(T) == 4;

  const GradientArguments<T>& p;
  int m0, n0;

  __device__ __forceinline__ void load(int stage, char* to) const {
    const int chunk_a = threadIdx.x % kChunksOfRowA, chunk_b = threadIdx.x % kChunksOfRowB;
#pragma unroll
    for (int i = 0; i < Tile::kChunksA; ++i) {
      const int line = threadIdx.x / kChunksOfRowA + i * (kThreads / kChunksOfRowA);
      char* slot = to + 16 * swizzled(line, chunk_a, kChunksOfRowA, kWords);
      copy(slot, stage * Tile::kK + line, [&](int k, int e) { return small(k, m0 + chunk_a * Tile::kVector + e); });
    }
#pragma unroll
    for (int i = 0; i < Tile::kChunksB; ++i) {
      const int line = threadIdx.x / kChunksOfRowB + i * (kThreads / kChunksOfRowB);
      char* slot = to + Tile::kBytesA + 16 * swizzled(line, chunk_b, kChunksOfRowB, kWords);
      copy(slot, stage * Tile::kK + line, [&](int k, int e) { return big(k, n0 + chunk_b * Tile::kVector + e); });
    }
  }

 private:
  // Copies one chunk of row k; address(k, e) is the address of its number e, or null for a zero.
  template <class Address>
  __device__ __forceinline__ void copy(char* slot, int k, const Address& address) const {
    if constexpr (kVector) {
      const T* from = address(k, 0);
      copy_async(slot, from ? from : p.small, from != nullptr);
    } else {
      Chunk<T> values;
#pragma unroll
      for (int e = 0; e < Tile::kVector; ++e) {
        const T* from = address(k, e);
        values.values[e] = from ? *from : from_float<T>(0);
      }
      *reinterpret_cast<Chunk<T>*>(slot) = values;
    }
  }

  __device__ __forceinline__ const T* small(int k, int channel) const {
    if (k >= pixels_of(p.g) || channel >= p.g.cs) return nullptr;
    return p.small + static_cast<int64_t>(small_pixel(p.g, place_of(p.g, k))) * p.g.cs + channel;
  }

  __device__ __forceinline__ const T* big(int k, int column) const {
    if (k >= pixels_of(p.g) || column >= 16 * p.g.cb) return nullptr;
    const int tap = quotient(column, p.g.by_cb), pixel = big_pixel(p.g, place_of(p.g, k), tap);
    return pixel < 0 ? nullptr : p.big + static_cast<int64_t>(pixel) * p.g.cb + column - tap * p.g.cb;
  }
};

template <class Tile, bool kVector>
__global__ void __launch_bounds__(kThreads, Tile::kBlocksOfProcessor)
    weight_gradient(const __grid_constant__ GradientArguments<typename Tile::T> p) {
  const int m0 = blockIdx.y * kTileM, n0 = blockIdx.x * Tile::kN, columns = 16 * p.g.cb;
  const int stages = ceil_div(pixels_of(p.g), Tile::kK), first = blockIdx.z * p.stages_of_split;
  Tile tile;
  const GradientSource<Tile, kVector> source = {p, m0, n0};
  accumulate<false>(tile, source, first, min(first + p.stages_of_split, stages));
  const float* sums = stage_sums(tile);
  const int rows = min(kTileM, p.g.cs - m0), col = threadIdx.x % (Tile::kN / 4) * 4;  // 16 cb is a multiple of 4
  float* out = p.out + static_cast<int64_t>(blockIdx.z * p.g.cs + m0) * columns + n0 + col;
  for (int row = threadIdx.x / (Tile::kN / 4); row < rows && n0 + col < columns; row += kThreads / (Tile::kN / 4))
    *reinterpret_cast<float4*>(out + static_cast<int64_t>(row) * columns) =
        *reinterpret_cast<const float4*>(sums + row * Tile::kPitch + col);
}

}  // namespace ganzoo::cuda
