// Winograd's scheme (more precisely, Toom-Cook's) for convolutions with k4, s2, p1.
//
// Along one axis the pixels x0 ... x(s-1) of the small image and y0 ... y(2s-1) of the big one are related by the
// kernel w as follows:
//
//   y0 = x0 w1 | y(2i+1) = x(i) w2 + x(i+1) w0,  y(2i+2) = x(i) w3 + x(i+1) w1,  i = 0 ... s-2 | y(2s-1) = x(s-1) w2
//
// and, if the big image has one more pixel, y(2s) = x(s-1) w3. The part between the bars is cut into tiles of up to 4
// values of i. In a tile of m, the odd outputs are a filter with two taps (g0, g1) = (w2, w0) over m + 1 inputs, and
// the even outputs another one, (w3, w1), over the same inputs. Each takes m + 1 products instead of 2 m: with g0 + p
// g1 at the points p = 0, infinity, 1, -5/8, -3/2, of which a tile uses the first m + 1. (With -1 and 2 as the last
// two, the error would be twice as large.) Pixels of the small image are transformed to `planes`, those of the big
// image to `sums`, one for each product:
//
//   transposed:  y = A' [(B x) * (G w)]       * is the product, A' the transpose of A; A and B: tiles-inl.h
//   strided:     x = B' [(A y) * (G w)]
//   gradient:    w = G' [(B x) * (A y)]
//
// Rounded to bfloat16, planes, sums and panels of a tile of 4 would have errors of 0.9% to 1.5% of the result, those of
// a tile of 3 with the points 0, infinity, 1, -1 have 0.4%, and the direct sum 0.17%: hence the points below.
//
// The two ends, of one tap each, are planes and sums of their own. Their panels (G w) are among those of the tiles: w1
// is g1 of the even outputs, which is the panel at infinity; w2 and w3 are g0, the panels at 0. The transform in two
// dimensions is that of the rows followed by that of the columns.
#pragma once
#include <cstdint>

#include "../api.h"
#include "../blocking.h"

namespace ganzoo {

constexpr int kPoints = 5;
constexpr int kInfinity = 1;
constexpr double kPointValue[kPoints] = {0, 0, 1, -0.625, -1.5};
constexpr double kPointValueBfloat16[kPoints] = {0, 0, 1, -1, 0.5};  // the last one is not used
constexpr int kPanels = 2 * kPoints;        // those of the odd outputs, then those of the even ones
constexpr int kPlaneKinds = kPoints + 2;    // the points, the first pixel, the last pixel
constexpr int kSumKinds = 2 * kPoints + 3;  // the panels, y0, y(2s-1), y(2s)
constexpr int kPlaneFirst = kPoints, kPlaneLast = kPoints + 1;
constexpr int kSumFirst = kPanels, kSumLast = kPanels + 1, kSumBeyond = kPanels + 2;

// The kind of plane, and the panel, whose product is this kind of sum.
constexpr int plane_of(int sum) { return sum < kPanels ? sum % kPoints : sum == kSumFirst ? kPlaneFirst : kPlaneLast; }
constexpr int panel_of(int sum) {
  return sum < kPanels ? sum : sum == kSumFirst ? kPoints + 1 : sum == kSumLast ? 0 : kPoints;
}

// The number of planes or sums of each kind along an axis, and the number of those of earlier kinds.
struct Kinds {
  int64_t count[kSumKinds], start[kSumKinds], total;
};

// One axis of an image: first tiles of 4, then tiles of 3, the last of which may be smaller.
struct Axis {
  int64_t small, big;  // pixels
  int64_t fours, tiles, last;  // tiles of 4, all tiles, size of the last one
  Kinds planes, sums;

  int size(int64_t tile) const { return tile < fours ? 4 : tile + 1 < tiles ? 3 : static_cast<int>(last); }
  int64_t at(int64_t tile) const { return 3 * tile + (tile < fours ? tile : fours); }
};

constexpr int kSlice = 16;         // channels stored side by side: a multiple of every number of lanes
constexpr int kProductTile = 8;    // small channels of one register tile of the weight gradient
constexpr int kProductRows = 64;   // small channels of one work item of the weight gradient

// How factors of a product are stored. For bfloat16, whose products are sums of two, pairs are those of neighbouring
// channels, or, if pixels are summed over, as in the weight gradient, those of neighbouring images. Results are floats.
enum class Layout { kFloats, kChannelPairs, kImagePairs };

constexpr int64_t padded(int64_t channels) { return round_up(channels, kSlice); }  // to whole slices
constexpr int64_t channels_of_slice(Layout layout) { return layout == Layout::kChannelPairs ? 2 * kSlice : kSlice; }
constexpr int64_t padded(int64_t channels, Layout layout) { return round_up(channels, channels_of_slice(layout)); }

// Planes or sums, [channel / kSlice][row][kSlice], in units of 32 bits: floats or pairs. Rows of one pair of kinds are
// the rows of a matrix, in the order [row kind][column kind][image or pair of images][i][j]. A slice has kSlice units.
struct Values {
  float* data;
  int64_t stride;  // between slices
};

// What one thread computes alone, from images to images or to the gradient: n images, and some channels of one side. It
// writes no memory that another thread reads, because lines that another core has written are slow to read.
struct Winograd {
  Axis axis[2];  // rows, columns
  int64_t n, cs, cb;
  int64_t lines;                   // images, or pairs of images, in the order of the rows of planes and sums
  int64_t small_pitch, big_pitch;  // from pixel to pixel: all channels
  const void *small, *big;         // input images, of floats or Bfloat16
  void* out;                       // output images
  Values planes, sums;
  const float* packed;             // weights, as pack() writes them
  int place[kTaps];                // index in `packed` of each tap of the kernel
  const float *scale, *shift;      // out = act(scale * sum + shift); null: 1 and 0
  float *mean, *m2;                // of each image, or null
  float slope;
  // Weight gradient: `gradient` is (cs, 4, 4, cb); `products` are [cs / kProductRows][cb /
  // kBlock][panels][kProductRows] [kBlock], of which only one item's are needed if there is a single chunk of images.
  float *products, *gradient;
  bool first, last;  // whether this is the first (last) chunk of images
};

// One pass over the planes, the sums or both; `scratch` belongs to the calling thread.
using WinogradPass = void(const Winograd&, float* scratch);

// Rows of the pair of kinds (a, b): their number in one image, and the index of the first one of n images.
inline int64_t rows_of(const Kinds& r, const Kinds& c, int a, int b) { return r.count[a] * c.count[b]; }
inline int64_t row_of(const Kinds& r, const Kinds& c, int64_t n, int a, int b) {
  return n * (r.start[a] * c.total + r.count[a] * c.start[b]);
}

// Rows that an image of h x w small pixels contributes to the products of the panels at the inner points.
int64_t winograd_rows(int64_t h, int64_t w);
// The operations of api.h. place[kernel row * 4 + kernel column] is the index of this tap in the packed panels.
void winograd_convolve(Type type, bool transposed, const Shape& s, const void* x, const float* packed, const int* place,
                       const Epilogue& e, void* out, Parallel run);
void winograd_weight_gradient(Type type, const Shape& s, const void* small, const void* big, float* out, Parallel run);

}  // namespace ganzoo
