// Weight gradient of convolutions whose big image has few channels: small channels in the vector lanes, some of the 16
// cb elements of the patches in registers, several rows of pixels at a time.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "common-inl.h"
#include "few_channels.h"

namespace ganzoo {
namespace ISA {
namespace {

// `rows` rows of small pixels, `pitch` floats from pixel to pixel and `line` from row to row, and the lines of big
// pixels that their taps reach.
struct GradientRows {
  int64_t rows, pixels;
  const float* small;
  int64_t pitch, line;
  const float* big[kMaxLines];
};

// sums[t][c] += sum over the pixels of patch[2 CB j + t] * small[j][c], for T elements of the patch and V vectors of c.
template <int CB, int T, int V>
inline void outer_rows(const GradientRows& r, int64_t channel, int kernel, int patch, float* sums, int64_t stride) {
  Vec acc[T][V];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < V; ++v) acc[t][v] = load(sums + t * stride + v * kLanes);
  for (int64_t i = 0; i < r.rows; ++i) {
    const float *small = r.small + i * r.line + channel, *big = r.big[2 * i + kernel] + patch;
    for (int64_t j = 0; j < r.pixels; ++j, small += r.pitch, big += 2 * CB) {
      Vec s[V];
      for (int v = 0; v < V; ++v) s[v] = load(small + v * kLanes);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t) {
        const Vec value = broadcast(big[t]);
        for (int v = 0; v < V; ++v) acc[t][v] += value * s[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < V; ++v) store(sums + t * stride + v * kLanes, acc[t][v]);
}

template <int CB>
inline void add_outer_products(const GradientRows& r, int64_t channels, float* sums) {
  constexpr int kElements = CB == 3 ? 6 : 4;  // of a patch, in one register tile
  for (int k = 0; k < 4; ++k)
    for (int t = 0; t < 4 * CB; t += kElements) {
      float* to = sums + (k * 4 * CB + t) * channels;
      int64_t c = 0;
      for (; c + kPatchVectors * kLanes <= channels; c += kPatchVectors * kLanes)
        outer_rows<CB, kElements, kPatchVectors>(r, c, k, t, to + c, channels);
      for (; c < channels; c += 2 * kLanes) outer_rows<CB, kElements, 2>(r, c, k, t, to + c, channels);
    }
}

// Points r at the rows of small pixels from number `from` on: in place if they need no change, otherwise copied into
// `to`, as floats in whole vectors, multiplied by the activation's derivative.
inline void read_small(const FewChannels& f, int64_t from, GradientRows& r, float* to) {
  const Element* small = static_cast<const Element*>(f.small) + from;
  const Element* outputs = f.forward_out && !f.grad_is_big ? forward_out(f) + from : nullptr;
  const bool whole = f.cs == f.stride;
  r.small = reinterpret_cast<const float*>(small);
  if (!kBfloat16 && whole && !outputs) return;
  const int64_t pieces = whole ? 1 : r.rows * f.w, count = whole ? r.rows * f.w * f.cs : f.cs;
  for (int64_t i = 0; i < pieces; ++i)
    copy_gradient(small + i * f.cs, outputs ? outputs + i * f.cs : nullptr, count, f.act, to + i * f.stride);
  r.small = to;
}

// The gradient of an item's images: [16 CB][stride] of the weight, then that of the shift.
template <int CB>
inline void gradient_item(const FewChannels& f, int64_t item, float* scratch) {
  const int64_t places = 2 * f.rows + 2;
  float *sums = static_cast<float*>(f.out) + item * gradient_size(CB, f.stride), *shift = sums + 16 * CB * f.stride;
  float* copy = scratch + places * line_size(f.w, CB);
  __builtin_memset(sums, 0, gradient_size(CB, f.stride) * sizeof(float));
  __builtin_memset(copy, 0, f.rows * f.w * f.stride * sizeof(float));  // lanes past the last channel stay zero
  for (int64_t image = item * f.n / f.items; image < (item + 1) * f.n / f.items; ++image) {
    const Lines<CB> lines = {f, f.grad_is_big ? forward_out(f) : nullptr, image, places, scratch};
    for (int64_t first = 0; first < f.h; first += f.rows) {
      GradientRows r = {min(f.rows, f.h - first), f.w, nullptr, f.stride, f.w * f.stride, {}};
      for (int64_t row = first == 0 ? -1 : 2 * first + 1; row <= 2 * (first + r.rows); ++row) {
        lines.read(row);
        if (f.grad_is_big)  // each row is read once, and padding is zero
          for (int64_t at = 0; at < line_size(f.w, CB); at += CB * kLanes)
            for (int v = 0; v < CB * kLanes; v += kLanes)
              store(shift + v, load(shift + v) + load(lines.at(row) + at + v));
      }
      for (int64_t k = 0; k < 2 * r.rows + 2; ++k) r.big[k] = lines.at(2 * first - 1 + k);
      read_small(f, (image * f.h + first) * f.w * f.cs, r, copy);
      if (!f.grad_is_big)
        for (int64_t c = 0; c < f.stride; c += kLanes) {
          Vec sum = load(shift + c);
          for (int64_t j = 0; j < r.rows * f.w; ++j) sum += load(r.small + j * f.stride + c);
          store(shift + c, sum);
        }
      add_outer_products<CB>(r, f.stride, sums);
    }
  }
}

void few_channels_weight_gradient(const FewChannels& f, int64_t begin, int64_t end, float* scratch) {
  static constexpr ItemKernel* kItems[kMaxFewChannels] = {gradient_item<1>, gradient_item<2>, gradient_item<3>,
                                                          gradient_item<4>};
  for_items(kItems, f, begin, end, scratch);
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
