// Index arithmetic of the kernels, the same on host and device, without pointers.
//
// Images are NHWC. A "small" image is [n, h, w, cs], a "big" one [n, H, W, cb] with H in {2h, 2h + 1}, W likewise, and
// a weight is (cs, cb, 4, 4), as in cpu/api.h. Each operation is a matrix product C[m][n] = sum over k of A[m][k]
// B[k][n] whose A is never stored: its rows are pixels, and these functions compute the pixel of row m.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define GANZOO_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define GANZOO_HOST_DEVICE inline
#endif

namespace ganzoo::cuda {

constexpr int kTileM = 128;       // rows of one block's tile, which has 128 or 64 columns
constexpr int kStageBytes = 128;  // along k in one stage of the pipeline: 64 numbers of 16 bits, or 32 of 32 bits
constexpr int kThreads = 256;     // of one block

// Division of x < 2^31 by a number known on the host: a multiplication and a shift (Granlund, Montgomery 1994).
struct Divisor {
  uint32_t value, multiplier, shift;
};

inline Divisor divisor(uint32_t value) {
  uint32_t log = 0;
  while ((uint64_t{1} << log) < value) ++log;
  if (log == 0) return {1, 0, 0};
  const uint32_t power = 31 + log;
  return {value, static_cast<uint32_t>(((uint64_t{1} << power) + value - 1) / value), power - 32};
}

GANZOO_HOST_DEVICE int quotient(int x, const Divisor& d) {
  if (d.multiplier == 0) return x;
#ifdef __CUDA_ARCH__
  return static_cast<int>(__umulhi(static_cast<uint32_t>(x), d.multiplier) >> d.shift);
#else
  return static_cast<int>((uint64_t{static_cast<uint32_t>(x)} * d.multiplier >> 32) >> d.shift);
#endif
}

GANZOO_HOST_DEVICE int ceil_div(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }
GANZOO_HOST_DEVICE int min(int a, int b) { return a < b ? a : b; }
GANZOO_HOST_DEVICE int max(int a, int b) { return a > b ? a : b; }

// ---- the two convolutions -------------------------------------------------------------------------------------------

// up (small -> big, the transposed convolution): four 2 x 2 convolutions, one for each phase, that is, parity of the
// output's row and column; down (big -> small): a single phase of 4 x 4. Rows of the product are the output pixels of a
// phase, the image innermost: a tile is one pixel, or a few, of many images, so a tap outside the image is usually
// outside for the whole tile, and is skipped.
struct Convolution {
  bool up;
  int n, h, w, cin, out_h, out_w, cout;
  Divisor by_n, by_cin, by_cols[2];  // by_cols: columns of a phase with b = 0 and with b = 1
};

inline Convolution convolution(bool up, int n, int h, int w, int cin, int out_h, int out_w, int cout) {
  const uint32_t even = up ? (out_w + 1) / 2 : out_w, odd = up ? out_w / 2 : out_w;
  return {up, n, h, w, cin, out_h, out_w, cout, divisor(n), divisor(cin), {divisor(even), divisor(odd ? odd : 1)}};
}

struct Phase {
  int a, b, rows, cols;  // the output pixels (2 i + a, 2 j + b) if up, otherwise (i, j), i < rows, j < cols
};

struct Tap {
  int dh, dw, kernel;  // reads the input pixel (step i + dh, step j + dw) and kernel element (kernel / 4, kernel % 4)
};

struct Place {
  int image, row, col;
};

GANZOO_HOST_DEVICE int phase_count(const Convolution& f) { return f.up ? 4 : 1; }
GANZOO_HOST_DEVICE int taps(const Convolution& f) { return f.up ? 4 : 16; }
GANZOO_HOST_DEVICE int step_in(const Convolution& f) { return f.up ? 1 : 2; }

GANZOO_HOST_DEVICE Phase phase_of(const Convolution& f, int index) {
  const int a = index >> 1, b = index & 1;
  return {a, b, f.up ? (f.out_h + 1 - a) / 2 : f.out_h, f.up ? (f.out_w + 1 - b) / 2 : f.out_w};
}

// up: output row r takes kernel row kh of input row i if r = 2 i - 1 + kh; down: of input row 2 r - 1 + kh.
GANZOO_HOST_DEVICE Tap tap_of(const Convolution& f, const Phase& k, int tap) {
  if (!f.up) return {(tap >> 2) - 1, (tap & 3) - 1, tap};
  const int dh = tap >> 1 ? 2 * k.a - 1 : 0, dw = tap & 1 ? 2 * k.b - 1 : 0;
  return {dh, dw, (k.a + 1 - 2 * dh) * 4 + k.b + 1 - 2 * dw};
}

// The inverse: the phase and the tap of a kernel element.
struct TapOfPhase {
  int phase, tap;
};

GANZOO_HOST_DEVICE TapOfPhase tap_of_kernel(const Convolution& f, int kernel) {
  if (!f.up) return {0, kernel};
  const int kh = kernel >> 2, kw = kernel & 3;
  return {(kh & 1 ? 0 : 2) + (kw & 1 ? 0 : 1), (kh == 0 || kh == 3 ? 2 : 0) + (kw == 0 || kw == 3 ? 1 : 0)};
}

GANZOO_HOST_DEVICE int rows_of_product(const Convolution& f, const Phase& k) { return k.rows * k.cols * f.n; }
GANZOO_HOST_DEVICE int tiles_of_phase(const Convolution& f, int tile_rows = kTileM) {
  return ceil_div(rows_of_product(f, phase_of(f, 0)), tile_rows);
}

// Rows of tile number `tile` of phase `k`; phase 0 is the largest, so others may have fewer tiles.
GANZOO_HOST_DEVICE int rows_of_tile(const Convolution& f, const Phase& k, int tile, int tile_rows = kTileM) {
  return max(0, min(tile_rows, rows_of_product(f, k) - tile * tile_rows));
}

GANZOO_HOST_DEVICE Place place_of(const Convolution& f, const Phase& k, int m) {
  const int pixel = quotient(m, f.by_n), row = quotient(pixel, f.by_cols[k.b]);
  return {m - pixel * f.n, row, pixel - row * k.cols};
}

GANZOO_HOST_DEVICE bool inside(const Convolution& f, int row, int col) {
  return static_cast<unsigned>(row) < static_cast<unsigned>(f.h) &&
         static_cast<unsigned>(col) < static_cast<unsigned>(f.w);
}

// Index of the input pixel at position `p`; a tap adds dh * w + dw.
GANZOO_HOST_DEVICE int input_pixel(const Convolution& f, const Place& p) {
  return (p.image * f.h + p.row * step_in(f)) * f.w + p.col * step_in(f);
}

GANZOO_HOST_DEVICE int output_pixel(const Convolution& f, const Phase& k, const Place& p) {
  return f.up ? (p.image * f.out_h + 2 * p.row + k.a) * f.out_w + 2 * p.col + k.b
              : (p.image * f.out_h + p.row) * f.out_w + p.col;
}

// The taps that are inside the image for any of the rows first .. last, in four bits each, lowest first.
struct Taps {
  uint64_t list;
  int count;
};

GANZOO_HOST_DEVICE int tap_number(const Taps& t, int slot) { return static_cast<int>(t.list >> (4 * slot)) & 15; }

GANZOO_HOST_DEVICE Taps active_taps(const Convolution& f, const Phase& k, int first, int last) {
  constexpr int kMaxPixels = 8;  // a tile of more pixels than this takes every tap
  const int from = quotient(first, f.by_n), to = quotient(last, f.by_n);
  Taps active = {0, 0};
  for (int t = 0; t < taps(f); ++t) {
    const Tap tap = tap_of(f, k, t);
    bool any = to - from >= kMaxPixels;
    for (int pixel = from; pixel <= to && !any; ++pixel) {
      const int row = quotient(pixel, f.by_cols[k.b]), col = pixel - row * k.cols;
      any = inside(f, row * step_in(f) + tap.dh, col * step_in(f) + tap.dw);
    }
    if (any) active.list |= static_cast<uint64_t>(t) << (4 * active.count++);
  }
  return active;
}

// Packed weights are B: [phase][cout][pitch], element tap * cin + c of a row; rows start at multiples of 16 bytes.
GANZOO_HOST_DEVICE int pitch_of_packed(const Convolution& f, int vector) {
  return ceil_div(taps(f) * f.cin, vector) * vector;
}

// ---- the weight gradient --------------------------------------------------------------------------------------------

// C[small channel][tap * cb + big channel] = sum over the small pixels, k, of small[k] x big[the pixel of k under tap].
// The pixels are divided into `splits` parts, which are added in order.
struct Gradient {
  int n, h, w, cs, H, W, cb;
  Divisor by_n, by_w, by_cb;
};

inline Gradient gradient(int n, int h, int w, int cs, int H, int W, int cb) {
  return {n, h, w, cs, H, W, cb, divisor(n), divisor(w), divisor(cb)};
}

GANZOO_HOST_DEVICE int pixels_of(const Gradient& g) { return g.n * g.h * g.w; }

GANZOO_HOST_DEVICE Place place_of(const Gradient& g, int k) {
  const int pixel = quotient(k, g.by_n), row = quotient(pixel, g.by_w);
  return {k - pixel * g.n, row, pixel - row * g.w};
}

GANZOO_HOST_DEVICE int small_pixel(const Gradient& g, const Place& p) { return (p.image * g.h + p.row) * g.w + p.col; }

// The big pixel under `tap` of small pixel `p`, or -1 in the padding.
GANZOO_HOST_DEVICE int big_pixel(const Gradient& g, const Place& p, int tap) {
  const int row = 2 * p.row - 1 + (tap >> 2), col = 2 * p.col - 1 + (tap & 3);
  const bool in = static_cast<unsigned>(row) < static_cast<unsigned>(g.H) &&
                  static_cast<unsigned>(col) < static_cast<unsigned>(g.W);
  return in ? (p.image * g.H + row) * g.W + col : -1;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

// The position of 16-byte chunk `chunk` of row `row`, permuted so that the eight rows that ldmatrix reads at once are
// in eight different groups of banks. `words`: 32-bit numbers stored k by k, which are read four rows by eight columns.
GANZOO_HOST_DEVICE int swizzled(int row, int chunk, int chunks_of_row, bool words) {
  return row * chunks_of_row + (chunk ^ (words ? (row & 3) << 1 : row & 7));
}

// 16 bytes, loaded and stored at once.
template <class T>
struct alignas(16) Chunk {
  T values[16 / sizeof(T)];
};

}  // namespace ganzoo::cuda
