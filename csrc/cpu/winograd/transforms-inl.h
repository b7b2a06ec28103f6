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
  static const float* image(const Winograd& f) { return f.small; }
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
  static const float* image(const Winograd& f) { return f.big; }
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
inline void point_addresses(const Winograd& f, int64_t image, int row_kind, int64_t index, const Group& g,
                            float** address) {
  const Kinds &r = Side::kinds(f.axis[0]), &c = Side::kinds(f.axis[1]);
  for (int p = 0; p <= g.size; ++p) {
    const int64_t row = row_of(r, c, f.n, row_kind, g.kind + p) + image * rows_of(r, c, row_kind, g.kind + p) +
                        index * c.count[g.kind + p] + g.index;
    address[p] = Side::values(f).data + row * kSlice;
  }
}

// Transforms rows of `pixels` pixels, of c channels each and `pitch` floats apart, to rows of points padded to whole
// slices. Each channel of each column is a transform of its own; if the pixels are contiguous they are processed in one
// run.
template <class Tile>
inline void scatter_rows(const float* rows, int64_t step, int64_t pixels, int64_t c, int64_t pitch, float* to,
                         int64_t to_stride) {
  const int64_t width = padded(c), runs = width == pitch ? 1 : pixels, length = width == pitch ? pixels * c : c;
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
inline void scatter_columns(const float* row, int64_t step, int64_t slices, float* const* place, int64_t stride) {
  for (int64_t slice = 0; slice < slices; ++slice)
    for (int v = 0; v < kSlice; v += kLanes) {
      Vec pixel[5], point[5];
#pragma GCC unroll 5
      for (int j = 0; j < kPoints; ++j)
        if (j < pixels_of<Tile>()) pixel[j] = load(row + j * step + slice * kSlice + v);
      to_points<Tile>(pixel, point);
#pragma GCC unroll 5
      for (int p = 0; p < kPoints; ++p)
        if (p < points_of<Tile>()) store(place[p] + slice * stride + v, point[p]);
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
template <class Side>
void scatter(const Winograd& f, float* scratch) {
  const Axis &rows = f.axis[0], &columns = f.axis[1];
  const int64_t w = Side::pixels(columns), c = Side::channels(f), width = padded(c), pitch = Side::pitch(f);
  for (int64_t image = 0; image < f.n; ++image)
    for (int64_t r = 0; r < Side::groups(rows); ++r) {
      const Group g = Side::group(rows, r);
      const float* pixels = Side::image(f) + (image * Side::pixels(rows) + g.first) * w * pitch;
      with_tile<Side>(g.size, [&](auto tile) {
        scatter_rows<decltype(tile)>(pixels, g.step * w * pitch, w, c, pitch, scratch, w * width);
      });
      for (int p = 0; p <= g.size; ++p)
        for (int64_t s = 0; s < Side::groups(columns); ++s) {
          const Group h = Side::group(columns, s);
          float* place[5];
          point_addresses<Side>(f, image, g.kind + p, g.index, h, place);
          with_tile<Side>(h.size, [&](auto tile) {
            scatter_columns<decltype(tile)>(scratch + (p * w + h.first) * width, h.step * width, width / kSlice, place,
                                            Side::values(f).stride);
          });
        }
    }
}

// Applies act(scale * v + shift) to a complete row of an image and merges it into the image's statistics.
inline void finish_row(const Winograd& f, float* row, int64_t pixels, int64_t c, int64_t pitch, int64_t before,
                       float* mean, float* m2) {
  if (f.scale || f.shift || f.slope != 1)
    for (int64_t p = 0; p < pixels; ++p)
      for_channels(c, [&](auto type, int64_t e) {
        auto v = get(type, row + p * pitch + e);
        if (f.scale) v *= get(type, f.scale + e);
        if (f.shift) v += get(type, f.shift + e);
        put(row + p * pitch + e, leaky_relu(v, f.slope));
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

// Transforms points to images; scratch holds rows of points.
template <class Side>
void gather(const Winograd& f, float* scratch) {
  const Axis &rows = f.axis[0], &columns = f.axis[1];
  const int64_t w = Side::pixels(columns), c = Side::channels(f), width = padded(c), pitch = Side::pitch(f);
  const int64_t groups = Side::groups(rows);
  for (int64_t image = 0; image < f.n; ++image) {
    float* out = f.out + image * Side::pixels(rows) * w * pitch;
    int64_t before = 0;
    for (int64_t r = 0; r < groups; ++r) {
      const Group g = Side::group(rows, r);
      for (int p = 0; p <= g.size; ++p)
        for (int64_t s = 0; s < Side::groups(columns); ++s) {
          const Group h = Side::group(columns, s);
          float* place[5];
          point_addresses<Side>(f, image, g.kind + p, g.index, h, place);
          with_tile<Side>(h.size, [&](auto tile) {
            gather_columns<decltype(tile)>(place, Side::values(f).stride, width / kSlice,
                                           scratch + (p * w + h.first) * width, h.step * width, h.add);
          });
        }
      int64_t complete = 0;
      with_tile<Side>(g.size, [&](auto tile) {
        complete = pixels_of<decltype(tile)>();
        gather_rows<decltype(tile)>(scratch, w * width, w, c, pitch, out + g.first * w * pitch, g.step * w * pitch,
                                    g.add);
      });
      // a row that the next group adds to is completed by that group
      if (r + 1 < groups && Side::group(rows, r + 1).add) --complete;
      for (int64_t i = 0; i < complete; ++i, before += w)
        finish_row(f, out + (g.first + i * g.step) * w * pitch, w, c, pitch, before,
                   f.mean ? f.mean + image * pitch : nullptr, f.mean ? f.m2 + image * pitch : nullptr);
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
