// Joins what blocks of pixels found for each channel, in a fixed order and in double precision.
#pragma once
#include "device.h"
#include "kernels.h"

namespace ganzoo::cuda {

constexpr int kJoinChannels = 8, kJoinLanes = kThreads / kJoinChannels;

// The sum over the lanes of a channel, the same in all of them; `scratch` is kThreads doubles.
__device__ __forceinline__ double over_lanes(double value, double* scratch) {
  const int channel = threadIdx.x % kJoinChannels;
  __syncthreads();
  scratch[threadIdx.x] = value;
  __syncthreads();
  double total = 0;
  for (int lane = 0; lane < kJoinLanes; ++lane) total += scratch[lane * kJoinChannels + channel];
  return total;
}

// The blocks of pixels of a convolution's tiles, or of a pass over [pixels, channels].
struct Blocks {
  bool of_tiles;
  Convolution f;
  int tiles;  // of a class
  int64_t pixels, share;
  int count;

  GANZOO_BOTH int rows(int i) const {
    if (of_tiles) return rows_of_tile(f, class_of(f, i / tiles), i % tiles);
    const int64_t left = pixels - i * share;
    return static_cast<int>(left < share ? left : share);
  }
};

struct JoinArguments {
  Blocks blocks;
  int channels;
  const float *first, *second;  // [block][channel]
  float *mean, *var;
};

// Adds up what blocks found for `channel`, several of them asked for before the first is used: one after the other they
// would take a memory's latency each. body(rows, first, second); blocks without rows are left out, nobody wrote theirs.
template <class Rows, class Body>
__device__ __forceinline__ void each_block(int count, int channels, int channel, const float* first,
                                           const float* second, const Rows& rows, const Body& body) {
  constexpr int kAhead = 8;
  for (int begin = threadIdx.x / kJoinChannels; begin < count; begin += kAhead * kJoinLanes) {
    float one[kAhead], other[kAhead];
    int of_block[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int i = begin + a * kJoinLanes;
      const int64_t at = static_cast<int64_t>(i) * channels + channel;
      of_block[a] = i < count && channel < channels ? rows(i) : 0;
      one[a] = of_block[a] ? first[at] : 0.0f, other[a] = of_block[a] ? second[at] : 0.0f;
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      if (of_block[a]) body(of_block[a], one[a], other[a]);
  }
}

// (mean, m2) of blocks -> mean and biased variance of all. Deviations are taken from the first block's mean, which has
// rows, so that double precision loses nothing by it.
static __global__ void __launch_bounds__(kThreads) join_statistics(const __grid_constant__ JoinArguments p) {
  double* scratch = reinterpret_cast<double*>(shared_memory());
  const int channel = blockIdx.x * kJoinChannels + threadIdx.x % kJoinChannels;
  const double base = channel < p.channels ? p.first[channel] : 0.0f, pixels = static_cast<double>(p.blocks.pixels);
  double sum = 0, squares = 0;
  each_block(
      p.blocks.count, p.channels, channel, p.first, p.second, [&](int i) { return p.blocks.rows(i); },
      [&](int rows, float mean, float m2) {
        const double deviation = mean - base;
        sum += rows * deviation;
        squares += m2 + rows * deviation * deviation;
      });
  const double shift = over_lanes(sum, scratch) / pixels, var = over_lanes(squares, scratch) / pixels - shift * shift;
  if (channel < p.channels && threadIdx.x < kJoinChannels) {
    p.mean[channel] = static_cast<float>(base + shift);
    p.var[channel] = static_cast<float>(var < 0 ? 0 : var);  // NaN stays
  }
}

inline cudaError_t join(const JoinArguments& p, cudaStream_t stream) {
  return launch(&join_statistics, dim3(ceil_div(p.channels, kJoinChannels), 1, 1), kThreads * 8, stream, p);
}

}  // namespace ganzoo::cuda
