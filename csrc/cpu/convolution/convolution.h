// Arguments of the direct convolution kernels.
//
// One kernel serves both directions. A transposed convolution (small -> big) is computed as four convolutions with 2 x
// 2 kernels, one for each phase, that is, parity of the output's row and column (the polyphase decomposition); a
// strided one (big -> small) has a single phase of 4 x 4 taps.
#pragma once
#include <cstdint>

#include "../blocking.h"

namespace ganzoo {

constexpr int kRowChunk = 8;  // rows of one work item
constexpr int kGroup = 24;    // images of one work item: a multiple of every kTileRows (8, 6, 4)
constexpr int kPackRows = 16; // input channels packed by one work item

// The weight gradient gathers the pixel pairs that a tap connects and multiplies them as matrices.
constexpr int kPairs = 256;         // pixel pairs multiplied at once: a panel of 32 channels of them fits the L1 cache
constexpr int kPitch = kPairs + 2;  // between panels: a power of two would map them to the same set of the L1 cache
constexpr int kGradPixels = 1024;   // small pixels that all taps visit before the next ones: they stay in the caches
constexpr int kGradRows = 128;      // small channels of one work item
constexpr int kGradTile = 8;        // small channels of one register tile
constexpr int kGradPack = 16;       // small channels stored side by side: two register tiles, and whole vectors

// The output pixels (i * output_step + row, j * output_step + column), i < rows, j < columns. Each is the sum over the
// taps of the input pixel (i * input_step + dh, j * input_step + dw) times that tap's weight.
struct Phase {
  int row, column, taps;
  int64_t rows, columns;
  int dh[kTaps], dw[kTaps], kernel[kTaps];  // kernel: kernel row * 4 + kernel column
};

struct Convolution {
  const float *x, *packed, *zeros;  // zeros: cin of them, read where a tap is outside the image
  const float *scale, *shift;       // out = act(scale * sum + shift); null: 1 and 0
  float* out;
  float *mean, *m2;  // of each item's outputs, [items][kBlock], or null; m2: the sum of squared deviations
  float slope;       // act(v) = v > 0 ? v : slope * v; 1 is the identity
  int64_t n, h, w, cin, out_h, out_w, cout;
  int input_step, output_step, phase_count;
  Phase phases[4];
  int64_t blocks, groups, chunks;  // items = blocks * phase_count * groups * chunks, chunks innermost
};

// An item is a block of kBlock outputs and kPackRows input channels.
struct WeightPacking {
  const float* weight;
  int64_t in, out, row, column;  // its strides: input channel, output channel, row and column of the kernel
  int64_t cin, cout;
  int place[kTaps];  // index in `packed` of each tap of the kernel
  float* packed;     // [block][kTaps][cin][kBlock]
};

// An item is one tap and kGradRows small channels.
struct WeightGradient {
  const float *small, *big;
  float* out;  // (cs, 4, 4, cb)
  int64_t n, h, w, H, W, cs, cb;
};

inline int64_t weight_gradient_scratch_size(int64_t cb) { return kPitch * (kGradRows + round_up(cb, kBlock)); }

}  // namespace ganzoo
