// Batch normalization passes over [pixels, channels]: the activated normalization, its gradient, and their reductions.
#pragma once
#include <cstdint>

#include "indexing.h"
#include "kernels.h"
#include "ptx.h"
#include "welford.cuh"

namespace ganzoo::cuda {

template <class T>
struct PassArguments {
  const T *y, *grad;
  T* out;
  int64_t pixels, share;  // share: pixels of one block
  int channels;
  BatchNorm norm;
  const float *grad_mean, *grad_slope;  // dy = scale g - grad_mean - grad_slope (y - mean)
  float *first, *second;                // partial results, [block][channel]
};

// A thread processes the same kWidth channels of every pixel it visits.
struct Slice {
  int channel, lane, lanes;  // lane: index among the pixels that the block visits at once
  bool valid;
};

GANZOO_HOST_DEVICE int threads_of_pixel(int channels, int width, int group) {
  return min(channels / width - group * kThreads, kThreads);
}

template <int kWidth>
__device__ __forceinline__ Slice slice_of(int channels) {
  const int group = blockIdx.y, threads = threads_of_pixel(channels, kWidth, group), thread = threadIdx.x;
  const int lane = thread / threads, lanes = kThreads / threads;
  return {(group * kThreads + thread % threads) * kWidth, lane, lanes, lane < lanes};
}

// kWidth numbers as they are stored, loaded at once.
template <class T, int kWidth>
struct alignas(kWidth * sizeof(T)) Numbers {
  T values[kWidth];
};

template <class T, int kWidth>
__device__ __forceinline__ void write(const float (&from)[kWidth], T* to) {
  Numbers<T, kWidth> numbers;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) numbers.values[e] = from_float<T>(from[e]);
  *reinterpret_cast<Numbers<T, kWidth>*>(to) = numbers;
}

// Rows of values of each channel: computed once for a block, in shared memory, then read by the threads.
template <int kWidth, int kRows, class Compute>
__device__ __forceinline__ void read_rows(float (&rows)[kRows][kWidth], const Slice& s, int channels, float* shared,
                                          const Compute& compute) {
  const int first = blockIdx.y * kThreads * kWidth, count = threads_of_pixel(channels, kWidth, blockIdx.y) * kWidth;
  for (int c = threadIdx.x; c < count; c += kThreads) {
    float values[kRows];
    compute(first + c, values);
#pragma unroll
    for (int row = 0; row < kRows; ++row) shared[row * count + c] = values[row];
  }
  __syncthreads();
  if (!s.valid) return;
#pragma unroll
  for (int row = 0; row < kRows; ++row)
    *reinterpret_cast<Numbers<float, kWidth>*>(rows[row]) =
        *reinterpret_cast<const Numbers<float, kWidth>*>(shared + row * count + s.channel - first);
}

// Statistics, gamma and beta of a channel folded into act(scale y + shift).
__device__ __forceinline__ void fold(const BatchNorm& norm, int channel, float& scale, float& shift, float& mean) {
  mean = norm.mean[channel];
  scale = (norm.gamma ? norm.gamma[channel] : 1.0f) / sqrtf(norm.var[channel] + norm.eps);
  shift = (norm.beta ? norm.beta[channel] : 0.0f) - mean * scale;
}

// The gradient before the activation, whose input is x; slope 0 ignores gradients that are not finite.
__device__ __forceinline__ float act_backward(float x, float grad, float slope) {
  return x > 0 ? grad : slope == 0 ? 0 : slope * grad;
}

// Calls body(offset of the thread's channels, their values in each of `tensors`) for every pixel of the thread. Several
// pixels are loaded before the first is used, to overlap their latency.
template <int kWidth, int kTensors, class T, class Body>
__device__ __forceinline__ void for_pixels(const PassArguments<T>& p, const Slice& s, const T* const (&tensors)[kTensors],
                                           const Body& body) {
  constexpr int kAhead = 4;
  const int64_t begin = blockIdx.x * p.share, end = begin + p.share < p.pixels ? begin + p.share : p.pixels;
  for (int64_t first = begin + s.lane; first < end; first += kAhead * s.lanes) {
    Numbers<T, kWidth> loaded[kAhead][kTensors];
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int t = 0; t < kTensors; ++t)
        if (const int64_t pixel = first + a * s.lanes; pixel < end)
          loaded[a][t] = *reinterpret_cast<const Numbers<T, kWidth>*>(tensors[t] + pixel * p.channels + s.channel);
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t pixel = first + a * s.lanes;
      if (pixel >= end) break;
      float values[kTensors][kWidth];
#pragma unroll
      for (int t = 0; t < kTensors; ++t)
#pragma unroll
        for (int e = 0; e < kWidth; ++e) values[t][e] = to_float(loaded[a][t].values[e]);
      body(pixel * p.channels + s.channel, values);
    }
  }
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) norm_act_pass(const __grid_constant__ PassArguments<T> p) {
  const Slice s = slice_of<kWidth>(p.channels);
  alignas(32) float rows[2][kWidth];
  read_rows(rows, s, p.channels, reinterpret_cast<float*>(shared_memory()), [&](int channel, float(&v)[2]) {
    float mean;
    fold(p.norm, channel, v[0], v[1], mean);
  });
  if (!s.valid) return;
  const float(&scale)[kWidth] = rows[0], (&shift)[kWidth] = rows[1];
  for_pixels<kWidth, 1>(p, s, {p.y}, [&](int64_t at, float(&v)[1][kWidth]) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float x = scale[e] * v[0][e] + shift[e];
      v[0][e] = x > 0 ? x : p.norm.slope == 0 && x < 0 ? 0 : p.norm.slope * x;
    }
    write<T, kWidth>(v[0], p.out + at);
  });
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2) norm_act_backward_pass(const __grid_constant__ PassArguments<T> p) {
  const Slice s = slice_of<kWidth>(p.channels);
  alignas(32) float rows[5][kWidth];
  read_rows(rows, s, p.channels, reinterpret_cast<float*>(shared_memory()), [&](int channel, float(&v)[5]) {
    fold(p.norm, channel, v[0], v[1], v[2]);
    v[3] = p.grad_mean[channel], v[4] = p.grad_slope[channel];
  });
  if (!s.valid) return;
  const float(&scale)[kWidth] = rows[0], (&shift)[kWidth] = rows[1], (&mean)[kWidth] = rows[2];
  for_pixels<kWidth, 2>(p, s, {p.y, p.grad}, [&](int64_t at, float(&v)[2][kWidth]) {
    float(&y)[kWidth] = v[0], (&g)[kWidth] = v[1];
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float inner = act_backward(scale[e] * y[e] + shift[e], g[e], p.norm.slope);
      g[e] = scale[e] * inner - rows[3][e] - rows[4][e] * (y[e] - mean[e]);
    }
    write<T, kWidth>(g, p.out + at);
  });
}

// Adds up the values of all lanes in a fixed order; lane 0 gets the sums. `scratch`: [kThreads][kWidth].
template <int kWidth>
__device__ __forceinline__ void add_lanes(float (&values)[kWidth], const Slice& s, int threads_of_pixel,
                                          float* scratch) {
  __syncthreads();  // the scratch may still be read
#pragma unroll
  for (int e = 0; e < kWidth; ++e) scratch[threadIdx.x * kWidth + e] = values[e];
  int half = 1;
  while (2 * half < s.lanes) half *= 2;
  for (; half > 0; half /= 2) {
    __syncthreads();
    if (!s.valid || s.lane >= half || s.lane + half >= s.lanes) continue;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      values[e] += scratch[(threadIdx.x + half * threads_of_pixel) * kWidth + e];
      scratch[threadIdx.x * kWidth + e] = values[e];
    }
  }
}

// Two results of each channel over a block's pixels. Backward: the sums of g and of g (y - mean), g being the gradient
// before the activation. Otherwise mean and m2, from sums of y and its square, shifted by the block's first pixel.
template <class T, int kWidth, bool kBackward>
__global__ void __launch_bounds__(kThreads, 2) reduce_pass(const __grid_constant__ PassArguments<T> p) {
  float* scratch = reinterpret_cast<float*>(shared_memory());  // [kThreads][kWidth], then rows of channels
  const Slice s = slice_of<kWidth>(p.channels);
  const int64_t begin = blockIdx.x * p.share;
  float first[kWidth] = {}, second[kWidth] = {}, base[kWidth] = {};
  alignas(32) float rows[3][kWidth];
  if constexpr (kBackward)
    read_rows(rows, s, p.channels, scratch + kThreads * kWidth,
              [&](int channel, float(&v)[3]) { fold(p.norm, channel, v[0], v[1], v[2]); });
  if (s.valid) {
    if constexpr (kBackward) {
      const float(&scale)[kWidth] = rows[0], (&shift)[kWidth] = rows[1], (&mean)[kWidth] = rows[2];
      for_pixels<kWidth, 2>(p, s, {p.y, p.grad}, [&](int64_t, const float(&v)[2][kWidth]) {
        const float(&y)[kWidth] = v[0], (&g)[kWidth] = v[1];
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          const float inner = act_backward(scale[e] * y[e] + shift[e], g[e], p.norm.slope);
          first[e] += inner;
          second[e] += inner * (y[e] - mean[e]);
        }
      });
    } else {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) base[e] = to_float(p.y[begin * p.channels + s.channel + e]);
      for_pixels<kWidth, 1>(p, s, {p.y}, [&](int64_t, const float(&y)[1][kWidth]) {
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          const float shifted = y[0][e] - base[e];
          first[e] += shifted;
          second[e] += shifted * shifted;
        }
      });
    }
  }
  const int threads = threads_of_pixel(p.channels, kWidth, blockIdx.y);
  add_lanes<kWidth>(first, s, threads, scratch);
  add_lanes<kWidth>(second, s, threads, scratch);
  if (!s.valid || s.lane > 0) return;
  const float pixels = static_cast<float>(p.pixels - begin < p.share ? p.pixels - begin : p.share);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * p.channels + s.channel + e;
    p.first[at] = kBackward ? first[e] : base[e] + first[e] / pixels;
    p.second[at] = kBackward ? second[e] : fmaxf(second[e] - first[e] * first[e] / pixels, 0.0f);
  }
}

struct RunningArguments {
  int channels;
  const float *mean, *var;
  float momentum, correction;
  float *running_mean, *running_var;
};

static __global__ void __launch_bounds__(kThreads) update_running_pass(const __grid_constant__ RunningArguments p) {
  const int c = blockIdx.x * kThreads + threadIdx.x;
  if (c >= p.channels) return;
  p.running_mean[c] += p.momentum * (p.mean[c] - p.running_mean[c]);
  p.running_var[c] += p.momentum * (p.var[c] * p.correction - p.running_var[c]);
}

struct FinishArguments {
  int blocks, channels;
  int64_t pixels;
  const float *first, *second;
  BatchNorm norm;
  float *dgamma, *dbeta, *grad_mean, *grad_slope;
};

// The gradients of gamma and beta, and the terms that are subtracted from the gradient of every pixel.
static __global__ void __launch_bounds__(kThreads) finish_backward(const __grid_constant__ FinishArguments p) {
  double* scratch = reinterpret_cast<double*>(shared_memory());
  const int channel = blockIdx.x * kMergeChannels + threadIdx.x % kMergeChannels;
  double sum = 0, product = 0;
  for_blocks(
      p.blocks, p.channels, channel, p.first, p.second, [](int) { return 1; },
      [&](int, float first, float second) { sum += first, product += second; });
  sum_lanes(sum, product, scratch);
  if (channel >= p.channels || threadIdx.x >= kMergeChannels) return;
  const double rstd = 1 / sqrt(static_cast<double>(p.norm.var[channel]) + p.norm.eps);
  const double a = (p.norm.gamma ? p.norm.gamma[channel] : 1.0) * rstd, count = static_cast<double>(p.pixels);
  p.dbeta[channel] = static_cast<float>(sum);
  p.dgamma[channel] = static_cast<float>(product * rstd);
  p.grad_mean[channel] = static_cast<float>(a * sum / count);
  p.grad_slope[channel] = static_cast<float>(a * product * rstd * rstd / count);
}

}  // namespace ganzoo::cuda
