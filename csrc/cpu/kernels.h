// What the compiled kernels are asked to do. Plain pointers, no torch: the same sources run under the sanitizers.
//
// Images are NHWC. A "small" image is [n, h, w, cs], a "big" one [n, H, W, cb] with H in {2h, 2h + 1}, W likewise, and
// a weight is (cs, cb, 4, 4): the layout of ConvTranspose2d (small -> big) and of Conv2d (big -> small) alike.
#pragma once
#include <cstdint>

#include "winograd.h"

namespace ganzoo {

constexpr int kBlock = 32;       // output channels of one packed weight panel, whatever the instruction set
constexpr int kTaps = 16;        // 4 x 4
constexpr int kRowChunk = 8;     // rows of one work item
constexpr int kGroup = 24;       // images of one work item: a multiple of every register tile (8, 6, 4)
constexpr int kPairs = 256;      // pixel pairs of one step of the weight gradient: its panel of 32 channels fits L1
constexpr int kPitch = kPairs + 2;  // from panel to panel: not a power of two, or they would meet in one set of the L1
constexpr int kGradPixels = 1024; // small pixels that every tap passes over before the next ones: they stay in the caches
constexpr int kGradRows = 128;   // small channels of one work item of the weight gradient
constexpr int kGradTile = 8;     // small channels of one register tile of the weight gradient
constexpr int kGradPack = 16;    // small channels that lie side by side: two register tiles, and a whole vector
constexpr int kGradientRows = 64;   // small channels of one work item of Winograd's weight gradient
constexpr int kPackRows = 16;    // input channels that are packed together
constexpr int kProductRows = 24; // rows of a work item of a matrix product: whole register tiles
constexpr int kBlockRows = 48;   // of so many at most a block is made: whole transposed blocks, too
constexpr int kGroupRows = 24;   // rows that are packed together where a product reads its left matrix by columns
constexpr int kNarrow = 4;       // channels of a big image up to which its layer has kernels of its own
constexpr int kMostPixels = 8;   // of a register tile of these
constexpr int kGradientLines = 18;  // of the big image that the weight gradient of these has at a time
constexpr int kPixelChunk = 256; // pixels of one work item of the passes over channels

// The pixels (i * step_out + a, j * step_out + b), i < rows, j < cols, of the output, each the sum over `taps` of the
// input's pixel (i * step_in + dh, j * step_in + dw) times the weight of that tap.
struct Class {
  int a, b, taps;
  int64_t rows, cols;
  int dh[kTaps], dw[kTaps], kernel[kTaps];  // kernel: kh * 4 + kw
};

struct Convolution {
  const float *x, *packed, *zeros;  // zeros: cin of them, read where a tap leaves the image
  const float *scale, *shift;       // out = act(scale * sum + shift); scale may be null (1)
  float* out;
  float *mean, *m2;  // of each item, [items, kBlock], or null
  float slope;       // act(v) = v > 0 ? v : slope * v; 1 is the identity
  int64_t n, h, w, cin, out_h, out_w, cout;
  int step_in, step_out, classes;
  Class cls[4];
  int64_t blocks, groups, chunks;  // items = blocks * classes * groups * chunks, the last innermost
};

struct Packing {
  const float* weight;
  int64_t in, out, row, col;  // its strides: input channel, output channel, row and column of the kernel
  int64_t cin, cout;
  int place[kTaps];  // where each tap comes
  float* packed;
};

struct Gradient {
  const float *small, *big;
  float* out;  // (cs, 4, 4, cb)
  int64_t n, h, w, H, W, cs, cb;
};

struct Norm {
  const float *y, *grad;             // [pixels, c]; grad: backward only
  const float *a, *b;                // out = act(a * y + b)
  const float *mean, *slope_of_mean, *slope_of_dev;  // backward: dy = a g - slope_of_mean - slope_of_dev (y - mean)
  float* out;
  float *first, *second;  // partial results of each chunk of pixels, [chunks, c]
  float slope;
  int64_t pixels, c;
};

struct Activation {
  bool tanh;    // or else
  float slope;  // v > 0 ? v : slope * v
};

// A layer whose big image has 1 to kNarrow channels. `up` and `down`: out = act(sum + shift). With `activated`, the
// results of act in a forward pass, the input is a gradient of them: it is multiplied by act's derivative, and out is
// the sum alone. The weight gradient: that gradient is `big` or `small`; out is [items] of floats_of_sums.
struct Narrow {
  const float *small, *big, *weight, *shift, *activated;
  Activation act;
  bool of_big;  // the weight gradient: whether `activated` and the bias belong to the big image
  float* out;
  int64_t n, h, w, cs, H, W;
  int cb;
  int64_t stride;         // cs in whole vectors: from row to row of `weight`, [16 cb][stride], in `down`, and of the sums
  int64_t chunks, rows;   // `up` and `down`: an item is `rows` small rows of an image, which has `chunks` of them
  int64_t items;          // the weight gradient: an item is some images, `rows` small rows at a time
};

// The element (i, j) is values[i * row + j * column].
struct Matrix {
  const float* values;
  int64_t row, column;
};

// c [m, n] = a [m, k] b [k, n] + bias
struct Product {
  Matrix a, b;
  int64_t group, group_stride;  // row i of a is at i / group * group_stride + i % group * a.row
  const float* panels;          // b as [n / 32][k][32], or null: then the kernel packs what it needs
  const float* bias;            // along n, with room for whole panels; or null
  float* c;
  int64_t stride;  // of c's rows, or, where `transposed`, of its columns; the other stride is 1
  bool transposed; // then the bias is along m
  int64_t m, n, k;
};

// A pass over the images that one thread has to itself.
using WinogradPass = void(const Winograd&, float* scratch);

// The kernels of one instruction set; begin and end are ranges of work items.
struct Kernels {
  const char* name;
  void (*convolve)(const Convolution&, int64_t begin, int64_t end);
  void (*pack)(const Packing&, int64_t begin, int64_t end);
  void (*weight_gradient)(const Gradient&, int64_t begin, int64_t end, float* scratch);
  WinogradPass *scatter_small, *scatter_big, *gather_small, *gather_big, *multiply_up, *multiply_down, *multiply_gradient;
  void (*statistics)(const Norm&, int64_t begin, int64_t end);       // first: means, second: sums of squared deviations
  void (*norm_act)(const Norm&, int64_t begin, int64_t end);         // out = act(a y + b)
  void (*norm_act_sums)(const Norm&, int64_t begin, int64_t end);    // first: sums of g, second: of g (y - mean)
  void (*norm_act_backward)(const Norm&, int64_t begin, int64_t end);
  void (*pack_panel)(const Matrix& b, int64_t k, int64_t n, int64_t panel, float* to);
  void (*multiply)(const Product&, int64_t begin, int64_t end, float* scratch);
  void (*narrow_up)(const Narrow&, int64_t begin, int64_t end, float* scratch);
  void (*narrow_down)(const Narrow&, int64_t begin, int64_t end, float* scratch);
  void (*narrow_gradient)(const Narrow&, int64_t begin, int64_t end, float* scratch);
  double (*fma_loop)(int64_t rounds);  // floating-point operations done in registers: the peak to compare with
};

extern const Kernels kGeneric;
#if defined(__x86_64__)
extern const Kernels kAvx2, kAvx512;
#endif

const Kernels& kernels();             // those in use: the best this machine has, or the chosen ones
bool choose(const char* name);        // false where this machine cannot run them

inline int64_t floats_of_gradient_scratch(int64_t cb) {
  return kPitch * (kGradRows + (cb + kBlock - 1) / kBlock * kBlock);
}

// A row of a big image of w small pixels' width, with room on both sides, in whole vectors.
inline int64_t floats_of_line(int64_t w, int64_t cb) { return (2 * (w + kMostPixels) + 4 + 15) / 16 * 16 * cb; }
// The weight gradient of an item, [16 cb][stride], and its bias: [stride], or of the big image 16 times its channels.
inline int64_t floats_of_sums(int64_t cb, int64_t stride) { return 16 * cb * stride + (stride > 64 ? stride : 64); }

}  // namespace ganzoo
