// Merges the partial results of blocks of pixels for each channel, in a fixed order and in double precision.
#pragma once
#include <cstdint>

#include "indexing.h"
#include "kernels.h"
#include "ptx.h"

namespace ganzoo::cuda {

constexpr int kMergeChannels = 4, kMergeLanes = kThreads / kMergeChannels;
constexpr int kMergeScratchBytes = 2 * kThreads * 8;

// Sums of two values over the lanes of a channel, in a fixed order; all of them get the results.
__device__ __forceinline__ void sum_lanes(double& first, double& second, double* scratch) {
  constexpr int kEach = 8, kParts = kThreads / kEach;  // a thread of the first kParts adds kEach lanes of a channel
  const int thread = threadIdx.x, channel = thread % kMergeChannels;
  scratch[thread] = first, scratch[kThreads + thread] = second;
  __syncthreads();
  first = second = 0;
  if (thread < kParts)
    for (int i = 0; i < kEach; ++i) {
      const int lane = thread / kMergeChannels * kEach + i;
      first += scratch[lane * kMergeChannels + channel];
      second += scratch[kThreads + lane * kMergeChannels + channel];
    }
  __syncthreads();
  if (thread < kParts) scratch[thread] = first, scratch[kParts + thread] = second;
  __syncthreads();
  first = second = 0;
  for (int i = channel; i < kParts; i += kMergeChannels) first += scratch[i], second += scratch[kParts + i];
}

// Blocks of pixels: the tiles of a convolution, or those of a pass over [pixels, channels].
struct Blocks {
  int tile_rows;  // 0: of a pass
  Convolution f;
  int tiles;  // of one phase
  int64_t pixels, share;
  int count;

  GANZOO_HOST_DEVICE int rows(int i) const {
    if (tile_rows) return rows_of_tile(f, phase_of(f, i / tiles), i % tiles, tile_rows);
    const int64_t left = pixels - i * share;
    return static_cast<int>(left < share ? left : share);
  }
};

struct MergeArguments {
  Blocks blocks;
  int channels;
  const float *first, *second;  // partial results, [block][channel]
  float *mean, *var;
};

// Calls body(rows, first, second) with the partial results of each block for `channel`. Several are loaded before the
// first is used, to overlap their latency. Blocks without rows are skipped: their results were never written.
template <class Rows, class Body>
__device__ __forceinline__ void for_blocks(int count, int channels, int channel, const float* first,
                                           const float* second, const Rows& rows, const Body& body) {
  constexpr int kAhead = 16;
  for (int begin = threadIdx.x / kMergeChannels; begin < count; begin += kAhead * kMergeLanes) {
    float one[kAhead], other[kAhead];
    int of_block[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int i = begin + a * kMergeLanes;
      const int64_t at = static_cast<int64_t>(i) * channels + channel;
      of_block[a] = i < count && channel < channels ? rows(i) : 0;
      one[a] = of_block[a] ? first[at] : 0.0f, other[a] = of_block[a] ? second[at] : 0.0f;
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      if (of_block[a]) body(of_block[a], one[a], other[a]);
  }
}

// Merges (mean, m2) of blocks into the mean and biased variance of all pixels. Deviations are taken from the mean of
// the first block, which always has rows, so that nothing cancels in double precision.
static __global__ void __launch_bounds__(kThreads) merge_statistics(const __grid_constant__ MergeArguments p) {
  double* scratch = reinterpret_cast<double*>(shared_memory());
  const int channel = blockIdx.x * kMergeChannels + threadIdx.x % kMergeChannels;
  const double base = channel < p.channels ? p.first[channel] : 0.0f, pixels = static_cast<double>(p.blocks.pixels);
  double sum = 0, squares = 0;
  for_blocks(
      p.blocks.count, p.channels, channel, p.first, p.second, [&](int i) { return p.blocks.rows(i); },
      [&](int rows, float mean, float m2) {
        const double deviation = mean - base;
        sum += rows * deviation;
        squares += m2 + rows * deviation * deviation;
      });
  sum_lanes(sum, squares, scratch);
  const double shift = sum / pixels, var = squares / pixels - shift * shift;
  if (channel < p.channels && threadIdx.x < kMergeChannels) {
    p.mean[channel] = static_cast<float>(base + shift);
    p.var[channel] = static_cast<float>(var < 0 ? 0 : var);  // keeps NaN
  }
}

inline cudaError_t merge(const MergeArguments& p, cudaStream_t stream) {
  return launch(&merge_statistics, dim3(ceil_div(p.channels, kMergeChannels), 1, 1), kMergeScratchBytes, stream,
                p);
}

}  // namespace ganzoo::cuda
