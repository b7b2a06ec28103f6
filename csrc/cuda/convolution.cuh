// Transposed (up) and strided (down) convolution as one implicit matrix product: rows are output pixels, columns output
// channels, k runs over the taps that are inside the image and the input channels.
#pragma once
#include <cstdint>

#include "gemm.cuh"
#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

template <class T>
struct ConvolutionArguments {
  Convolution f;
  const T *x, *packed;
  T* out;                      // act(scale * sum + shift), act(v) = v > 0 ? v : slope * v
  const float *scale, *shift;  // per output channel, or null
  float *mean, *m2;            // of each tile's sums, [phase][tile][cout], or null
  float slope;
  int pitch;  // of `packed`
};

// Loads the stages. kVector: in aligned chunks of 16 bytes, each within one tap; otherwise number by number.
template <class Tile, bool kVector>
struct ConvolutionSource {
  using T = typename Tile::T;
  static constexpr int kRows = kThreads / 8;  // rows of a stage, of 8 chunks each, that the block copies at once

  const ConvolutionArguments<T>& p;
  Phase k;
  Taps taps;
  int first_weight_row, first_channel;
  int row[Tile::kChunksA], col[Tile::kChunksA], pixel[Tile::kChunksA];  // of the input, before the tap

  __device__ __forceinline__ ConvolutionSource(const ConvolutionArguments<T>& arguments, int which, int m0, int n0)
      : p(arguments), k(phase_of(p.f, which)), first_weight_row(which * p.f.cout), first_channel(n0) {
    const int rows = rows_of_product(p.f, k), last = min(m0 + kTileM, rows) - 1;
    taps = active_taps(p.f, k, m0, last);
#pragma unroll
    for (int i = 0; i < Tile::kChunksA; ++i) {
      const int m = m0 + static_cast<int>(threadIdx.x >> 3) + i * kRows;
      const Place place = place_of(p.f, k, min(m, last));
      row[i] = m <= last ? place.row * step_in(p.f) : -4;  // -4: outside under any tap
      col[i] = place.col * step_in(p.f);
      pixel[i] = input_pixel(p.f, place);
    }
  }

  __device__ __forceinline__ int stages() const { return ceil_div(taps.count * p.f.cin, Tile::kK); }

  __device__ __forceinline__ void load(int stage, char* to) const {
    const int chunk = threadIdx.x & 7, line = threadIdx.x >> 3, at = stage * Tile::kK + chunk * Tile::kVector;
    if constexpr (kVector) {
      const Where where = find(at);
#pragma unroll
      for (int i = 0; i < Tile::kChunksA; ++i) {
        const T* from = input(where, i);
        copy_async(to + 16 * swizzled(line + i * kRows, chunk, 8, false), from ? from : p.x, from != nullptr);
      }
#pragma unroll
      for (int i = 0; i < Tile::kChunksB; ++i) {
        const T* from = weight(where, line + i * kRows);
        copy_async(to + Tile::kBytesA + 16 * swizzled(line + i * kRows, chunk, 8, false), from ? from : p.packed,
                   from != nullptr);
      }
    } else {
      Where where[Tile::kVector];
#pragma unroll
      for (int e = 0; e < Tile::kVector; ++e) where[e] = find(at + e);
#pragma unroll
      for (int i = 0; i < Tile::kChunksA; ++i) {
        Chunk<T> values;
#pragma unroll
        for (int e = 0; e < Tile::kVector; ++e) {
          const T* from = input(where[e], i);
          values.values[e] = from ? *from : from_float<T>(0);
        }
        *reinterpret_cast<Chunk<T>*>(to + 16 * swizzled(line + i * kRows, chunk, 8, false)) = values;
      }
#pragma unroll
      for (int i = 0; i < Tile::kChunksB; ++i) {
        Chunk<T> values;
#pragma unroll
        for (int e = 0; e < Tile::kVector; ++e) {
          const T* from = weight(where[e], line + i * kRows);
          values.values[e] = from ? *from : from_float<T>(0);
        }
        *reinterpret_cast<Chunk<T>*>(to + Tile::kBytesA + 16 * swizzled(line + i * kRows, chunk, 8, false)) = values;
      }
    }
  }

 private:
  struct Where {
    bool valid;  // false: past the last k
    int tap, dh, dw, channel;
  };

  __device__ __forceinline__ Where find(int at) const {
    const int slot = quotient(at, p.f.by_cin);
    if (slot >= taps.count) return {false, 0, 0, 0, 0};
    const int number = tap_number(taps, slot);
    const Tap tap = tap_of(p.f, k, number);
    return {true, number, tap.dh, tap.dw, at - slot * p.f.cin};
  }

  __device__ __forceinline__ const T* input(const Where& where, int i) const {
    if (!where.valid || !inside(p.f, row[i] + where.dh, col[i] + where.dw)) return nullptr;
    return p.x + static_cast<int64_t>(pixel[i] + where.dh * p.f.w + where.dw) * p.f.cin + where.channel;
  }

  __device__ __forceinline__ const T* weight(const Where& where, int line) const {
    const int channel = first_channel + line;
    if (!where.valid || channel >= p.f.cout) return nullptr;
    return p.packed + static_cast<int64_t>(first_weight_row + channel) * p.pitch + where.tap * p.f.cin + where.channel;
  }
};

// Mean and sum of squared deviations of each column of `rows` sums, in two passes, with the threads merged in a fixed
// order.
template <class Tile>
__device__ __forceinline__ void write_statistics(float* sums, int rows, int channels, float* mean, float* m2) {
  constexpr int kGroups = kThreads / Tile::kN, kShare = kTileM / kGroups;
  float* scratch = sums + kTileM * Tile::kPitch;
  const int col = threadIdx.x % Tile::kN, begin = threadIdx.x / Tile::kN * kShare, end = min(begin + kShare, rows);
  float total = 0;
  for (int row = begin; row < end; ++row) total += sums[row * Tile::kPitch + col];
  scratch[threadIdx.x] = total;
  __syncthreads();
  total = 0;
  for (int group = 0; group < kGroups; ++group) total += scratch[group * Tile::kN + col];
  const float average = total / rows;
  __syncthreads();
  float squares = 0;
  for (int row = begin; row < end; ++row) {
    const float deviation = sums[row * Tile::kPitch + col] - average;
    squares += deviation * deviation;
  }
  scratch[threadIdx.x] = squares;
  __syncthreads();
  if (begin == 0 && col < channels) {
    squares = 0;
    for (int group = 0; group < kGroups; ++group) squares += scratch[group * Tile::kN + col];
    mean[col] = average, m2[col] = squares;
  }
}

template <class Tile, bool kVector>
__global__ void __launch_bounds__(kThreads, Tile::kBlocksOfProcessor)
    convolve(const __grid_constant__ ConvolutionArguments<typename Tile::T> p) {
  using T = typename Tile::T;
  const int which = blockIdx.z, m0 = blockIdx.x * kTileM, n0 = blockIdx.y * Tile::kN;
  const Phase k = phase_of(p.f, which);
  const int rows = rows_of_tile(p.f, k, blockIdx.x);
  if (rows == 0) return;
  Tile tile;
  {
    const ConvolutionSource<Tile, kVector> source(p, which, m0, n0);
    accumulate<true>(tile, source, 0, source.stages());
  }
  float* sums = stage_sums(tile);
  const int channels = min(Tile::kN, p.f.cout - n0);
  if (p.mean) {
    const int64_t at = static_cast<int64_t>(which * gridDim.x + blockIdx.x) * p.f.cout + n0;
    write_statistics<Tile>(sums, rows, channels, p.mean + at, p.m2 + at);
  }

  constexpr int kThreadsPerRow = Tile::kN / Tile::kVector;
  const int col = threadIdx.x % kThreadsPerRow * Tile::kVector;
  float scale[Tile::kVector], shift[Tile::kVector];
#pragma unroll
  for (int e = 0; e < Tile::kVector; ++e) {
    scale[e] = p.scale && col + e < channels ? p.scale[n0 + col + e] : 1.0f;
    shift[e] = p.shift && col + e < channels ? p.shift[n0 + col + e] : 0.0f;
  }
  for (int row = threadIdx.x / kThreadsPerRow; row < rows && col < channels; row += kThreads / kThreadsPerRow) {
    T* to = p.out + static_cast<int64_t>(output_pixel(p.f, k, place_of(p.f, k, m0 + row))) * p.f.cout + n0 + col;
    Chunk<T> values;
#pragma unroll
    for (int e = 0; e < Tile::kVector; ++e) {
      const float v = scale[e] * sums[row * Tile::kPitch + col + e] + shift[e];
      values.values[e] = from_float<T>(v > 0 ? v : p.slope == 0 && v < 0 ? 0 : p.slope * v);
    }
    if (p.f.cout % Tile::kVector == 0) {
      *reinterpret_cast<Chunk<T>*>(to) = values;
    } else {
      for (int e = 0; e < Tile::kVector && col + e < channels; ++e) to[e] = values.values[e];
    }
  }
}

}  // namespace ganzoo::cuda
