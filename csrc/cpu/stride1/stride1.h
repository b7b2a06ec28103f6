// Winograd's schemes F(4, 3) and F(4, 4) for convolutions with kernel 3 or 4 and stride 1.
//
// Along one axis the outputs y0 ... are cut into tiles of 4, each of which is a filter with the taps w over 6 inputs for
// kernel 3, over 7 for kernel 4. It takes as many products instead of 12 or 16, one for each point p: 0, a, -a, b, -b and
// infinity for kernel 3, 0, a, -a, b, -b, c, -c for kernel 4:
//
//   forward:          y = A' [(B x) * (G w)]       * is the product, A' the transpose of A
//   weight gradient:  w = G' [(B x) * (A y)]
//
// A row of A or G holds the powers of its point, one of B the coefficients of the polynomial that is 0 at the other
// points; G also divides by the value of that polynomial at its own point. The input gradient is a forward pass with
// the kernel reversed and kernel - 2 pixels of padding. The transform in two dimensions is that of the rows followed by
// that of the columns: 36 products for 16 outputs, where the sum takes 144, and 49 instead of 256. What a tile reads
// outside of the image is 0, and what it computes outside is not stored.
//
// With a = 5/8 and b = 3/2 the largest error of kernel 3 is a quarter of that of the usual points 1, -1, 2, -2; the points
// of kernel 4 were found by the same search. PatchGAN's images of 2^k pixels become 2^k - 1, which tiles of 4 fill.
#pragma once
#include <cstdint>

#include "../api.h"
#include "../blocking.h"
#include "../winograd/winograd.h"

namespace ganzoo {

constexpr int kTile = 4;  // outputs of a tile along an axis
constexpr int kTaps3 = 9;
constexpr int tile_points(int kernel) { return kernel + kTile - 1; }  // products of a tile along an axis
constexpr int tile_products(int kernel) { return tile_points(kernel) * tile_points(kernel); }

// What one thread computes alone: some lines (rows of tiles of an image) of the batch, and some output channels.
struct Stride1 {
  int64_t h, w, out_h, out_w, padding;    // pixels of an image and of the output
  int64_t tile_rows, tile_columns;        // of the output
  int64_t first, lines;                   // line number image * tile_rows + row
  int64_t cin, cout;                      // channels to compute
  int64_t in_pitch, out_pitch;            // from pixel to pixel: all channels
  const float* x;                         // [n, h, w, in_pitch]
  const float* grad;                      // of the output, [n, out_h, out_w, out_pitch]; weight gradient
  float* out;                             // [n, out_h, out_w, out_pitch]
  // Transformed images, [channel / kSlice][point of the row][point of the column][pitch: line, tile][kSlice].
  Values planes, sums;
  int64_t pitch;
  const float* panels;             // G w, [block][products of a tile][padded(cin)][kBlock]
  const float *scale, *shift;      // out = act(scale * sum + shift + residual); null: 1, 0 and 0
  const float* residual;           // [n, out_h, out_w, out_pitch]
  float slope;
  float *mean, *m2;                // [cout] of this item's pixels, or null
  // Weight gradient, [cout][taps][gradient_pitch]; products are [cout / kProductRows][cin / kBlock][products of a tile]
  // [kProductRows][kBlock].
  float *products, *gradient;
  int64_t gradient_pitch;
  bool is_first, is_last;  // whether these are the first (last) lines

  int64_t rows() const { return lines * tile_columns; }
};

// An item is a block of kBlock outputs and kSlice input channels.
struct Stride1Packing {
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
using Stride1Pass = void(const Stride1&, float* scratch);

// The passes for one kernel.
struct Stride1Kernels {
  void (*pack)(const Stride1Packing&, int64_t begin, int64_t end);
  Stride1Pass *scatter_input, *scatter_gradient, *gather, *multiply, *multiply_gradient, *join_gradient;
};

}  // namespace ganzoo
