// Direct weight gradient: gathers the pixel pairs that a tap connects and multiplies them as matrices.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "convolution.h"

namespace ganzoo {
namespace ISA {
namespace {

// Copies `count` floats in pieces of `width`, kPitch pieces apart; the last piece is padded with zeros.
inline void gather(const float* from, int64_t count, int64_t width, float* to) {
  for (; count >= width; count -= width, from += width, to += kPitch * width)
    for (int64_t i = 0; i < width; i += kGradTile) __builtin_memcpy(to + i, from + i, kGradTile * sizeof(float));
  if (count)
    for (int64_t i = 0; i < width; ++i) to[i] = i < count ? from[i] : 0;
}

// The register tile of gathered small channels that starts with channel r.
inline const float* rows_at(const float* a, int64_t r) {
  return a + r / kGradPack * kPitch * kGradPack + r % kGradPack;
}

// c[r] (+)= sum over k of a[k][r] * b[k], for kGradTile rows and all kBlock channels of b's panel.
inline void outer_products(const float* a, const float* b, int64_t pairs, bool add, float* c, int64_t stride,
                           int64_t rows, int64_t channels) {
  for (int sub = 0; sub < kBlock && sub < channels; sub += kTileColumns) {
    constexpr int kRows = kGradTile * kRegisters / 32;  // 16 registers hold 4 x 2 vectors, 32 hold 8 x 2
#pragma GCC unroll 2
    for (int half = 0; half < kGradTile; half += kRows) {
      Vec acc[kRows][2] = {};
      for (int64_t k = 0; k < pairs; ++k) {
        const Vec b0 = load(b + k * kBlock + sub), b1 = load(b + k * kBlock + sub + kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Vec value = broadcast(a[k * kGradPack + half + r]);
          acc[r][0] += value * b0, acc[r][1] += value * b1;
        }
      }
      alignas(64) float sums[kRows * kTileColumns];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
        store(sums + r * kTileColumns, acc[r][0]), store(sums + r * kTileColumns + kLanes, acc[r][1]);
      for (int64_t r = 0; r < min(kRows, rows - half); ++r) {
        float* out = c + (half + r) * stride + sub;
        const float* sum = sums + r * kTileColumns;
        if (channels - sub >= kTileColumns)
          for (int v = 0; v < kTileColumns; v += kLanes) store(out + v, load(sum + v) + (add ? load(out + v) : Vec{}));
        else
          for (int64_t i = 0; i < channels - sub; ++i) out[i] = sum[i] + (add ? out[i] : 0);
      }
    }
  }
}

// Adds the gradient of `images` images, from `image` on, to an item's share of the output, or sets it for image 0.
inline void weight_gradient_item(const WeightGradient& g, int64_t item, int64_t image, int64_t images, float* scratch) {
  const int64_t row_chunks = (g.cs + kGradRows - 1) / kGradRows, blocks = (g.cb + kBlock - 1) / kBlock;
  const int64_t tap = item / row_chunks, from = item % row_chunks * kGradRows;
  const int64_t rows = min(kGradRows, g.cs - from), dh = tap / 4 - 1, dw = tap % 4 - 1;
  float *a = scratch, *b = scratch + kPitch * kGradRows;  // a: [rows / 16][kPitch][16], b: [blocks][kPitch][32]
  int64_t pairs = 0;
  bool add = image > 0;
  const auto multiply = [&] {
    for (int64_t k = 0; k < blocks; ++k)
      for (int64_t r = 0; r < rows; r += kGradTile)
        outer_products(rows_at(a, r), b + k * kPitch * kBlock, pairs, add,
                       g.out + ((from + r) * kTaps + tap) * g.cb + k * kBlock, kTaps * g.cb, rows - r,
                       g.cb - k * kBlock);
    pairs = 0;
    add = true;
  };
  for (int64_t line = image * g.h; line < (image + images) * g.h; ++line) {
    const int64_t row = 2 * (line % g.h) + dh;
    if (row < 0 || row >= g.H) continue;
    const float* small = g.small + line * g.w * g.cs + from;
    const float* big = g.big + (line / g.h * g.H + row) * g.W * g.cb;
    for (int64_t j = dw < 0 ? 1 : 0; j < g.w && 2 * j + dw < g.W; ++j) {
      gather(small + j * g.cs, rows, kGradPack, a + pairs * kGradPack);
      gather(big + (2 * j + dw) * g.cb, g.cb, kBlock, b + pairs * kBlock);
      if (++pairs == kPairs) multiply();
    }
  }
  if (pairs || !add) multiply();
}

void weight_gradient(const WeightGradient& g, int64_t begin, int64_t end, float* scratch) {
  const int64_t step = 1 + (kGradPixels - 1) / (g.h * g.w);
  int64_t image = 0;
  do {  // at least once, so that an empty batch writes zeros
    for (int64_t item = begin; item < end; ++item)
      weight_gradient_item(g, item, image, min(step, g.n - image), scratch);
    image += step;
  } while (image < g.n);
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
