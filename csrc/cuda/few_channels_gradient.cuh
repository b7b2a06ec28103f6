// The weight gradient of a convolution whose big image has few channels: rows of the product are small channels, columns
// the 16 C numbers that a small pixel meets, k small pixels. Each block adds up the products of its tiles, a second
// kernel those of the blocks, in a fixed order. The sums of the gradient, for the bias, are by-products.
#pragma once
#include <cstdint>

#include "few_channels.cuh"
#include "few_channels.h"
#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

template <class T>
struct FewGradientArguments {
  FewChannels s;
  Tiles tiles;
  const T *small, *big, *out;  // out: of the activation, of the size of the gradient; or null
  float leaky_slope;
  float* parts;  // [block][cs * 16 C + sums], the latter by small or by big channel
  int part;      // numbers of a part
  bool in_chunks;
};

constexpr int kPixelBytes = 16 * (kSlice / 8 + 1);  // of the small image: ldmatrix without bank conflicts
template <int C>
constexpr int kColumnBytes = 16 * (2 * C + 1);  // of a pixel's 16 C numbers, likewise
template <int C>
constexpr int kSumPitch = 16 * C + 4;

template <int C>
int few_gradient_bytes(const Tiles& t, bool small_derivative) {
  const int tiles = patch_bytes(t) + kPatchPixels * (kColumnBytes<C> + (small_derivative ? 3 : 2) * kPixelBytes);
  return max(tiles, 4 * kSlice * kSumPitch<C> * 4);
}

template <class T, int C, bool kGradIsBig>
__global__ void __launch_bounds__(kThreads, 2) few_gradient(const __grid_constant__ FewGradientArguments<T> p) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int pitch = patch_pitch(p.tiles), width = 1 << p.tiles.log_width;
  const int slice = blockIdx.y * kSlice, channels = min(kSlice, p.s.cs - slice);
  T* patch = reinterpret_cast<T*>(shared_memory());
  char* columns = shared_memory() + patch_bytes(p.tiles);
  char* pixels = columns + kPatchPixels * kColumnBytes<C>;
  char* forward = pixels + 2 * kPatchPixels * kPixelBytes;
  const T* leaky_out = kGradIsBig ? nullptr : p.out;

  PatchLoader<T, C, kGradIsBig> loader(p.s, p.tiles, p.big, kGradIsBig ? p.out : nullptr, p.in_chunks);
  constexpr int kSlots = kPatchPixels * (kSlice / 8) / kThreads;
  const auto copy = [&](int tile, char* to) {
    const TileOrigin o = origin_of(p.tiles, tile);
#pragma unroll
    for (int i = 0; i < kSlots; ++i) {
      const int pixel = threadIdx.x / (kSlice / 8) + i * (kThreads / (kSlice / 8)), chunk = threadIdx.x % (kSlice / 8);
      const int row = o.row + (pixel >> p.tiles.log_width), col = o.col + (pixel & (width - 1)),
                place = pixel * kPixelBytes + chunk * 16;
      const bool inside = row < p.s.h && col < p.s.w && chunk * 8 < channels;
      const int64_t at =
          inside ? static_cast<int64_t>((o.image * p.s.h + row) * p.s.w + col) * p.s.cs + slice + chunk * 8 : 0;
      copy_async(to + place, p.small + at, inside);
      if (leaky_out) copy_async(forward + place, leaky_out + at, inside);
    }
    commit_copies();
  };

  // Warps share the work by 32 channels and by a quarter of the pixels.
  const int m0 = warp % 2 * 32, quarter = warp / 2;
  float sum[2][2 * C][4] = {}, total[2][4] = {};
  copy(blockIdx.x, pixels);
  loader.load(blockIdx.x);
  int buffer = 0;
  for (int tile = blockIdx.x; tile < p.tiles.count; tile += gridDim.x, buffer ^= 1) {
    char* now = pixels + buffer * kPatchPixels * kPixelBytes;
    loader.store(patch);
    wait_for_copies<0>();
    if (leaky_out) {  // every thread multiplies what it copied itself
#pragma unroll
      for (int i = 0; i < kSlots; ++i) {
        const int place = (threadIdx.x / (kSlice / 8) + i * (kThreads / (kSlice / 8))) * kPixelBytes +
                          threadIdx.x % (kSlice / 8) * 16;
        Words v = *reinterpret_cast<const Words*>(now + place);
        const Words f = *reinterpret_cast<const Words*>(forward + place);
#pragma unroll
        for (int e = 0; e < 4; ++e) v.w[e] = leaky_relu_gradient<T>(v.w[e], f.w[e], p.leaky_slope);
        *reinterpret_cast<Words*>(now + place) = v;
      }
    }
    __syncthreads();  // the tile and its patch are there; the columns and the other tile are free
    if (tile + static_cast<int>(gridDim.x) < p.tiles.count) {
      copy(tile + gridDim.x, pixels + (buffer ^ 1) * kPatchPixels * kPixelBytes);
      loader.load(tile + gridDim.x);
    }
    const TileOrigin origin = origin_of(p.tiles, tile);
#pragma unroll
    for (int i = 0; i < 4 * kPatchPixels / kThreads; ++i) {
      const int id = threadIdx.x + i * kThreads, kh = id % 4, pixel = id / 4, row = pixel >> p.tiles.log_width,
                col = pixel & (width - 1);
      const bool inside = origin.row + row < p.s.h && origin.col + col < p.s.w;  // outside, infinity x 0 must not occur
      const Word* from = reinterpret_cast<const Word*>(patch + (2 * row + kh) * pitch + 2 * col * C + kPatchStart<C>);
      TwoWords* to = reinterpret_cast<TwoWords*>(columns + pixel * kColumnBytes<C> + kh * 8 * C);
#pragma unroll
      for (int e = 0; e < C; ++e) to[e] = inside ? TwoWords{from[2 * e], from[2 * e + 1]} : TwoWords{};
    }
    __syncthreads();

    if (m0 < channels) {
#pragma unroll
      for (int step = 0; step < kPatchPixels / 16 / 4; ++step) {
        const int k = (quarter * (kPatchPixels / 16 / 4) + step) * 16, matrix = lane >> 3, line = lane & 7;
        uint32_t a[2][4];
#pragma unroll
        for (int i = 0; i < 2; ++i)
          load_matrices_transposed(a[i], now + (k + (matrix >> 1) * 8 + line) * kPixelBytes +
                                             ((m0 + i * 16) / 8 + (matrix & 1)) * 16);
#pragma unroll
        for (int n = 0; n < C; ++n) {
          uint32_t pair[4];
          load_matrices_transposed(
              pair, columns + (k + (matrix & 1) * 8 + line) * kColumnBytes<C> + (2 * n + (matrix >> 1)) * 16);
          const uint32_t b[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            multiply_add<T>(sum[i][2 * n], a[i], b[0]);
            multiply_add<T>(sum[i][2 * n + 1], a[i], b[1]);
          }
        }
        if constexpr (!kGradIsBig) {
          const uint32_t one = pack_pair<T>(1, 1), ones[2] = {one, one};
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_add<T>(total[i], a[i], ones);
        }
      }
    }
  }

  float* sums = reinterpret_cast<float*>(shared_memory());  // [quarter][channel][16 C, total]
  constexpr int kQuarter = kSlice * kSumPitch<C>;
  __syncthreads();
  if (m0 < channels) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float* to = sums + quarter * kQuarter + (m0 + i / 2 * 16 + i % 2 * 8 + g) * kSumPitch<C>;
#pragma unroll
      for (int n = 0; n < 2 * C; ++n)
        *reinterpret_cast<float2*>(to + n * 8 + 2 * t) =
            make_float2(sum[i / 2][n][i % 2 * 2], sum[i / 2][n][i % 2 * 2 + 1]);
      if (t == 0) to[16 * C] = total[i / 2][i % 2 * 2];
    }
  }
  __syncthreads();
  const auto sum_of_quarters = [&](int at) {
    return ((sums[at] + sums[kQuarter + at]) + sums[2 * kQuarter + at]) + sums[3 * kQuarter + at];
  };
  float* part = p.parts + static_cast<int64_t>(blockIdx.x) * p.part;
  for (int i = threadIdx.x; i < channels * 16 * C; i += kThreads)
    part[slice * 16 * C + i] = sum_of_quarters(i / (16 * C) * kSumPitch<C> + i % (16 * C));
  if constexpr (!kGradIsBig) {
    for (int i = threadIdx.x; i < channels; i += kThreads)
      part[p.s.cs * 16 * C + slice + i] = sum_of_quarters(i * kSumPitch<C> + 16 * C);
  } else if (blockIdx.y == 0) {
    __syncthreads();
#pragma unroll
    for (int c = 0; c < C; ++c) sums[c * kThreads + threadIdx.x] = loader.sum_of(c);
    __syncthreads();
    float share = 0;
    if (threadIdx.x < 16 * C)
      for (int i = 0; i < kThreads / 16; ++i) share += sums[threadIdx.x * (kThreads / 16) + i];
    __syncthreads();
    if (threadIdx.x < 16 * C) sums[threadIdx.x] = share;
    __syncthreads();
    if (threadIdx.x < C) {
      float of_channel = 0;
      for (int i = 0; i < 16; ++i) of_channel += sums[threadIdx.x * 16 + i];
      part[p.s.cs * 16 * C + threadIdx.x] = of_channel;
    }
  }
}

struct AddParts {
  const float* parts;
  int count, part, weights, size;  // parts and their numbers; those of the weight, and those with the sums
  float *weight, *shift;
};

constexpr int kAddLanes = 16;

// Adds the parts, 16 numbers a block, by 16 threads each.
static __global__ void __launch_bounds__(kThreads) add_parts(const __grid_constant__ AddParts p) {
  float* shares = reinterpret_cast<float*>(shared_memory());
  const int which = threadIdx.x % kAddLanes, at = blockIdx.x * (kThreads / kAddLanes) + which;
  float sum = 0;
  if (at < p.size) {
#pragma unroll 8
    for (int part = threadIdx.x / kAddLanes; part < p.count; part += kAddLanes)
      sum += p.parts[static_cast<int64_t>(part) * p.part + at];
  }
  shares[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= kThreads / kAddLanes || at >= p.size) return;
  sum = 0;
  for (int i = 0; i < kAddLanes; ++i) sum += shares[i * (kThreads / kAddLanes) + which];
  if (at < p.weights)
    p.weight[at] = sum;
  else if (p.shift)
    p.shift[at - p.weights] = sum;
}

}  // namespace ganzoo::cuda
