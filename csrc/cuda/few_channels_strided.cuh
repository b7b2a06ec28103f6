// The strided convolution of a big image with few channels: rows of the product are small pixels, columns small
// channels, k the 16 C numbers that a pixel meets.
#pragma once
#include <cstdint>

#include "few_channels.cuh"
#include "few_channels.h"
#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

template <class T>
struct StridedArguments {
  FewChannels s;
  Tiles tiles;
  const T *big, *tanh_out;
  Weight weight;
  FewEpilogue e;
  T* small;
  bool in_chunks;
};

template <int C>
constexpr int kStridedPitch = 16 * C + 2;  // numbers from one small channel to the next in the staged weight

template <int C>
int strided_bytes(const Tiles& t) {
  return 3 * kSlice * 4 + round_up(kSlice * kStridedPitch<C> * 2, 16) + 2 * patch_bytes(t);
}

// A thread holds columns 2 t, 2 t + 1 of each of 8 fragments, t = lane % 4. They are permuted, so that fragments 0 to 3
// and 4 to 7 are 8 consecutive channels each, and the four threads of a pixel write 64 bytes at once.
GANZOO_HOST_DEVICE int channel_of_column(int fragment, int col) {
  return fragment / 4 * 32 + col / 2 * 8 + fragment % 4 * 2 + col % 2;
}

template <class T, int C>
__global__ void __launch_bounds__(kThreads, 2) strided(const __grid_constant__ StridedArguments<T> p) {
  float* scale = reinterpret_cast<float*>(shared_memory());
  float* shift = scale + kSlice;
  float* initial = shift + kSlice;  // of the sums: the shift, unless they are scaled
  T* weights = reinterpret_cast<T*>(initial + kSlice);
  T* patches = weights + round_up(kSlice * kStridedPitch<C> * 2, 16) / 2;
  const int pitch = patch_pitch(p.tiles), lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int first = blockIdx.y * kSlice, channels = min(kSlice, p.s.cs - first);

  PatchLoader<T, C, false> loader(p.s, p.tiles, p.big, p.tanh_out, p.in_chunks);
  loader.load(blockIdx.x);
  for_weights<T, C>(p.weight, first, first + channels, [&](int channel, int c, int kh, int kw, float value) {
    weights[(channel - first) * kStridedPitch<C> + kh * 4 * C + kw * C + c] = from_float<T>(value);
  });
  if (threadIdx.x < kSlice) {
    const int channel = first + threadIdx.x;
    scale[threadIdx.x] = p.e.scale && channel < p.s.cs ? p.e.scale[channel] : 1.0f;
    shift[threadIdx.x] = p.e.shift && channel < p.s.cs ? p.e.shift[channel] : 0.0f;
    initial[threadIdx.x] = p.e.scale ? 0.0f : shift[threadIdx.x];
  }
  __syncthreads();

  uint32_t b[C][8][2];
  int offset[C][2];
#pragma unroll
  for (int step = 0; step < C; ++step)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int k = step * 16 + half * 8 + 2 * t;
      offset[step][half] = k / (4 * C) * pitch + k % (4 * C);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int channel = channel_of_column(n, g);
        b[step][n][half] =
            channel < channels ? *reinterpret_cast<const Word*>(weights + channel * kStridedPitch<C> + k) : 0;
      }
    }

  const int width = 1 << p.tiles.log_width;
  int start[2];  // of the patches of the thread's two pixels
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int pixel = warp * 16 + g + i * 8, row = pixel >> p.tiles.log_width, col = pixel & (width - 1);
    start[i] = 2 * row * pitch + 2 * col * C + kPatchStart<C>;
  }

  int buffer = 0;
  for (int tile = blockIdx.x; tile < p.tiles.count; tile += gridDim.x, buffer ^= 1) {
    T* patch = patches + buffer * p.tiles.lines * pitch;
    loader.store(patch);
    __syncthreads();  // the other buffer is overwritten only after the next barrier, when all threads have read it
    if (tile + static_cast<int>(gridDim.x) < p.tiles.count) loader.load(tile + gridDim.x);
    float sum[8][4];
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const float2 start_at = *reinterpret_cast<const float2*>(initial + channel_of_column(n, 2 * t));
      sum[n][0] = sum[n][2] = start_at.x, sum[n][1] = sum[n][3] = start_at.y;
    }
#pragma unroll
    for (int step = 0; step < C; ++step) {
      uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[i] = *reinterpret_cast<const Word*>(patch + start[i % 2] + offset[step][i / 2]);
#pragma unroll
      for (int n = 0; n < 8; ++n) multiply_add<T>(sum[n], a, b[step][n]);
    }
    if (p.e.scale) {
#pragma unroll
      for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int channel = channel_of_column(n, 2 * t + e % 2);
          sum[n][e] = scale[channel] * sum[n][e] + shift[channel];
        }
    }
    leaky_relu(sum, p.e.slope);
    const TileOrigin origin = origin_of(p.tiles, tile);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int pixel = warp * 16 + g + i * 8, row = origin.row + (pixel >> p.tiles.log_width),
                col = origin.col + (pixel & (width - 1));
      Words v[2];
#pragma unroll
      for (int n = 0; n < 8; ++n) v[n / 4].w[n % 4] = pack_pair<T>(sum[n][2 * i], sum[n][2 * i + 1]);
      if (row >= p.s.h || col >= p.s.w) continue;
      T* to = p.small + static_cast<int64_t>((origin.image * p.s.h + row) * p.s.w + col) * p.s.cs + first;
      // odd pixels in the other order: rows of 128 bytes would otherwise fill one half of the banks at a time
      const bool odd = g % 2;
      const int channel = (odd ? 32 : 0) + t * 8;
      if (channel < channels) *reinterpret_cast<Words*>(to + channel) = odd ? v[1] : v[0];
      if ((channel ^ 32) < channels) *reinterpret_cast<Words*>(to + (channel ^ 32)) = odd ? v[0] : v[1];
    }
  }
}

}  // namespace ganzoo::cuda
