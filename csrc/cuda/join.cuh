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

// (mean, m2) of blocks -> mean and biased variance of all: the deviations are taken from the mean of all.
static __global__ void __launch_bounds__(kThreads) join_statistics(const __grid_constant__ JoinArguments p) {
  double* scratch = reinterpret_cast<double*>(shared_memory());
  const int channel = blockIdx.x * kJoinChannels + threadIdx.x % kJoinChannels, lane = threadIdx.x / kJoinChannels;
  const bool real = channel < p.channels;
  double sum = 0, m2 = 0;
  for (int i = lane; i < p.blocks.count && real; i += kJoinLanes)
    if (const int rows = p.blocks.rows(i))
      sum += static_cast<double>(rows) * p.first[static_cast<int64_t>(i) * p.channels + channel];
  const double mean = over_lanes(sum, scratch) / static_cast<double>(p.blocks.pixels);
  for (int i = lane; i < p.blocks.count && real; i += kJoinLanes)
    if (const int rows = p.blocks.rows(i)) {
      const int64_t at = static_cast<int64_t>(i) * p.channels + channel;
      const double deviation = p.first[at] - mean;
      m2 += p.second[at] + rows * deviation * deviation;
    }
  m2 = over_lanes(m2, scratch);
  if (real && lane == 0) {
    p.mean[channel] = static_cast<float>(mean);
    p.var[channel] = static_cast<float>(m2 / static_cast<double>(p.blocks.pixels));
  }
}

inline cudaError_t join(const JoinArguments& p, cudaStream_t stream) {
  return launch(&join_statistics, dim3(ceil_div(p.channels, kJoinChannels), 1, 1), kThreads * 8, stream, p);
}

}  // namespace ganzoo::cuda
