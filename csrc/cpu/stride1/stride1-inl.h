// The passes of convolutions with stride 1: transforms of images and weights, and the products between them.
#pragma once
#include <cstdint>

#include "../gemm/gemm-inl.h"
#include "../gemm/transpose-inl.h"
#include "../isa/vector-inl.h"
#include "../winograd/products-inl.h"
#include "stride1.h"

namespace ganzoo {
namespace ISA {
namespace {

// The transforms of one axis: `to_points` is B and inputs become points, `to_outputs` A', `taps_to_points` G,
// `points_to_taps` G' and `outputs_to_points` A.
template <int KERNEL>
struct Scheme;

template <>
struct Scheme<3> {
  static constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b;  // all exact
  static constexpr float kDivisorA = 2 * a2 * (a2 - b2), kDivisorB = 2 * b2 * (b2 - a2);

  static void to_points(const Vec* x, Vec* p) {
    const Vec even_a = x[4] - b2 * x[2], odd_a = a * (x[3] - b2 * x[1]);
    const Vec even_b = x[4] - a2 * x[2], odd_b = b * (x[3] - a2 * x[1]);
    p[0] = a2 * b2 * x[0] + even_a - a2 * x[2];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = a2 * b2 * x[1] + (x[5] - (a2 + b2) * x[3]);
  }
  static void outputs_to_points(const Vec* y, Vec* p) {
    const Vec even_a = y[0] + a2 * y[2], odd_a = a * (y[1] + a2 * y[3]);
    const Vec even_b = y[0] + b2 * y[2], odd_b = b * (y[1] + b2 * y[3]);
    p[0] = y[0];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = y[3];
  }
  static void to_outputs(const Vec* p, Vec* y) {
    const Vec sum_a = p[1] + p[2], difference_a = a * (p[1] - p[2]);
    const Vec sum_b = p[3] + p[4], difference_b = b * (p[3] - p[4]);
    y[0] = p[0] + sum_a + sum_b;
    y[1] = difference_a + difference_b;
    y[2] = a2 * sum_a + b2 * sum_b;
    y[3] = a2 * difference_a + b2 * difference_b + p[5];
  }
  static void taps_to_points(const Vec* w, Vec* p) {
    const Vec even_a = (w[0] + a2 * w[2]) * (1 / kDivisorA), odd_a = w[1] * (a / kDivisorA);
    const Vec even_b = (w[0] + b2 * w[2]) * (1 / kDivisorB), odd_b = w[1] * (b / kDivisorB);
    p[0] = w[0] * (1 / (a2 * b2));
    p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = w[2];
  }
  static void points_to_taps(const Vec* p, Vec* w) {
    const Vec sum_a = (p[1] + p[2]) * (1 / kDivisorA), sum_b = (p[3] + p[4]) * (1 / kDivisorB);
    w[0] = p[0] * (1 / (a2 * b2)) + (sum_a + sum_b);
    w[1] = (p[1] - p[2]) * (a / kDivisorA) + (p[3] - p[4]) * (b / kDivisorB);
    w[2] = a2 * sum_a + b2 * sum_b + p[5];
  }
};

template <>
struct Scheme<4> {
  static constexpr float a = 0.625f, b = 1.125f, c = 2.25f, a2 = a * a, b2 = b * b, c2 = c * c;  // all exact
  static constexpr float kAtA = 1 / (2 * a2 * (a2 - b2) * (a2 - c2)), kAtB = 1 / (2 * b2 * (b2 - a2) * (b2 - c2));
  static constexpr float kAtC = 1 / (2 * c2 * (c2 - a2) * (c2 - b2)), kAt0 = -1 / (a2 * b2 * c2);

  // The points p and -p: x (x^2 - q2) (x^2 - r2) (x +- p), where q and r are the other ones.
  static void pair_to_points(const Vec* x, float p, float q2, float r2, Vec* to) {
    const Vec even = x[6] - (q2 + r2) * x[4] + q2 * r2 * x[2];
    const Vec odd = p * (x[5] - (q2 + r2) * x[3] + q2 * r2 * x[1]);
    to[0] = even + odd, to[1] = even - odd;
  }
  static void to_points(const Vec* x, Vec* p) {
    p[0] = x[6] - (a2 + b2 + c2) * x[4] + ((a2 * b2 + a2 * c2 + b2 * c2) * x[2] - a2 * b2 * c2 * x[0]);
    pair_to_points(x, a, b2, c2, p + 1);
    pair_to_points(x, b, a2, c2, p + 3);
    pair_to_points(x, c, a2, b2, p + 5);
  }
  static void outputs_to_points(const Vec* y, Vec* p) {
    const Vec even_a = y[0] + a2 * y[2], odd_a = a * (y[1] + a2 * y[3]);
    const Vec even_b = y[0] + b2 * y[2], odd_b = b * (y[1] + b2 * y[3]);
    const Vec even_c = y[0] + c2 * y[2], odd_c = c * (y[1] + c2 * y[3]);
    p[0] = y[0];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a, p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = even_c + odd_c, p[6] = even_c - odd_c;
  }
  // A' or, with the three factors of G, G'.
  static void combine(Vec first, const Vec* p, float at_a, float at_b, float at_c, Vec* y) {
    const Vec sum_a = (p[1] + p[2]) * at_a, difference_a = (p[1] - p[2]) * (a * at_a);
    const Vec sum_b = (p[3] + p[4]) * at_b, difference_b = (p[3] - p[4]) * (b * at_b);
    const Vec sum_c = (p[5] + p[6]) * at_c, difference_c = (p[5] - p[6]) * (c * at_c);
    y[0] = first + sum_a + sum_b + sum_c;
    y[1] = difference_a + difference_b + difference_c;
    y[2] = a2 * sum_a + b2 * sum_b + c2 * sum_c;
    y[3] = a2 * difference_a + b2 * difference_b + c2 * difference_c;
  }
  static void to_outputs(const Vec* p, Vec* y) { combine(p[0], p, 1, 1, 1, y); }
  static void points_to_taps(const Vec* p, Vec* w) { combine(p[0] * kAt0, p, kAtA, kAtB, kAtC, w); }
  static void taps_to_points(const Vec* w, Vec* p) {
    outputs_to_points(w, p);
    p[0] *= kAt0, p[1] *= kAtA, p[2] *= kAtA, p[3] *= kAtB, p[4] *= kAtB, p[5] *= kAtC, p[6] *= kAtC;
  }
};

// What a line of tiles is transformed from: images, or gradients of outputs.
template <int KERNEL>
struct InputTile {
  static constexpr int kPixels = tile_points(KERNEL), kPointCount = kPixels;
  static void transform(const Vec* x, Vec* p) { Scheme<KERNEL>::to_points(x, p); }
};
template <int KERNEL>
struct GradientTile {
  static constexpr int kPixels = kTile, kPointCount = tile_points(KERNEL);
  static void transform(const Vec* y, Vec* p) { Scheme<KERNEL>::outputs_to_points(y, p); }
};

// The images of one side.
struct Source {
  const float* data;
  int64_t h, w, pitch, padding;
};

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
inline void scatter_slice(const Stride1& f, const Source& images, const float* const* rows, const int64_t* steps,
                          int64_t count, float* line, float* to) {
  constexpr int kPointCount = Tile::kPointCount;
  const int64_t width = kTile * f.tile_columns + Tile::kPixels - kTile;
  for (int64_t column = 0; column < width; ++column) {
    const int64_t j = column - images.padding;
    for (int v = 0; v < kSlice; v += kLanes) {
      float* at = line + column * kSlice + v;
      if (j < 0 || j >= images.w || v >= count) {
        for (int p = 0; p < kPointCount; ++p) store(at + p * width * kSlice, Vec{});
        continue;
      }
      Vec pixel[Tile::kPixels], point[kPointCount];
#pragma GCC unroll 7
      for (int i = 0; i < Tile::kPixels; ++i) pixel[i] = load_channels<WHOLE>(rows[i] + j * steps[i] + v, count - v);
      Tile::transform(pixel, point);
#pragma GCC unroll 7
      for (int p = 0; p < kPointCount; ++p) store(at + p * width * kSlice, point[p]);
    }
  }
  for (int p = 0; p < kPointCount; ++p)
    for (int64_t t = 0; t < f.tile_columns; ++t)
      for (int v = 0; v < kSlice; v += kLanes) {
        const float* from = line + (p * width + kTile * t) * kSlice + v;
        Vec pixel[Tile::kPixels], point[kPointCount];
#pragma GCC unroll 7
        for (int i = 0; i < Tile::kPixels; ++i) pixel[i] = load(from + i * kSlice);
        Tile::transform(pixel, point);
#pragma GCC unroll 7
        for (int q = 0; q < kPointCount; ++q) store(to + ((p * kPointCount + q) * f.pitch + t) * kSlice + v, point[q]);
      }
}

template <class Tile>
inline void scatter_lines(const Stride1& f, const Source& images, int64_t channels, const Values& to, float* scratch) {
  alignas(64) static const float zeros[kSlice] = {};
  for (int64_t line = 0; line < f.lines; ++line) {
    const int64_t image = (f.first + line) / f.tile_rows, row = (f.first + line) % f.tile_rows;
    const float* pixels = images.data + image * images.h * images.w * images.pitch;
    for (int64_t c = 0; c < channels; c += kSlice) {
      const float* rows[Tile::kPixels];
      int64_t steps[Tile::kPixels];
      for (int i = 0; i < Tile::kPixels; ++i) {
        const int64_t r = kTile * row - images.padding + i;
        const bool inside = r >= 0 && r < images.h;
        rows[i] = inside ? pixels + r * images.w * images.pitch + c : zeros, steps[i] = inside ? images.pitch : 0;
      }
      float* place = to.data + c / kSlice * to.stride + line * f.tile_columns * kSlice;
      if (channels - c >= kSlice)
        scatter_slice<Tile, true>(f, images, rows, steps, kSlice, scratch, place);
      else
        scatter_slice<Tile, false>(f, images, rows, steps, channels - c, scratch, place);
    }
  }
}

template <int KERNEL>
void stride1_scatter_input(const Stride1& f, float* scratch) {
  scatter_lines<InputTile<KERNEL>>(f, {f.x, f.h, f.w, f.in_pitch, f.padding}, f.cin, f.planes, scratch);
}
template <int KERNEL>
void stride1_scatter_gradient(const Stride1& f, float* scratch) {
  scatter_lines<GradientTile<KERNEL>>(f, {f.grad, f.out_h, f.out_w, f.out_pitch, 0}, f.cout, f.sums, scratch);
}

// Panels of weights for kSlice input channels of one block of outputs.
template <int KERNEL>
void stride1_pack(const Stride1Packing& f, int64_t begin, int64_t end) {
  constexpr int kPointCount = tile_points(KERNEL), kTapCount = KERNEL * KERNEL;
  const int64_t groups = padded(f.cin) / kSlice, panel = padded(f.cin) * kBlock;
  alignas(64) float taps[kTapCount * kSlice * kBlock];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t block = item / groups, from = item % groups * kSlice, rows = min(kSlice, f.cin - from);
    const int64_t columns = min(kBlock, f.cout - block * kBlock);
    const float* weight = f.weight + from * f.in + block * kBlock * f.out;
    int64_t tap_step = kSlice * kBlock, row_step = kBlock;
    if (columns == kBlock && f.in == kTapCount && f.row == KERNEL && f.column == 1) {
      // contiguous taps: transpose all of them at once
      tap_step = kBlock, row_step = kTapCount * kBlock;
      transpose(weight, f.out, kBlock, rows * kTapCount, taps, kBlock);
    } else {
      for (int k = 0; k < kTapCount; ++k)
        pack_panel({weight + k / KERNEL * f.row + k % KERNEL * f.column, f.in, f.out}, rows, columns, 0,
                   taps + k * tap_step);
    }
    float* to = f.panels + block * tile_products(KERNEL) * panel + from * kBlock;
    for (int64_t r = 0; r < kSlice; ++r, to += kBlock)
      for (int v = 0; v < kBlock; v += kLanes) {
        Vec tap[KERNEL], point[kPointCount], by_row[kPointCount][KERNEL];
        for (int j = 0; j < KERNEL; ++j) {
          for (int i = 0; i < KERNEL; ++i)
            tap[i] = r < rows ? load(taps + (i * KERNEL + j) * tap_step + r * row_step + v) : Vec{};
          Scheme<KERNEL>::taps_to_points(tap, point);
          for (int p = 0; p < kPointCount; ++p) by_row[p][j] = point[p];
        }
        for (int p = 0; p < kPointCount; ++p) {
          Scheme<KERNEL>::taps_to_points(by_row[p], point);
          for (int q = 0; q < kPointCount; ++q) store(to + (p * kPointCount + q) * panel + v, point[q]);
        }
      }
  }
}

// sums = planes * panels.
template <int KERNEL>
void stride1_multiply(const Stride1& f, float*) {
  const int64_t blocks = (f.cout + kBlock - 1) / kBlock, slices = padded(f.cin) / kSlice;
  for (int64_t point = 0; point < tile_products(KERNEL); ++point)
    for (int64_t block = 0; block < blocks; ++block) {
      const Term term = {f.planes.data + point * f.pitch * kSlice,
                         f.panels + (block * tile_products(KERNEL) + point) * padded(f.cin) * kBlock};
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
template <int KERNEL, bool WHOLE>
inline void gather_slice(const Stride1& f, const float* from, int64_t pixel, int64_t height, int64_t channel,
                         int64_t before, float* line) {
  constexpr int kPointCount = tile_points(KERNEL);
  const int64_t width = kTile * f.tile_columns, count = f.cout - channel;
  for (int p = 0; p < kPointCount; ++p)
    for (int64_t t = 0; t < f.tile_columns; ++t)
      for (int v = 0; v < kSlice; v += kLanes) {
        Vec point[kPointCount], pixel_of[kTile];
#pragma GCC unroll 7
        for (int q = 0; q < kPointCount; ++q) point[q] = load(from + ((p * kPointCount + q) * f.pitch + t) * kSlice + v);
        Scheme<KERNEL>::to_outputs(point, pixel_of);
#pragma GCC unroll 4
        for (int j = 0; j < kTile; ++j) store(line + (p * width + kTile * t + j) * kSlice + v, pixel_of[j]);
      }
  float* packed = line;  // the outputs without gaps, for the statistics: written behind what is still to be read
  for (int v = 0; v < kSlice && v < count; v += kLanes) {
    const Vec scale = f.scale ? load_channels<WHOLE>(f.scale + channel + v, count - v) : broadcast(1.0f);
    const Vec shift = f.shift ? load_channels<WHOLE>(f.shift + channel + v, count - v) : Vec{};
    for (int64_t j = 0; j < f.out_w; ++j) {
      Vec point[kPointCount], output[kTile];
#pragma GCC unroll 7
      for (int p = 0; p < kPointCount; ++p) point[p] = load(line + (p * width + j) * kSlice + v);
      Scheme<KERNEL>::to_outputs(point, output);
      for (int64_t i = 0; i < height; ++i) {
        const int64_t at = (pixel + i * f.out_w + j) * f.out_pitch + channel + v;
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
      merge_slice<WHOLE>(packed + i * width * kSlice, f.out_w, before + i * f.out_w, count, f.mean + channel, f.m2 + channel);
}

template <int KERNEL>
void stride1_gather(const Stride1& f, float* scratch) {
  int64_t before = 0;
  for (int64_t line = 0; line < f.lines; ++line) {
    const int64_t image = (f.first + line) / f.tile_rows, row = (f.first + line) % f.tile_rows * kTile;
    const int64_t height = min(kTile, f.out_h - row), pixel = (image * f.out_h + row) * f.out_w;
    for (int64_t c = 0; c < f.cout; c += kSlice) {
      const float* from = f.sums.data + c / kSlice * f.sums.stride + line * f.tile_columns * kSlice;
      if (f.cout - c >= kSlice)
        gather_slice<KERNEL, true>(f, from, pixel, height, c, before, scratch);
      else
        gather_slice<KERNEL, false>(f, from, pixel, height, c, before, scratch);
    }
    before += height * f.out_w;
  }
}

// gradient [cout][taps][cin] = G' products, for kProductRows output channels from `from` on and a block of inputs.
template <int KERNEL>
inline void join_taps(const Stride1& f, int64_t from, int64_t channel, const float* products) {
  constexpr int kPointCount = tile_points(KERNEL);
  const int64_t channels = min(kBlock, f.cin - channel);
  for (int64_t s = from; s < min(from + kProductRows, f.cout); ++s)
    for (int v = 0; v < kBlock && v < channels; v += kLanes) {
      Vec point[kPointCount], tap[KERNEL], by_row[KERNEL][kPointCount];
      for (int q = 0; q < kPointCount; ++q) {
        for (int p = 0; p < kPointCount; ++p)
          point[p] = load(products + ((p * kPointCount + q) * kProductRows + s - from) * kBlock + v);
        Scheme<KERNEL>::points_to_taps(point, tap);
        for (int i = 0; i < KERNEL; ++i) by_row[i][q] = tap[i];
      }
      for (int i = 0; i < KERNEL; ++i) {
        Scheme<KERNEL>::points_to_taps(by_row[i], tap);
        for (int j = 0; j < KERNEL; ++j)
          store_channels<false>(f.gradient + (s * KERNEL * KERNEL + i * KERNEL + j) * f.gradient_pitch + channel + v, tap[j],
                                channels - v);
      }
    }
}

template <int KERNEL>
void stride1_join_gradient(const Stride1& f, float*) {
  const int64_t blocks = (f.cin + kBlock - 1) / kBlock, groups = (f.cout + kProductRows - 1) / kProductRows;
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t block = 0; block < blocks; ++block)
      join_taps<KERNEL>(f, group * kProductRows, block * kBlock,
                        f.products + (group * blocks + block) * tile_products(KERNEL) * kProductRows * kBlock);
}

// products (+)= sums' planes over the rows of each point.
template <int KERNEL>
void stride1_multiply_gradient(const Stride1& f, float*) {
  const int64_t blocks = (f.cin + kBlock - 1) / kBlock;
  for (int64_t point = 0; point < tile_products(KERNEL); ++point)
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t s = 0; s < f.cout; s += kProductTile) {
        const Run run = {f.sums.data + s / kSlice * f.sums.stride + s % kSlice + point * f.pitch * kSlice,
                         f.planes.data + block * (kBlock / kSlice) * f.planes.stride + point * f.pitch * kSlice,
                         f.rows()};
        float* to = f.products +
                    (((s / kProductRows * blocks + block) * tile_products(KERNEL) + point) * kProductRows + s % kProductRows) *
                        kBlock;
        sum_outer_products(&run, 1, f.planes.stride, !f.is_first, to);
      }
  if (f.is_last) stride1_join_gradient<KERNEL>(f, nullptr);
}

template <int KERNEL>
constexpr Stride1Kernels stride1_kernels() {
  return {stride1_pack<KERNEL>,   stride1_scatter_input<KERNEL>, stride1_scatter_gradient<KERNEL>,
          stride1_gather<KERNEL>, stride1_multiply<KERNEL>,      stride1_multiply_gradient<KERNEL>,
          stride1_join_gradient<KERNEL>};
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
