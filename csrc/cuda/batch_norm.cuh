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

template <class T, int kWidth>
__device__ __forceinline__ void read(const T* from, float (&to)[kWidth]) {
  if constexpr (kWidth == 1) {
    to[0] = to_float(*from);
  } else {
    const Chunk<T> chunk = *reinterpret_cast<const Chunk<T>*>(from);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) to[e] = to_float(chunk.values[e]);
  }
}

template <class T, int kWidth>
__device__ __forceinline__ void write(const float (&from)[kWidth], T* to) {
  if constexpr (kWidth == 1) {
    *to = from_float<T>(from[0]);
  } else {
    Chunk<T> chunk;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) chunk.values[e] = from_float<T>(from[e]);
    *reinterpret_cast<Chunk<T>*>(to) = chunk;
  }
}

// Statistics, gamma and beta folded into act(scale y + shift).
template <int kWidth>
struct FoldedNorm {
  float scale[kWidth], shift[kWidth], mean[kWidth];

  __device__ __forceinline__ FoldedNorm(const BatchNorm& norm, int channel) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      mean[e] = norm.mean[channel + e];
      scale[e] = (norm.gamma ? norm.gamma[channel + e] : 1.0f) / sqrtf(norm.var[channel + e] + norm.eps);
      shift[e] = (norm.beta ? norm.beta[channel + e] : 0.0f) - mean[e] * scale[e];
    }
  }
};

// Calls body(offset of the thread's channels) for every pixel of the thread.
template <class T, class Body>
__device__ __forceinline__ void for_pixels(const PassArguments<T>& p, const Slice& s, const Body& body) {
  const int64_t begin = blockIdx.x * p.share, end = begin + p.share < p.pixels ? begin + p.share : p.pixels;
  for (int64_t pixel = begin + s.lane; pixel < end; pixel += s.lanes) body(pixel * p.channels + s.channel);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) norm_act_pass(const __grid_constant__ PassArguments<T> p) {
  const Slice s = slice_of<kWidth>(p.channels);
  if (!s.valid) return;
  const FoldedNorm<kWidth> f(p.norm, s.channel);
  for_pixels(p, s, [&](int64_t at) {
    float v[kWidth];
    read<T, kWidth>(p.y + at, v);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float x = f.scale[e] * v[e] + f.shift[e];
      v[e] = x > 0 ? x : p.norm.slope == 0 && x < 0 ? 0 : p.norm.slope * x;
    }
    write<T, kWidth>(v, p.out + at);
  });
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) norm_act_backward_pass(const __grid_constant__ PassArguments<T> p) {
  const Slice s = slice_of<kWidth>(p.channels);
  if (!s.valid) return;
  const FoldedNorm<kWidth> f(p.norm, s.channel);
  float mean_term[kWidth], slope_term[kWidth];
#pragma unroll
  for (int e = 0; e < kWidth; ++e)
    mean_term[e] = p.grad_mean[s.channel + e], slope_term[e] = p.grad_slope[s.channel + e];
  for_pixels(p, s, [&](int64_t at) {
    float y[kWidth], g[kWidth];
    read<T, kWidth>(p.y + at, y), read<T, kWidth>(p.grad + at, g);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float inner_grad = f.scale[e] * y[e] + f.shift[e] > 0 ? g[e] : (p.norm.slope == 0 ? 0 : p.norm.slope * g[e]);
      g[e] = f.scale[e] * inner_grad - mean_term[e] - slope_term[e] * (y[e] - f.mean[e]);
    }
    write<T, kWidth>(g, p.out + at);
  });
}

// Two results of each channel over a block's pixels. Backward: the sums of g and of g (y - mean), g being the gradient
// before the activation. Otherwise mean and m2, from sums of y and its square, shifted by the block's first pixel.
template <class T, int kWidth, bool kBackward>
__global__ void __launch_bounds__(kThreads) reduce_pass(const __grid_constant__ PassArguments<T> p) {
  float* scratch = reinterpret_cast<float*>(shared_memory());  // [2][kThreads][kWidth]
  const Slice s = slice_of<kWidth>(p.channels);
  const int64_t begin = blockIdx.x * p.share;
  float first[kWidth] = {}, second[kWidth] = {}, base[kWidth] = {};
  if (s.valid) {
    if constexpr (kBackward) {
      const FoldedNorm<kWidth> f(p.norm, s.channel);
      for_pixels(p, s, [&](int64_t at) {
        float y[kWidth], g[kWidth];
        read<T, kWidth>(p.y + at, y), read<T, kWidth>(p.grad + at, g);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          const float inner_grad = f.scale[e] * y[e] + f.shift[e] > 0 ? g[e] : (p.norm.slope == 0 ? 0 : p.norm.slope * g[e]);
          first[e] += inner_grad;
          second[e] += inner_grad * (y[e] - f.mean[e]);
        }
      });
    } else {
      read<T, kWidth>(p.y + begin * p.channels + s.channel, base);
      for_pixels(p, s, [&](int64_t at) {
        float y[kWidth];
        read<T, kWidth>(p.y + at, y);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          const float shifted = y[e] - base[e];
          first[e] += shifted;
          second[e] += shifted * shifted;
        }
      });
    }
  }
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    scratch[threadIdx.x * kWidth + e] = first[e];
    scratch[(kThreads + threadIdx.x) * kWidth + e] = second[e];
  }
  __syncthreads();
  if (!s.valid || s.lane > 0) return;
  const int stride = threads_of_pixel(p.channels, kWidth, blockIdx.y);
  const float rows = static_cast<float>(p.pixels - begin < p.share ? p.pixels - begin : p.share);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    float a = 0, b = 0;
    for (int lane = 0; lane < s.lanes; ++lane) {
      a += scratch[(lane * stride + threadIdx.x) * kWidth + e];
      b += scratch[(kThreads + lane * stride + threadIdx.x) * kWidth + e];
    }
    const int64_t at = static_cast<int64_t>(blockIdx.x) * p.channels + s.channel + e;
    p.first[at] = kBackward ? a : base[e] + a / rows;
    p.second[at] = kBackward ? b : fmaxf(b - a * a / rows, 0.0f);
  }
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
  sum = sum_lanes(sum, scratch), product = sum_lanes(product, scratch);
  if (channel >= p.channels || threadIdx.x >= kMergeChannels) return;
  const double rstd = 1 / sqrt(static_cast<double>(p.norm.var[channel]) + p.norm.eps);
  const double a = (p.norm.gamma ? p.norm.gamma[channel] : 1.0) * rstd, count = static_cast<double>(p.pixels);
  p.dbeta[channel] = static_cast<float>(sum);
  p.dgamma[channel] = static_cast<float>(product * rstd);
  p.grad_mean[channel] = static_cast<float>(a * sum / count);
  p.grad_slope[channel] = static_cast<float>(a * product * rstd * rstd / count);
}

}  // namespace ganzoo::cuda
