// 3x3 convolutions with 1 to kMaxFewChannels channels on one side, as the plain sum: Winograd's scheme would compute with
// kSlice channels. All passes share one register tile, kTileRows rows by 2 vectors.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "stride1-inl.h"
#include "stride1.h"

namespace ganzoo {
namespace ISA {
namespace {

typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));

// acc[r] += sum over i < k of a[r][i * step] * b[i * pitch].
inline void accumulate(const float* const* a, int64_t step, const float* b, int64_t pitch, int64_t k,
                       Vec (*acc)[2]) {
  Vec sums[kTileRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) sums[r][0] = acc[r][0], sums[r][1] = acc[r][1];
  for (int64_t i = 0, at = 0; i < k; ++i, at += step, b += pitch) {
    const Vec b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kTileRows; ++r) {
      const Vec value = broadcast(a[r][at]);
      sums[r][0] += value * b0, sums[r][1] += value * b1;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) acc[r][0] = sums[r][0], acc[r][1] = sums[r][1];
}

// The last three rows of an image with few channels that were read, with a pixel of zeros on the left and as many on the
// right as a tile reads.
struct FewLines {
  int64_t h, w, channels, pitch;
  float* memory;

  float* at(int64_t row) const { return memory + (row + 1) % 3 * few_line(w, channels); }
  void read(const float* image, int64_t row) const {
    float* to = at(row);
    __builtin_memset(to, 0, few_line(w, channels) * sizeof(float));
    if (row < 0 || row >= h) return;
    const float* from = image + row * w * pitch;
    if (pitch == channels) {
      __builtin_memcpy(to + channels, from, w * channels * sizeof(float));
      return;
    }
    for (int64_t j = 0; j < w; ++j)
      for (int64_t c = 0; c < channels; ++c) to[(j + 1) * channels + c] = from[j * pitch + c];
  }
  // The rows that the row `i` of the other side is connected to; `first` is the first such row of the image's part.
  void advance(const float* image, int64_t i, bool first) const {
    for (int64_t row = first ? i - 1 : i + 1; row <= i + 1; ++row) read(image, row);
  }
};

template <bool WHOLE>
inline void store_output(const FewConv3x3& f, Vec value, int64_t at, int64_t channel) {
  const int64_t count = f.cout - channel;
  if (f.scale) value *= load_channels<WHOLE>(f.scale + channel, count);
  if (f.shift) value += load_channels<WHOLE>(f.shift + channel, count);
  if (f.residual) value += load_channels<WHOLE>(f.residual + at + channel, count);
  if (f.slope != 1) value = leaky_relu(value, f.slope);
  store_channels<WHOLE>(f.out + at + channel, value, count);
}

// Few channels to many: a row of the matrix is the 3 x 3 patch of a pixel, three stretches of three pixels.
void conv3x3_expand(const FewConv3x3& f, int64_t begin, int64_t end, float* scratch) {
  const FewLines lines = {f.h, f.w, f.cin, f.in_pitch, scratch};
  const int64_t stretch = 3 * f.cin;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / f.chunks, first = item % f.chunks * f.rows, last = min(first + f.rows, f.h);
    for (int64_t i = first; i < last; ++i) {
      lines.advance(f.x + image * f.h * f.w * f.in_pitch, i, i == first);
      for (int64_t j = 0; j < f.w; j += kTileRows)
        for (int64_t column = 0; column < f.cout; column += kTileColumns) {
          Vec acc[kTileRows][2] = {};
          for (int k = 0; k < 3; ++k) {
            const float* patches[kTileRows];
            for (int p = 0; p < kTileRows; ++p) patches[p] = lines.at(i - 1 + k) + (j + p) * f.cin;
            accumulate(patches, 1, f.panels + k * stretch * f.columns + column, f.columns, stretch, acc);
          }
          for (int64_t p = 0; p < min(kTileRows, f.w - j); ++p)
            for (int v = 0; v < 2 && column + v * kLanes < f.cout; ++v) {
              const int64_t at = ((image * f.h + i) * f.w + j + p) * f.out_pitch, channel = column + v * kLanes;
              if (channel + kLanes <= f.cout)
                store_output<true>(f, acc[p][v], at, channel);
              else
                store_output<false>(f, acc[p][v], at, channel);
            }
        }
    }
  }
}

// The products of one row of pixels with all taps, [pixel][tap][cout], a pixel of zeros on both sides.
inline void multiply_row(const FewConv3x3& f, const float* x, float* to) {
  __builtin_memset(to, 0, f.columns * sizeof(float));
  if (x)
    for (int64_t j = 0; j < f.w; j += kTileRows)
      for (int64_t column = 0; column < f.columns; column += kTileColumns) {
        const float* pixels[kTileRows];
        for (int64_t p = 0; p < kTileRows; ++p) pixels[p] = x + min(j + p, f.w - 1) * f.in_pitch;
        Vec acc[kTileRows][2] = {};
        accumulate(pixels, 1, f.panels + column, f.columns, f.cin, acc);
        for (int p = 0; p < kTileRows; ++p)
          for (int v = 0; v < 2; ++v) store(to + (j + p + 1) * f.columns + column + v * kLanes, acc[p][v]);
      }
  else
    __builtin_memset(to + f.columns, 0, f.w * f.columns * sizeof(float));
  __builtin_memset(to + (f.w + 1) * f.columns, 0, f.columns * sizeof(float));
}

// Many channels to few: each output sums the products that belong to it, of nine pixels.
void conv3x3_reduce(const FewConv3x3& f, int64_t begin, int64_t end, float* scratch) {
  const int64_t line = (f.w + kMaxTileRows + 2) * f.columns;
  const auto products = [&](int64_t row) { return scratch + (row + 1) % 3 * line; };
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / f.chunks, first = item % f.chunks * f.rows, last = min(first + f.rows, f.h);
    for (int64_t i = first - 1; i <= last; ++i) {
      const bool inside = i >= 0 && i < f.h;
      multiply_row(f, inside ? f.x + (image * f.h + i) * f.w * f.in_pitch : nullptr, products(i));
      if (i <= first) continue;
      for (int64_t j = 0; j < f.w; ++j) {
        Quad sum = {};
        for (int k = 0; k < 3; ++k)
          for (int l = 0; l < 3; ++l)
            sum += *reinterpret_cast<const Quad*>(products(i - 2 + k) + (j + l) * f.columns + (3 * k + l) * f.cout);
        const int64_t at = ((image * f.h + i - 1) * f.w + j) * f.out_pitch;
        for (int64_t c = 0; c < f.cout; ++c) {
          float value = f.scale ? sum[c] * f.scale[c] : sum[c];
          value += (f.shift ? f.shift[c] : 0) + (f.residual ? f.residual[at + c] : 0);
          f.out[at + c] = leaky_relu(value, f.slope);
        }
      }
    }
  }
}

// sums [9 few channels, in whole tiles][columns] of an item's images: of the products of the few channels' patches with
// the many channels' pixels.
void conv3x3_few_gradient(const FewConv3x3& f, int64_t begin, int64_t end, float* scratch) {
  const int64_t few = f.cin, many = f.cout, elements = kTaps3 * few;
  const FewLines lines = {f.h, f.w, few, f.in_pitch, scratch};
  float* copy = scratch + 3 * few_line(f.w, few);
  const bool whole = many == f.columns;
  if (!whole) __builtin_memset(copy, 0, f.w * f.columns * sizeof(float));
  for (int64_t item = begin; item < end; ++item) {
    float* sums = f.sums + item * few_gradient(few, f.columns);
    __builtin_memset(sums, 0, few_gradient(few, f.columns) * sizeof(float));
    for (int64_t row = item * f.n / f.items * f.h; row < (item + 1) * f.n / f.items * f.h; ++row) {
      const int64_t image = row / f.h, i = row % f.h;
      lines.advance(f.x + image * f.h * f.w * f.in_pitch, i, i == 0);
      const float* pixels = f.grad + row * f.w * f.out_pitch;
      if (!whole) {
        for (int64_t j = 0; j < f.w; ++j)
          __builtin_memcpy(copy + j * f.columns, pixels + j * f.out_pitch, many * sizeof(float));
        pixels = copy;
      }
      for (int64_t from = 0; from < elements; from += kTileRows) {
        const float* patch[kTileRows];
        for (int r = 0; r < kTileRows; ++r) {
          const int64_t element = min(from + r, elements - 1);  // those past the end are not used
          patch[r] = lines.at(i - 1 + element / (3 * few)) + element % (3 * few);
        }
        for (int64_t column = 0; column < many; column += kTileColumns) {
          float* to = sums + from * f.columns + column;
          Vec acc[kTileRows][2];
          for (int r = 0; r < kTileRows; ++r)
            for (int v = 0; v < 2; ++v) acc[r][v] = load(to + r * f.columns + v * kLanes);
          accumulate(patch, few, pixels + column, whole ? f.out_pitch : f.columns, f.w, acc);
          for (int r = 0; r < kTileRows; ++r)
            for (int v = 0; v < 2; ++v) store(to + r * f.columns + v * kLanes, acc[r][v]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
