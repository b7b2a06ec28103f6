// The passes of the 3x3 convolution: transforms of images and weights, and the products between them.
#pragma once
#include <cstdint>

#include "../gemm/gemm-inl.h"
#include "../gemm/transpose-inl.h"
#include "../isa/vector-inl.h"
#include "../winograd/products-inl.h"
#include "conv3x3.h"

namespace ganzoo {
namespace ISA {
namespace {

constexpr float kA = 0.625f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;  // all exact
constexpr float kDivisorA = 2 * kA2 * (kA2 - kB2), kDivisorB = 2 * kB2 * (kB2 - kA2);

// B x: six inputs to six points.
struct InputTile {
  static constexpr int kPixels = 6, kBefore = 1;
  static void transform(const Vec* x, Vec* p) {
    const Vec even_a = x[4] - kB2 * x[2], odd_a = kA * (x[3] - kB2 * x[1]);
    const Vec even_b = x[4] - kA2 * x[2], odd_b = kB * (x[3] - kA2 * x[1]);
    p[0] = kA2 * kB2 * x[0] + even_a - kA2 * x[2];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = kA2 * kB2 * x[1] + (x[5] - (kA2 + kB2) * x[3]);
  }
};

// A y: four gradients of outputs to six points.
struct GradientTile {
  static constexpr int kPixels = 4, kBefore = 0;
  static void transform(const Vec* y, Vec* p) {
    const Vec even_a = y[0] + kA2 * y[2], odd_a = kA * (y[1] + kA2 * y[3]);
    const Vec even_b = y[0] + kB2 * y[2], odd_b = kB * (y[1] + kB2 * y[3]);
    p[0] = y[0];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = y[3];
  }
};

// A' p: six products to four outputs.
inline void to_outputs(const Vec* p, Vec* y) {
  const Vec sum_a = p[1] + p[2], difference_a = kA * (p[1] - p[2]);
  const Vec sum_b = p[3] + p[4], difference_b = kB * (p[3] - p[4]);
  y[0] = p[0] + sum_a + sum_b;
  y[1] = difference_a + difference_b;
  y[2] = kA2 * sum_a + kB2 * sum_b;
  y[3] = kA2 * difference_a + kB2 * difference_b + p[5];
}

// G w: three taps to six points.
inline void taps_to_points(const Vec* w, Vec* p) {
  const Vec even_a = (w[0] + kA2 * w[2]) * (1 / kDivisorA), odd_a = w[1] * (kA / kDivisorA);
  const Vec even_b = (w[0] + kB2 * w[2]) * (1 / kDivisorB), odd_b = w[1] * (kB / kDivisorB);
  p[0] = w[0] * (1 / (kA2 * kB2));
  p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
  p[5] = w[2];
}

// G' p: six products to three taps.
inline void points_to_taps(const Vec* p, Vec* w) {
  const Vec sum_a = (p[1] + p[2]) * (1 / kDivisorA), sum_b = (p[3] + p[4]) * (1 / kDivisorB);
  w[0] = p[0] * (1 / (kA2 * kB2)) + (sum_a + sum_b);
  w[1] = (p[1] - p[2]) * (kA / kDivisorA) + (p[3] - p[4]) * (kB / kDivisorB);
  w[2] = kA2 * sum_a + kB2 * sum_b + p[5];
}

// The kLanes channels from `p` on of a slice of which `count` are in the image; the others are 0.
template <bool WHOLE>
inline Vec load_channels(const float* p, int64_t count) {
  if (WHOLE) return load(p);
  alignas(64) float values[kLanes] = {};
  for (int64_t c = 0; c < min(count, kLanes); ++c) values[c] = p[c];
  return load(values);
}
template <bool WHOLE>
inline void store_channels(float* p, Vec v, int64_t count) {
  if (WHOLE) return store(p, v);
  alignas(64) float values[kLanes];
  store(values, v);
  for (int64_t c = 0; c < min(count, kLanes); ++c) p[c] = values[c];
}

// Transforms a line of tiles, one slice of channels: rows of the image to `line`, [point][column][kSlice], then its
// columns to `to`.
template <class Tile, bool WHOLE>
inline void scatter_slice(const Conv3x3& f, const float* const* rows, const int64_t* steps, int64_t count, float* line,
                          float* to) {
  const int64_t width = kTile3 * f.tile_columns + Tile::kPixels - kTile3;
  for (int64_t column = 0; column < width; ++column) {
    const int64_t j = column - Tile::kBefore;
    for (int v = 0; v < kSlice; v += kLanes) {
      float* at = line + column * kSlice + v;
      if (j < 0 || j >= f.w || v >= count) {
        for (int p = 0; p < kPoints3; ++p) store(at + p * width * kSlice, Vec{});
        continue;
      }
      Vec pixel[Tile::kPixels], point[kPoints3];
#pragma GCC unroll 6
      for (int i = 0; i < Tile::kPixels; ++i) pixel[i] = load_channels<WHOLE>(rows[i] + j * steps[i] + v, count - v);
      Tile::transform(pixel, point);
#pragma GCC unroll 6
      for (int p = 0; p < kPoints3; ++p) store(at + p * width * kSlice, point[p]);
    }
  }
  for (int p = 0; p < kPoints3; ++p)
    for (int64_t t = 0; t < f.tile_columns; ++t)
      for (int v = 0; v < kSlice; v += kLanes) {
        const float* from = line + (p * width + kTile3 * t) * kSlice + v;
        Vec pixel[Tile::kPixels], point[kPoints3];
#pragma GCC unroll 6
        for (int i = 0; i < Tile::kPixels; ++i) pixel[i] = load(from + i * kSlice);
        Tile::transform(pixel, point);
#pragma GCC unroll 6
        for (int q = 0; q < kPoints3; ++q) store(to + ((p * kPoints3 + q) * f.pitch + t) * kSlice + v, point[q]);
      }
}

template <class Tile>
inline void scatter_lines(const Conv3x3& f, const float* images, int64_t channels, int64_t image_pitch,
                          const Values& to, float* scratch) {
  alignas(64) static const float zeros[kSlice] = {};
  for (int64_t line = 0; line < f.lines; ++line) {
    const int64_t image = (f.first + line) / f.tile_rows, row = (f.first + line) % f.tile_rows;
    const float* pixels = images + image * f.h * f.w * image_pitch;
    for (int64_t c = 0; c < channels; c += kSlice) {
      const float* rows[Tile::kPixels];
      int64_t steps[Tile::kPixels];
      for (int i = 0; i < Tile::kPixels; ++i) {
        const int64_t r = kTile3 * row - Tile::kBefore + i;
        const bool inside = r >= 0 && r < f.h;
        rows[i] = inside ? pixels + r * f.w * image_pitch + c : zeros, steps[i] = inside ? image_pitch : 0;
      }
      float* place = to.data + c / kSlice * to.stride + line * f.tile_columns * kSlice;
      if (channels - c >= kSlice)
        scatter_slice<Tile, true>(f, rows, steps, kSlice, scratch, place);
      else
        scatter_slice<Tile, false>(f, rows, steps, channels - c, scratch, place);
    }
  }
}

void conv3x3_scatter_input(const Conv3x3& f, float* scratch) {
  scatter_lines<InputTile>(f, f.x, f.cin, f.in_pitch, f.planes, scratch);
}
void conv3x3_scatter_gradient(const Conv3x3& f, float* scratch) {
  scatter_lines<GradientTile>(f, f.grad, f.cout, f.out_pitch, f.sums, scratch);
}

// Panels of weights for kSlice input channels of one block of outputs.
void conv3x3_pack(const Conv3x3Packing& f, int64_t begin, int64_t end) {
  const int64_t groups = padded(f.cin) / kSlice, panel = padded(f.cin) * kBlock;
  alignas(64) float taps[kTaps3 * kSlice * kBlock];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t block = item / groups, from = item % groups * kSlice, rows = min(kSlice, f.cin - from);
    const int64_t columns = min(kBlock, f.cout - block * kBlock);
    const float* weight = f.weight + from * f.in + block * kBlock * f.out;
    int64_t tap_step = kSlice * kBlock, row_step = kBlock;
    if (columns == kBlock && f.in == kTaps3 && f.row == 3 && f.column == 1) {
      // contiguous taps: transpose all of them at once
      tap_step = kBlock, row_step = kTaps3 * kBlock;
      transpose(weight, f.out, kBlock, rows * kTaps3, taps, kBlock);
    } else {
      for (int k = 0; k < kTaps3; ++k)
        pack_panel({weight + k / 3 * f.row + k % 3 * f.column, f.in, f.out}, rows, columns, 0, taps + k * tap_step);
    }
    float* to = f.panels + block * kTileProducts3 * panel + from * kBlock;
    for (int64_t r = 0; r < kSlice; ++r, to += kBlock)
      for (int v = 0; v < kBlock; v += kLanes) {
        Vec tap[3], point[kPoints3], by_row[kPoints3][3];
        for (int j = 0; j < 3; ++j) {
          for (int i = 0; i < 3; ++i)
            tap[i] = r < rows ? load(taps + (i * 3 + j) * tap_step + r * row_step + v) : Vec{};
          taps_to_points(tap, point);
          for (int p = 0; p < kPoints3; ++p) by_row[p][j] = point[p];
        }
        for (int p = 0; p < kPoints3; ++p) {
          taps_to_points(by_row[p], point);
          for (int q = 0; q < kPoints3; ++q) store(to + (p * kPoints3 + q) * panel + v, point[q]);
        }
      }
  }
}

// sums = planes * panels.
void conv3x3_multiply(const Conv3x3& f, float*) {
  const int64_t blocks = (f.cout + kBlock - 1) / kBlock, slices = padded(f.cin) / kSlice;
  for (int64_t point = 0; point < kTileProducts3; ++point)
    for (int64_t block = 0; block < blocks; ++block) {
      const Term term = {f.planes.data + point * f.pitch * kSlice,
                         f.panels + (block * kTileProducts3 + point) * padded(f.cin) * kBlock};
      multiply_block(&term, 1, slices, f.planes.stride, f.rows(),
                     f.sums.data + block * (kBlock / kSlice) * f.sums.stride + point * f.pitch * kSlice, f.sums.stride,
                     min(kBlock, f.cout - block * kBlock));
    }
}

// Merges the mean and M2 of `pixels` values of each channel, [pixels][kSlice], into those of the `before` values so far
// (Chan, Golub, LeVeque 1983).
template <bool WHOLE>
inline void merge_slice(const float* values, int64_t pixels, int64_t before, int64_t count, float* mean, float* m2) {
  const float inverse = 1.0f / pixels, share = static_cast<float>(pixels) / (before + pixels);
  for (int v = 0; v < kSlice && v < count; v += kLanes) {
    Vec sum = {}, squares = {};
    for (int64_t p = 0; p < pixels; ++p) sum += load(values + p * kSlice + v);
    const Vec average = sum * inverse;
    for (int64_t p = 0; p < pixels; ++p) {
      const Vec deviation = load(values + p * kSlice + v) - average;
      squares += deviation * deviation;
    }
    const Vec old_mean = before ? load_channels<WHOLE>(mean + v, count - v) : average;
    const Vec old_m2 = before ? load_channels<WHOLE>(m2 + v, count - v) : Vec{};
    const Vec delta = average - old_mean;
    store_channels<WHOLE>(mean + v, old_mean + delta * share, count - v);
    store_channels<WHOLE>(m2 + v, old_m2 + squares + delta * delta * (share * before), count - v);
  }
}

// One slice of a line: the columns of `from` to scratch, then its rows to the image, with the epilogue.
template <bool WHOLE>
inline void gather_slice(const Conv3x3& f, const float* from, int64_t pixel, int64_t height, int64_t channel,
                         int64_t before, float* line) {
  const int64_t width = kTile3 * f.tile_columns, count = f.cout - channel;
  for (int p = 0; p < kPoints3; ++p)
    for (int64_t t = 0; t < f.tile_columns; ++t)
      for (int v = 0; v < kSlice; v += kLanes) {
        Vec point[kPoints3], pixel_of[kTile3];
#pragma GCC unroll 6
        for (int q = 0; q < kPoints3; ++q) point[q] = load(from + ((p * kPoints3 + q) * f.pitch + t) * kSlice + v);
        to_outputs(point, pixel_of);
#pragma GCC unroll 4
        for (int j = 0; j < kTile3; ++j) store(line + (p * width + kTile3 * t + j) * kSlice + v, pixel_of[j]);
      }
  float* packed = line;  // the outputs without gaps, for the statistics: written behind what is still to be read
  for (int v = 0; v < kSlice && v < count; v += kLanes) {
    const Vec scale = f.scale ? load_channels<WHOLE>(f.scale + channel + v, count - v) : broadcast(1.0f);
    const Vec shift = f.shift ? load_channels<WHOLE>(f.shift + channel + v, count - v) : Vec{};
    for (int64_t j = 0; j < f.w; ++j) {
      Vec point[kPoints3], output[kTile3];
#pragma GCC unroll 6
      for (int p = 0; p < kPoints3; ++p) point[p] = load(line + (p * width + j) * kSlice + v);
      to_outputs(point, output);
      for (int64_t i = 0; i < height; ++i) {
        const int64_t at = (pixel + i * f.w + j) * f.out_pitch + channel + v;
        Vec value = f.scale ? output[i] * scale + shift : output[i] + shift;
        if (f.residual) value += load_channels<WHOLE>(f.residual + at, count - v);
        if (f.slope != 1) value = leaky_relu(value, f.slope);
        store_channels<WHOLE>(f.out + at, value, count - v);
        if (f.mean) store(packed + (i * width + j) * kSlice + v, value);
      }
    }
  }
  if (f.mean)
    for (int64_t i = 0; i < height; ++i)
      merge_slice<WHOLE>(packed + i * width * kSlice, f.w, before + i * f.w, count, f.mean + channel, f.m2 + channel);
}

void conv3x3_gather(const Conv3x3& f, float* scratch) {
  int64_t before = 0;
  for (int64_t line = 0; line < f.lines; ++line) {
    const int64_t image = (f.first + line) / f.tile_rows, row = (f.first + line) % f.tile_rows * kTile3;
    const int64_t height = min(kTile3, f.h - row), pixel = (image * f.h + row) * f.w;
    for (int64_t c = 0; c < f.cout; c += kSlice) {
      const float* from = f.sums.data + c / kSlice * f.sums.stride + line * f.tile_columns * kSlice;
      if (f.cout - c >= kSlice)
        gather_slice<true>(f, from, pixel, height, c, before, scratch);
      else
        gather_slice<false>(f, from, pixel, height, c, before, scratch);
    }
    before += height * f.w;
  }
}

// gradient [cout][9][cin] = G' products, for kProductRows output channels from `from` on and a block of inputs.
inline void join_products3x3(const Conv3x3& f, int64_t from, int64_t channel, const float* products) {
  const int64_t channels = min(kBlock, f.cin - channel);
  for (int64_t s = from; s < min(from + kProductRows, f.cout); ++s)
    for (int v = 0; v < kBlock && v < channels; v += kLanes) {
      Vec point[kPoints3], tap[3], by_row[3][kPoints3];
      for (int q = 0; q < kPoints3; ++q) {
        for (int p = 0; p < kPoints3; ++p)
          point[p] = load(products + ((p * kPoints3 + q) * kProductRows + s - from) * kBlock + v);
        points_to_taps(point, tap);
        for (int i = 0; i < 3; ++i) by_row[i][q] = tap[i];
      }
      for (int i = 0; i < 3; ++i) {
        points_to_taps(by_row[i], tap);
        for (int j = 0; j < 3; ++j)
          store_channels<false>(f.gradient + (s * kTaps3 + i * 3 + j) * f.gradient_pitch + channel + v, tap[j],
                                channels - v);
      }
    }
}

// products (+)= sums' planes over the rows of each point.
void conv3x3_multiply_gradient(const Conv3x3& f, float*) {
  const int64_t blocks = (f.cin + kBlock - 1) / kBlock, groups = (f.cout + kProductRows - 1) / kProductRows;
  for (int64_t point = 0; point < kTileProducts3; ++point)
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t s = 0; s < f.cout; s += kProductTile) {
        const Run run = {f.sums.data + s / kSlice * f.sums.stride + s % kSlice + point * f.pitch * kSlice,
                         f.planes.data + block * (kBlock / kSlice) * f.planes.stride + point * f.pitch * kSlice,
                         f.rows()};
        float* to = f.products +
                    (((s / kProductRows * blocks + block) * kTileProducts3 + point) * kProductRows + s % kProductRows) *
                        kBlock;
        sum_outer_products(&run, 1, f.planes.stride, !f.is_first, to);
      }
  if (f.is_last)
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t block = 0; block < blocks; ++block)
        join_products3x3(f, group * kProductRows, block * kBlock,
                         f.products + (group * blocks + block) * kTileProducts3 * kProductRows * kBlock);
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
