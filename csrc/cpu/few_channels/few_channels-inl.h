// Convolutions whose big image has few channels.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "common-inl.h"
#include "few_channels.h"

namespace ganzoo {
namespace ISA {
namespace {

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));  // two pixels of the big image
typedef int EightBits __attribute__((vector_size(32)));

constexpr int kPatchPixels = kLanes == 4 ? 4 : 6;  // small pixels of a register tile of the strided convolution

// tanh(x) = e / (e + 2) with e = exp(2x) - 1 = 2^n (exp(r) - 1) + 2^n - 1 and |r| <= log(2) / 2, where seven terms of
// the series have a relative error of 2e-8. That also holds for e near 0, where n = 0.
inline Vec tanh(Vec x) {
  const IntVec sign = IntVec(x) & int(0x80000000);
  Vec size = Vec(IntVec(x) & 0x7fffffff);
  size = size > 10 ? broadcast(10) : size;  // tanh(10) rounds to 1; NaN stays NaN
  const Vec twice = size + size, shifted = twice * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
  const Vec r = twice - n * 0.693359375f + n * 2.12194440e-4f;
  Vec series = broadcast(1.0f / 5040);
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r * r + r;
  const Vec power = Vec((IntVec(shifted) - 0x4b400000 + 127) << 23);
  const Vec e = series * power + (power - 1);
  return Vec(IntVec(e / (e + 2)) | sign);
}

// ---- transposed: small -> big ---------------------------------------------------------------------------------------

template <int CB>
struct PixelTile {  // a register tile: P small pixels, V vectors of their 16 CB products
  static constexpr int V = kRegisters == 32 ? CB : CB == 3 ? 3 : 2;
  static constexpr int P = kRegisters == 32 ? (CB == 4 ? kPatchPixels : 8) : CB == 3 ? 4 : kTileRows;
};

template <int P, int V>
inline void pixel_products(const float* const* x, const float* weight, int64_t columns, int64_t cs, float* out) {
  Vec acc[P][V] = {};
  for (int64_t c = 0; c < cs; ++c, weight += columns) {
    Vec w[V];
    for (int v = 0; v < V; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const Vec value = broadcast(x[p][c]);
      for (int v = 0; v < V; ++v) acc[p][v] += value * w[v];
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p)
    for (int v = 0; v < V; ++v) store(out + p * columns + v * kLanes, acc[p][v]);
}

// Sums one row of the big image, [W][CB], in pairs of pixels. A pair is the middle of the products of the small pixels
// above and below it, `a` and `b`, plus the outer columns of those pixels' left and right neighbours.
template <int CB>
inline void join_row(const float* a, const float* b, int64_t pairs, const float* shift, float* row) {
  Eight bias = {};
  EightBits is_left = {};
  for (int i = 0; i < 2 * CB; ++i) bias[i] = shift ? shift[i % CB] : 0, is_left[i] = i < CB ? -1 : 0;
  const auto sum = [&](int64_t at) {
    return *reinterpret_cast<const Eight*>(a + at) + *reinterpret_cast<const Eight*>(b + at);
  };
  for (int64_t j = 0; j < pairs; ++j, a += 16 * CB, b += 16 * CB) {
    const Eight sides = is_left ? sum(-14 * CB) : sum(18 * CB);
    *reinterpret_cast<Eight*>(row + j * 2 * CB) = sum(0) + sides + bias;  // the next pair overwrites the excess
  }
}

inline void activate_row(const float* row, int64_t count, const Activation& act, Element* out) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Vec v = load(row + i);
    v = act.tanh ? tanh(v) : leaky_relu(v, act.slope);
    if (i + kLanes <= count)
      store(out + i, v);
    else
      store_first(out + i, &v, count - i);
  }
}

// The products of a small pixel are stored as [kernel row][kernel column 1, 2, 3, 0][CB]: the first two columns belong
// to the pair of big pixels at the same position, column 3 to the pair on the right, column 0 to the pair on the left.
template <int CB>
inline void transposed_item(const FewChannels& f, int64_t item, float* scratch) {
  constexpr int kColumns = 16 * CB, P = PixelTile<CB>::P, V = PixelTile<CB>::V;
  const int64_t image = item / f.chunks, first = item % f.chunks * f.rows, last = min(first + f.rows, f.h);
  const int64_t end = last == f.h ? f.H : 2 * last, pitch = (f.w + kMaxTilePixels + 2) * kColumns;
  float *line = scratch + 2 * pitch, *row = line + f.w * f.cs;
  for (int64_t i = first - 1; i <= last; ++i) {
    float *current = scratch + (i & 1) * pitch + kColumns, *previous = scratch + (~i & 1) * pitch + kColumns;
    if (i < 0 || i >= f.h) {
      __builtin_memset(current - kColumns, 0, (f.w + 2) * kColumns * sizeof(float));
    } else {
      const int64_t from = (image * f.h + i) * f.w * f.cs;
      const Element *small = static_cast<const Element*>(f.small) + from, *outputs = forward_out(f);
      if (kBfloat16 || outputs) copy_gradient(small, outputs ? outputs + from : nullptr, f.w * f.cs, f.act, line);
      const float* x = kBfloat16 || outputs ? line : reinterpret_cast<const float*>(small);
      for (int64_t j = 0; j < f.w; j += P) {
        const float* pixels[P];
        for (int p = 0; p < P; ++p) pixels[p] = x + min(j + p, f.w - 1) * f.cs;
        for (int v = 0; v < kColumns; v += V * kLanes)
          pixel_products<P, V>(pixels, f.weight + v, kColumns, f.cs, current + j * kColumns + v);
      }
      __builtin_memset(current - kColumns, 0, kColumns * sizeof(float));
      __builtin_memset(current + f.w * kColumns, 0, kColumns * sizeof(float));
    }
    for (int64_t r = 2 * i - 1; r <= 2 * i; ++r) {
      if (r < 2 * first || r >= end) continue;
      const int64_t kernel = r & 1 ? 0 : 1;
      join_row<CB>(current + kernel * 4 * CB, previous + (kernel + 2) * 4 * CB, (f.W + 1) / 2, f.shift, row);
      activate_row(row, f.W * CB, f.forward_out ? Activation{false, 1} : f.act,
                   static_cast<Element*>(f.out) + (image * f.H + r) * f.W * CB);
    }
  }
}

// ---- strided: big -> small ------------------------------------------------------------------------------------------

template <int CB, int P, int V>
inline void patch_products(const float* const* rows, int64_t at, const float* weight, int64_t stride, Vec (*acc)[V]) {
  Vec sums[P][V] = {};
  for (int k = 0; k < 4; ++k) {
    const float* patch = rows[k] + at;
    for (int t = 0; t < 4 * CB; ++t, weight += stride) {
      Vec w[V];
      for (int v = 0; v < V; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const Vec value = broadcast(patch[2 * CB * p + t]);
        for (int v = 0; v < V; ++v) sums[p][v] += value * w[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p)
    for (int v = 0; v < V; ++v) acc[p][v] = sums[p][v];
}

// One row of small pixels and V vectors of their channels.
template <int CB, int V>
inline void convolve_row(const FewChannels& f, const float* const* rows, int64_t channel, Element* out) {
  const int64_t channels = min(V * kLanes, f.cs - channel);
  Vec shift[V] = {}, acc[kPatchPixels][V];
  if (f.shift) __builtin_memcpy(shift, f.shift + channel, channels * sizeof(float));
  const float slope = f.forward_out ? 1 : f.act.slope;
  for (int64_t j = 0; j < f.w; j += kPatchPixels) {
    const int64_t pixels = min(kPatchPixels, f.w - j);
    const auto products = pixels > 4 ? patch_products<CB, kPatchPixels, V>
                          : pixels > 2 ? patch_products<CB, 4, V> : patch_products<CB, 2, V>;
    products(rows, 2 * CB * j, f.weight + channel, f.stride, acc);
    for (int64_t p = 0; p < pixels; ++p) {
      for (int v = 0; v < V; ++v) {
        const Vec sum = acc[p][v] + shift[v];
        acc[p][v] = leaky_relu(sum, slope);
      }
      Element* to = out + (j + p) * f.cs + channel;
      if (channels == V * kLanes)
        for (int v = 0; v < V; ++v) store(to + v * kLanes, acc[p][v]);
      else
        store_first(to, acc[p], channels);
    }
  }
}

template <int CB>
inline void strided_item(const FewChannels& f, int64_t item, float* scratch) {
  const int64_t image = item / f.chunks, first = item % f.chunks * f.rows, last = min(first + f.rows, f.h);
  const Lines<CB> lines = {f, forward_out(f), image, 4, scratch};
  for (int64_t i = first; i < last; ++i) {
    for (int64_t r = i == first ? 2 * i - 1 : 2 * i + 1; r <= 2 * i + 2; ++r) lines.read(r);
    const float* rows[4];
    for (int k = 0; k < 4; ++k) rows[k] = lines.at(2 * i - 1 + k);
    Element* out = static_cast<Element*>(f.out) + (image * f.h + i) * f.w * f.cs;
    for (int64_t channel = 0; channel < f.cs;) {
      const int64_t left = f.cs - channel;
      if (kPatchVectors == 4 && left > 3 * kLanes)
        convolve_row<CB, kPatchVectors>(f, rows, channel, out), channel += kPatchVectors * kLanes;
      else if (kPatchVectors == 4 && left > 2 * kLanes)
        convolve_row<CB, kPatchVectors - 1>(f, rows, channel, out), channel += (kPatchVectors - 1) * kLanes;
      else if (left > kLanes)
        convolve_row<CB, 2>(f, rows, channel, out), channel += 2 * kLanes;
      else
        convolve_row<CB, 1>(f, rows, channel, out), channel += kLanes;
    }
  }
}

void few_channels_transposed(const FewChannels& f, int64_t begin, int64_t end, float* scratch) {
  static constexpr ItemKernel* kItems[kMaxFewChannels] = {transposed_item<1>, transposed_item<2>, transposed_item<3>,
                                                          transposed_item<4>};
  for_items(kItems, f, begin, end, scratch);
}

void few_channels_strided(const FewChannels& f, int64_t begin, int64_t end, float* scratch) {
  static constexpr ItemKernel* kItems[kMaxFewChannels] = {strided_item<1>, strided_item<2>, strided_item<3>,
                                                          strided_item<4>};
  for_items(kItems, f, begin, end, scratch);
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
