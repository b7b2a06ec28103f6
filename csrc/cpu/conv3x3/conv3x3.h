// Winograd's scheme F(4, 3) for convolutions with kernel 3, stride 1, padding 1.
//
// Along one axis the outputs y0 ... are cut into tiles of 4, each of which is a filter with the three taps w over 6
// inputs. It takes 6 products instead of 12, one for each of the points p = 0, a, -a, b, -b and infinity:
//
//   forward:          y = A' [(B x) * (G w)]       * is the product, A' the transpose of A
//   weight gradient:  w = G' [(B x) * (A y)]
//
// A row of A or G holds the powers of its point, one of B the coefficients of the polynomial that is 0 at the other
// points; G also divides by the value of that polynomial at its own point. The input gradient is a forward pass with
// the kernel reversed. The transform in two dimensions is that of the rows followed by that of the columns: 36 products
// for 16 outputs, where the sum takes 144. What a tile reads outside of the image is 0, and what it computes outside is
// not stored.
//
// With a = 5/8 and b = 3/2 the largest error is a quarter of that of the usual points 1, -1, 2, -2.
#pragma once
#include <cstdint>

#include "../api.h"
#include "../blocking.h"
#include "../winograd/winograd.h"

namespace ganzoo {

constexpr int kTile3 = 4;               // outputs of a tile along an axis
constexpr int kPoints3 = 6;             // products of a tile along an axis
constexpr int kTileProducts3 = kPoints3 * kPoints3;
constexpr int kTaps3 = 9;

// What one thread computes alone: some lines (rows of tiles of an image) of the batch, and some output channels.
struct Conv3x3 {
  int64_t h, w, tile_rows, tile_columns;  // of an image: pixels, tiles
  int64_t first, lines;                   // line number image * tile_rows + row
  int64_t cin, cout;                      // channels to compute
  int64_t in_pitch, out_pitch;            // from pixel to pixel: all channels
  const float* x;                         // [n, h, w, in_pitch]
  const float* grad;                      // of the output, [n, h, w, out_pitch]; weight gradient
  float* out;                             // [n, h, w, out_pitch]
  // Transformed images, [channel / kSlice][point of the row][point of the column][pitch: line, tile][kSlice].
  Values planes, sums;
  int64_t pitch;
  const float* panels;             // G w, [block][kTileProducts3][padded(cin)][kBlock]
  const float *scale, *shift;      // out = act(scale * sum + shift + residual); null: 1, 0 and 0
  const float* residual;           // [n, h, w, out_pitch]
  float slope;
  float *mean, *m2;                // [cout] of this item's pixels, or null
  // Weight gradient, [cout][9][gradient_pitch]; products are [cout / kProductRows][cin / kBlock][kTileProducts3]
  // [kProductRows][kBlock].
  float *products, *gradient;
  int64_t gradient_pitch;
  bool is_first, is_last;  // whether these are the first (last) lines

  int64_t rows() const { return lines * tile_columns; }
};

// An item is a block of kBlock outputs and kSlice input channels.
struct Conv3x3Packing {
  const float* weight;
  int64_t in, out, row, column;  // its strides: input channel, output channel, row and column of the kernel
  int64_t cin, cout;
  float* panels;
};

constexpr int kMaxTileRows = 8;  // of the register tiles of every instruction set

// A convolution with few channels on one side, or its weight gradient. An item is `rows` rows of an image, or, of the
// gradient, a range of images.
struct FewConv3x3 {
  int64_t n, h, w, cin, cout, in_pitch, out_pitch;
  int64_t chunks, rows;        // items of an image, rows of an item
  const float* x;              // [n, h, w, in_pitch]
  const float* panels;         // few to many: [9][cin][columns]; many to few: [cin][columns: tap, cout]
  int64_t columns;             // cout (9 cout) in whole blocks
  const float *scale, *shift;  // out = act(scale * sum + shift + residual); null: 1, 0 and 0
  const float* residual;       // [n, h, w, out_pitch]
  float slope;
  float* out;  // [n, h, w, out_pitch]
  // Gradient: x has cin, the few, channels, and `grad` cout, the many ones, on whichever side each is.
  const float* grad;  // [n, h, w, out_pitch]
  float* sums;        // [items][few_gradient()]
  int64_t items;
};

inline int64_t few_line(int64_t w, int64_t channels) { return (w + kMaxTileRows + 2) * channels; }
inline int64_t few_gradient(int64_t channels, int64_t columns) {
  return (round_up(kTaps3 * channels, 4) + kMaxTileRows) * columns;
}

// One pass over the planes, the sums or both; `scratch` belongs to the calling thread.
using Conv3x3Pass = void(const Conv3x3&, float* scratch);

}  // namespace ganzoo
