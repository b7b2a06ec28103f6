// 1x1 convolutions: a register tile is kTileRows pixels (or output channels, of the weight gradient) by 2 vectors.
#pragma once
#include <cstdint>

#include "../stride1/few_channels-inl.h"
#include "../isa/vector-inl.h"
#include "conv1x1.h"

namespace ganzoo {
namespace ISA {
namespace {

// Rows of `channels` floats, `stride` apart, to rows of `pitch`, zeros after the last channel, with `signs` applied to each
// value. A leaky ReLU is not its derivative times its input where that is NaN: with a slope of 0 the product would hide it.
inline void copy_masked(const float* from, const Signs& signs, int64_t first, int64_t rows, int64_t stride,
                        int64_t channels, int64_t pitch, float* to) {
  from += first * stride;
  const float* at = signs.values ? signs.values + first * stride : nullptr;
  for (int64_t r = 0; r < rows; ++r, from += stride, to += pitch) {
    for_channels(channels, [&](auto type, int64_t c) {
      const auto value = get(type, from + c);
      if (at)
        put(to + c, leaky_relu_gradient(value, get(type, at + c), signs.slope));
      else
        put(to + c, signs.slope == 1 ? value : leaky_relu(value, signs.slope));
    });
    for (int64_t c = channels; c < pitch; ++c) to[c] = 0;
    at = at ? at + stride : nullptr;
  }
}

template <bool WHOLE>
inline void store_pixel(const Conv1x1& f, Vec value, int64_t at, int64_t channel) {
  const int64_t count = f.cout - channel;
  if (f.shift) value += load_channels<WHOLE>(f.shift + channel, count);
  if (f.residual) value += load_channels<WHOLE>(f.residual + at, count);
  if (f.slope != 1) value = leaky_relu(value, f.slope);
  if (f.out_signs.values)
    value = leaky_relu_gradient(value, load_channels<WHOLE>(f.out_signs.values + at, count), f.out_signs.slope);
  store_channels<WHOLE>(f.out + at, value, count);
}

// The results of `rows` pixels from the first on, whose inputs are in `x`, `pitch` apart, with their signs applied.
inline void conv1x1_rows(const Conv1x1& f, const float* x, int64_t pitch, int64_t first, int64_t rows) {
  for (int64_t column = 0; column < f.cout; column += kTileColumns) {
    const float* panel = f.panels + column / kBlock * f.cin * kBlock + column % kBlock;
    for (int64_t row = 0; row < rows; row += kTileRows) {
      const float* pixels[kTileRows];
      for (int64_t p = 0; p < kTileRows; ++p) pixels[p] = x + min(row + p, rows - 1) * pitch;
      Vec acc[kTileRows][2] = {};
      accumulate(pixels, 1, panel, kBlock, f.cin, acc);
      for (int64_t p = 0; p < min(kTileRows, rows - row); ++p)
        for (int v = 0; v < 2 && column + v * kLanes < f.cout; ++v) {
          const int64_t channel = column + v * kLanes, at = (first + row + p) * f.cout + channel;
          if (channel + kLanes <= f.cout)
            store_pixel<true>(f, acc[p][v], at, channel);
          else
            store_pixel<false>(f, acc[p][v], at, channel);
        }
    }
  }
}

void conv1x1(const Conv1x1& f, int64_t begin, int64_t end, float* scratch) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t first = item * kPixels1x1, rows = min(kPixels1x1, f.pixels - first);
    const float* x = f.x + first * f.cin;
    if (f.in_signs.slope != 1) copy_masked(f.x, f.in_signs, first, rows, f.cin, f.cin, f.cin, scratch), x = scratch;
    conv1x1_rows(f, x, f.cin, first, rows);
  }
}

// The sums of a part's pixels: of the products of some channels of `grad`, the rows, and x. Both are copied, as the many
// pixels that a tile reads are far apart in wide images.
void conv1x1_gradient(const Gradient1x1& f, int64_t begin, int64_t end, float* scratch) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t part = item / f.divisions, division = item % f.divisions, blocks = f.rows / kBlock;
    const int64_t channel = blocks * division / f.divisions * kBlock;
    const int64_t rows = blocks * (division + 1) / f.divisions * kBlock - channel;
    float* sums = f.sums + (part * f.rows + channel) * f.columns;
    __builtin_memset(sums, 0, rows * f.columns * sizeof(float));
    const Signs grad_signs = {f.grad_signs.values ? f.grad_signs.values + channel : nullptr, f.grad_signs.slope};
    const int64_t last = f.pixels * (part + 1) / f.parts;
    for (int64_t first = f.pixels * part / f.parts; first < last; first += kGradPixels1x1) {
      const int64_t pixels = min(kGradPixels1x1, last - first);
      float *x = scratch, *grad = scratch + kGradPixels1x1 * f.columns;
      copy_masked(f.x, f.x_signs, first, pixels, f.cin, f.cin, f.columns, x);
      copy_masked(f.grad + channel, grad_signs, first, pixels, f.cout, min(rows, f.cout - channel), rows, grad);
      for (int64_t row = 0; row < min(rows, f.cout - channel); row += kTileRows)
        for (int64_t column = 0; column < f.cin; column += kTileColumns) {
          const float* of_row[kTileRows];
          float* to[kTileRows];
          Vec acc[kTileRows][2];
          for (int64_t r = 0; r < kTileRows; ++r) {
            const int64_t at = min(row + r, rows - 1);
            of_row[r] = grad + at, to[r] = sums + at * f.columns + column;
            acc[r][0] = load(to[r]), acc[r][1] = load(to[r] + kLanes);
          }
          accumulate(of_row, rows, x + column, f.columns, pixels, acc);
          for (int64_t r = 0; r < kTileRows; ++r) store(to[r], acc[r][0]), store(to[r] + kLanes, acc[r][1]);
        }
      if (f.input) conv1x1_rows(*f.input, grad, rows, first, pixels);
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
