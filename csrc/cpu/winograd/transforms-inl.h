// The transforms of images to planes or sums (scatter) and back (gather).
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "tiles-inl.h"
#include "winograd.h"

namespace ganzoo {
namespace ISA {
namespace {

// Pixels of an axis that are transformed together: first, first + step, ... Their points are number `index` of the
// kinds from `kind` on. `add`: the first pixel is also the last one of the previous group (tiles of the small side
// overlap).
struct Group {
  int size, kind, step;
  int64_t index, first;
  bool add;
};

struct SmallSide {
  template <int M>
  using Tile = Planes<M>;
  static int64_t pixels(const Axis& a) { return a.small; }
  static const Kinds& kinds(const Axis& a) { return a.planes; }
  static const Values& values(const Winograd& f) { return f.planes; }
  static const Element* image(const Winograd& f) { return static_cast<const Element*>(f.small); }
  static int64_t channels(const Winograd& f) { return f.cs; }
  static int64_t pitch(const Winograd& f) { return f.small_pitch; }
  static int64_t groups(const Axis& a) { return a.tiles + 2; }
  static Group group(const Axis& a, int64_t g) {
    if (g == 0) return {0, kPlaneFirst, 1, 0, 0, false};
    if (g == a.tiles + 1) return {0, kPlaneLast, 1, 0, a.small - 1, true};
    return {a.size(g - 1), 0, 1, g - 1, a.at(g - 1), true};
  }
};

struct BigSide {
  template <int M>
  using Tile = Sums<M>;
  static int64_t pixels(const Axis& a) { return a.big; }
  static const Kinds& kinds(const Axis& a) { return a.sums; }
  static const Values& values(const Winograd& f) { return f.sums; }
  static const Element* image(const Winograd& f) { return static_cast<const Element*>(f.big); }
  static int64_t channels(const Winograd& f) { return f.cb; }
  static int64_t pitch(const Winograd& f) { return f.big_pitch; }
  static int64_t groups(const Axis& a) { return 2 * a.tiles + 2 + a.big % 2; }
  static Group group(const Axis& a, int64_t g) {
    if (g == 0) return {0, kSumFirst, 2, 0, 0, false};
    if (g > 2 * a.tiles)
      return {0, g == 2 * a.tiles + 1 ? kSumLast : kSumBeyond, 2, 0, g - 2 + 2 * (a.small - a.tiles), false};
    const int64_t tile = (g - 1) / 2, even = (g - 1) % 2;
    return {a.size(tile), static_cast<int>(even) * kPoints, 2, tile, 2 * a.at(tile) + 1 + even, false};
  }
};

// Calls body(Tile) with the tile of this size.
template <class Side, class Body>
inline void with_tile(int size, const Body& body) {
  switch (size) {
    case 0: return body(typename Side::template Tile<0>{});
    case 1: return body(typename Side::template Tile<1>{});
    case 2: return body(typename Side::template Tile<2>{});
    case 3: return body(typename Side::template Tile<3>{});
    default: return body(typename Side::template Tile<4>{});
  }
}

// The addresses, in the first slice, of the points of one group of columns, within the rows' points number `index` of
// kind `row_kind`.
template <class Side>
inline void point_addresses(const Winograd& f, int64_t line, int row_kind, int64_t index, const Group& g,
                            float** address) {
  const Kinds &r = Side::kinds(f.axis[0]), &c = Side::kinds(f.axis[1]);
  for (int p = 0; p <= g.size; ++p) {
    const int64_t row = row_of(r, c, f.lines, row_kind, g.kind + p) + line * rows_of(r, c, row_kind, g.kind + p) +
                        index * c.count[g.kind + p] + g.index;
    address[p] = Side::values(f).data + row * kSlice;
  }
}

// Transforms rows of `pixels` pixels, of c channels each and `pitch` numbers apart, to rows of points, of `width` floats
// each, whole slices. Each channel of each column is a transform of its own; if the pixels are contiguous they are processed in one
// run.
template <class Tile>
inline void scatter_rows(const Element* rows, int64_t step, int64_t pixels, int64_t c, int64_t pitch, float* to,
                         int64_t to_stride, int64_t width) {
  const int64_t runs = width == pitch ? 1 : pixels, length = width == pitch ? pixels * c : c;
  for (int64_t run = 0; run < runs; ++run) {
    for_channels(length, [&](auto type, int64_t e) {
      decltype(type) pixel[5], point[5];
#pragma GCC unroll 5
      for (int j = 0; j < kPoints; ++j)
        if (j < pixels_of<Tile>()) pixel[j] = get(type, rows + j * step + run * pitch + e);
      to_points<Tile>(pixel, point);
#pragma GCC unroll 5
      for (int p = 0; p < kPoints; ++p)
        if (p < points_of<Tile>()) put(to + p * to_stride + run * width + e, point[p]);
    });
    for (int p = 0; p < points_of<Tile>(); ++p)
      for (int64_t e = length; e < width; ++e) to[p * to_stride + run * width + e] = 0;
  }
}

// The inverse, into rows of c channels; `add`: adds to the first row instead of overwriting it.
template <class Tile>
inline void gather_rows(const float* from, int64_t from_stride, int64_t pixels, int64_t c, int64_t pitch, float* rows,
                        int64_t step, bool add) {
  const int64_t width = padded(c), runs = width == pitch ? 1 : pixels, length = width == pitch ? pixels * c : c;
  for (int64_t run = 0; run < runs; ++run)
    for_channels(length, [&](auto type, int64_t e) {
      decltype(type) pixel[5], point[5];
#pragma GCC unroll 5
      for (int p = 0; p < kPoints; ++p)
        if (p < points_of<Tile>()) point[p] = get(type, from + p * from_stride + run * width + e);
      to_pixels<Tile>(point, pixel);
      float* to = rows + run * pitch + e;
      put(to, add ? get(type, to) + pixel[0] : pixel[0]);
#pragma GCC unroll 5
      for (int j = 1; j < kPoints; ++j)
        if (j < pixels_of<Tile>()) put(to + j * step, pixel[j]);
    });
}

template <class Tile>
inline void points_of_row(const float* row, int64_t step, Vec* point) {
  Vec pixel[5];
#pragma GCC unroll 5
  for (int j = 0; j < kPoints; ++j)
    if (j < pixels_of<Tile>()) pixel[j] = load(row + j * step);
  to_points<Tile>(pixel, point);
}

// `second`: the row of the other image of a pair.
template <class Tile, Layout LAYOUT>
inline void scatter_columns(const float* row, const float* second, int64_t step, int64_t slices, float* const* place,
                            int64_t stride) {
  for (int64_t slice = 0; slice < slices; ++slice, row += channels_of_slice(LAYOUT), second += kSlice) {
    if constexpr (LAYOUT == Layout::kFloats) {
      for (int v = 0; v < kSlice; v += kLanes) {
        Vec point[5];
        points_of_row<Tile>(row + v, step, point);
#pragma GCC unroll 5
        for (int p = 0; p < kPoints; ++p)
          if (p < points_of<Tile>()) store(place[p] + slice * stride + v, point[p]);
      }
    } else {
#if defined(GANZOO_BFLOAT16)
      constexpr bool kImages = LAYOUT == Layout::kImagePairs;
      Vec a[5], b[5];
      points_of_row<Tile>(row, step, a), points_of_row<Tile>(kImages ? second : row + kSlice, step, b);
#pragma GCC unroll 5
      for (int p = 0; p < kPoints; ++p)
        if (p < points_of<Tile>())
          store(place[p] + slice * stride, kImages ? pairs_of_vectors(a[p], b[p]) : pairs_of_lanes(a[p], b[p]));
#endif
    }
  }
}

template <class Tile>
inline void gather_columns(float* const* place, int64_t stride, int64_t slices, float* row, int64_t step, bool add) {
  for (int64_t slice = 0; slice < slices; ++slice)
    for (int v = 0; v < kSlice; v += kLanes) {
      Vec pixel[5], point[5];
#pragma GCC unroll 5
      for (int p = 0; p < kPoints; ++p)
        if (p < points_of<Tile>()) point[p] = load(place[p] + slice * stride + v);
      to_pixels<Tile>(point, pixel);
      float* to = row + slice * kSlice + v;
      store(to, add ? load(to) + pixel[0] : pixel[0]);
#pragma GCC unroll 5
      for (int j = 1; j < kPoints; ++j)
        if (j < pixels_of<Tile>()) store(to + j * step, pixel[j]);
    }
}

// Transforms images to points; scratch holds rows of points.
template <class Side, Layout LAYOUT>
void scatter(const Winograd& f, float* scratch) {
  constexpr int64_t kImages = LAYOUT == Layout::kImagePairs ? 2 : 1;
  const Axis &rows = f.axis[0], &columns = f.axis[1];
  const int64_t w = Side::pixels(columns), c = Side::channels(f), pitch = Side::pitch(f);
  const int64_t width = padded(c, LAYOUT), size = kPoints * w * width;
  for (int64_t line = 0; line < f.lines; ++line)
    for (int64_t r = 0; r < Side::groups(rows); ++r) {
      const Group g = Side::group(rows, r);
      for (int64_t k = 0; k < kImages; ++k) {
        const int64_t image = line * kImages + k;
        if (image == f.n) {  // an odd number of images: the other one of the last pair is zero
          __builtin_memset(scratch + k * size, 0, size * sizeof(float));
          continue;
        }
        const Element* pixels = Side::image(f) + (image * Side::pixels(rows) + g.first) * w * pitch;
        with_tile<Side>(g.size, [&](auto tile) {
          scatter_rows<decltype(tile)>(pixels, g.step * w * pitch, w, c, pitch, scratch + k * size, w * width, width);
        });
      }
      for (int p = 0; p <= g.size; ++p)
        for (int64_t s = 0; s < Side::groups(columns); ++s) {
          const Group h = Side::group(columns, s);
          float* place[5];
          point_addresses<Side>(f, line, g.kind + p, g.index, h, place);
          with_tile<Side>(h.size, [&](auto tile) {
            const float* row = scratch + (p * w + h.first) * width;
            scatter_columns<decltype(tile), LAYOUT>(row, row + size, h.step * width, width / channels_of_slice(LAYOUT),
                                                    place, Side::values(f).stride);
          });
        }
    }
}

// Applies act(scale * v + shift) to a complete row, `pitch` floats from pixel to pixel, and merges it into the image's
// statistics. The result goes to `out`, `out_pitch` numbers from pixel to pixel: the same place, for floats.
inline void finish_row(const Winograd& f, const float* row, int64_t pixels, int64_t c, int64_t pitch, Element* out,
                       int64_t out_pitch, int64_t before, float* mean, float* m2) {
  if (kBfloat16 || f.scale || f.shift || f.slope != 1)
    for (int64_t p = 0; p < pixels; ++p)
      for_channels(c, [&](auto type, int64_t e) {
        auto v = get(type, row + p * pitch + e);
        if (f.scale) v *= get(type, f.scale + e);
        if (f.shift) v += get(type, f.shift + e);
        put(out + p * out_pitch + e, leaky_relu(v, f.slope));
      });
  if (!mean) return;
  const float inverse = 1.0f / pixels, share = static_cast<float>(pixels) / (before + pixels);
  for_channels(c, [&](auto type, int64_t e) {
    decltype(type) sum = {}, squares = {};
    for (int64_t p = 0; p < pixels; ++p) sum += get(type, row + p * pitch + e);
    const auto average = sum * inverse;
    for (int64_t p = 0; p < pixels; ++p) {
      const auto deviation = get(type, row + p * pitch + e) - average;
      squares += deviation * deviation;
    }
    if (before == 0) return put(mean + e, average), put(m2 + e, squares);
    const auto delta = average - get(type, mean + e);
    put(mean + e, get(type, mean + e) + delta * share);
    put(m2 + e, get(type, m2 + e) + squares + delta * delta * (share * before));
  });
}

// Transforms points to images; scratch holds rows of points and, for bfloat16, the rows of the image in float32.
template <class Side>
void gather(const Winograd& f, float* scratch) {
  const Axis &rows = f.axis[0], &columns = f.axis[1];
  const int64_t w = Side::pixels(columns), c = Side::channels(f), width = padded(c), pitch = Side::pitch(f);
  const int64_t groups = Side::groups(rows);
  for (int64_t image = 0; image < f.n; ++image) {
    Element* out = static_cast<Element*>(f.out) + image * Side::pixels(rows) * w * pitch;
    int64_t before = 0;
    for (int64_t r = 0; r < groups; ++r) {
      const Group g = Side::group(rows, r);
      for (int p = 0; p <= g.size; ++p)
        for (int64_t s = 0; s < Side::groups(columns); ++s) {
          const Group h = Side::group(columns, s);
          float* place[5];
          point_addresses<Side>(f, image, g.kind + p, g.index, h, place);  // floats: a line is an image
          with_tile<Side>(h.size, [&](auto tile) {
            gather_columns<decltype(tile)>(place, Side::values(f).stride, width / kSlice,
                                           scratch + (p * w + h.first) * width, h.step * width, h.add);
          });
        }
      int64_t complete = 0;
      float* sums;
      int64_t sums_pitch = pitch, sums_step = g.step * w * pitch;
      if constexpr (kBfloat16)
        sums = scratch + kPoints * w * width, sums_pitch = c, sums_step = w * c;
      else
        sums = reinterpret_cast<float*>(out + g.first * w * pitch);
      with_tile<Side>(g.size, [&](auto tile) {
        complete = pixels_of<decltype(tile)>();
        gather_rows<decltype(tile)>(scratch, w * width, w, c, sums_pitch, sums, sums_step, g.add);
      });
      // a row that the next group adds to is completed by that group
      const bool shared = r + 1 < groups && Side::group(rows, r + 1).add;
      if (shared) --complete;
      for (int64_t i = 0; i < complete; ++i, before += w)
        finish_row(f, sums + i * sums_step, w, c, sums_pitch, out + (g.first + i * g.step) * w * pitch, pitch, before,
                   f.mean ? f.mean + image * pitch : nullptr, f.mean ? f.m2 + image * pitch : nullptr);
      if (kBfloat16 && shared && complete > 0)
        __builtin_memcpy(sums, sums + complete * sums_step, w * c * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
