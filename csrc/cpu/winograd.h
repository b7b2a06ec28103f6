// Winograd's scheme (Toom-Cook's, rather) for k4, s2, p1, one axis of it. The small image's pixels x0 ... x(s-1) and the
// big one's y0 ... y(2s-1) belong together like this (w: the kernel):
//
//   y0 = x0 w1 | y(2i+1) = x(i) w2 + x(i+1) w0,  y(2i+2) = x(i) w3 + x(i+1) w1,  i = 0 ... s-2 | y(2s-1) = x(s-1) w2
//
// and, where the big image is one larger, y(2s) = x(s-1) w3. What is between the bars is cut into tiles of up to 4 values
// of i. In a tile of m the odd outputs are a filter of two taps (g0, g1) = (w2, w0) over m + 1 inputs, the even ones
// another, (w3, w1), over the same inputs. Both take m + 1 products instead of 2 m: with g0 + p g1 in the points
// p = 0, infinity, 1, -5/8, -3/2, of which a tile has the first m + 1; with -1 and 2 the error would be twice as large. The
// pixels of the small side become `planes`, those of the big side `sums`, one for each product:
//
//   up:        y = A' [(B x) * (G w)]        * is the product, A' is A transposed; A, B: winograd_tables.inc
//   down:      x = B' [(A y) * (G w)]
//   gradient:  w = G' [(B x) * (A y)]
//
// The ends, one tap each, are planes and sums of their own, with panels (G w) that the tiles have, too: w1 = (g1 of the even
// ones) is theirs in infinity, w2 and w3 in 0. Two dimensions are one after the other.
#pragma once
#include <cstdint>

namespace ganzoo {

constexpr int kPoints = 5;
constexpr int kInfinity = 1;
constexpr double kPointValue[kPoints] = {0, 0, 1, -0.625, -1.5};
constexpr int kPanels = 2 * kPoints;        // odd outputs, then even ones
constexpr int kPlaneKinds = kPoints + 2;    // the points, the first pixel, the last one
constexpr int kSumKinds = 2 * kPoints + 3;  // the panels, y0, y(2s-1), y(2s)
constexpr int kPlaneFirst = kPoints, kPlaneLast = kPoints + 1;
constexpr int kSumFirst = kPanels, kSumLast = kPanels + 1, kSumBeyond = kPanels + 2;

constexpr int plane_of(int sum) { return sum < kPanels ? sum % kPoints : sum == kSumFirst ? kPlaneFirst : kPlaneLast; }
constexpr int panel_of(int sum) { return sum < kPanels ? sum : sum == kSumFirst ? kPoints + 1 : sum == kSumLast ? 0 : kPoints; }

// How many planes or sums of each kind an axis has, and how many come before them.
struct Kinds {
  int64_t count[kSumKinds], start[kSumKinds], total;
};

struct Axis {
  int64_t small, big, fours, tiles, last;  // `fours` tiles of 4, then tiles of 3, the last one of `last`
  Kinds planes, sums;

  int size(int64_t tile) const { return tile < fours ? 4 : tile + 1 < tiles ? 3 : static_cast<int>(last); }
  int64_t at(int64_t tile) const { return 3 * tile + (tile < fours ? tile : fours); }
};

constexpr int kSlice = 16;  // channels that lie side by side

// Planes and sums are [channel / kSlice][row][kSlice]; rows of one kind are a matrix: [row kind][column kind][image][i][j].
struct Values {
  float* data;
  int64_t stride;  // of slices
};

// What one thread does alone, from images to images or to the gradient: n images, and some of the channels of one side. It
// shares no memory that is written, since lines that another core has written are slow to read.
struct Winograd {
  Axis axis[2];  // rows, columns
  int64_t n, cs, cb;
  int64_t small_pitch, big_pitch;  // from pixel to pixel: all channels
  const float *small, *big;        // read,
  float* out;                      // or written
  Values planes, sums;
  const float* packed;
  int place[16];
  const float *scale, *shift;
  float *mean, *m2;  // of each image, or null
  float slope;
  // of the gradient: [cs / kGradientRows][cb / 32][panels][kGradientRows][32], of which a single chunk of images needs one
  float *products, *gradient;
  bool first, last;  // chunk
};

// Of the pair of kinds (a, b): where its rows begin, and how many there are of an image.
inline int64_t rows_of(const Kinds& r, const Kinds& c, int a, int b) { return r.count[a] * c.count[b]; }
inline int64_t row_of(const Kinds& r, const Kinds& c, int64_t n, int a, int b) {
  return n * (r.start[a] * c.total + r.count[a] * c.start[b]);
}

}  // namespace ganzoo
