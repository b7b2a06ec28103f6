// The transposed convolution to a big image with few channels. The big pixels (2 i - 1, 2 j - 1) to (2 i, 2 j) are sums
// over the same four small pixels, (i - 1, j - 1) to (i, j). So rows of the product are such positions (i, j), i <= h,
// j <= w, columns the 4 C numbers of the four big pixels, and k runs over four taps and the small channels.
#pragma once
#include <cstdint>

#include "few_channels.cuh"
#include "few_channels.h"
#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

// Tiles of positions, of one image each. In shared memory a tile has one row and one column of small pixels more, and a
// position is numbered like its upper left pixel: one of a row is not a position, and its sums are not stored.
struct PositionTiles {
  int height, width;    // in positions
  int pitch, pixels;    // of the small pixels in shared memory
  int chunks, bytes;    // of a small pixel; an odd number of chunks apart, so that ldmatrix has no bank conflicts
  int staged;           // numbers from one line of the staged result to the next
  int count, of_row;
  Divisor by_image, by_row, by_chunks, by_pitch, by_staged;  // by_staged: chunks of a line of the result
};

constexpr int kTileBytes = 27 * 1024, kMaxPositions = 34;  // of a tile; of one of its rows

inline PositionTiles position_tiles_of(const FewChannels& s) {
  PositionTiles t = {};
  t.chunks = s.cs / 8, t.bytes = 16 * (t.chunks + 1);  // cs is a multiple of 16
  // with 7 KB for the result, three tiles and the weight fit into the shared memory of every GPU
  const int fit = min(kTileBytes, (92 * 1024 - s.cs * 128) / 3) / t.bytes;
  const int columns = ceil_div(s.w + 1, min(kMaxPositions, (fit - 16) / 2 - 1));
  t.width = ceil_div(s.w + 1, columns), t.pitch = t.width + 1;
  const int rows = ceil_div(s.h + 1, max(1, min(kThreads / 2, fit - 16 - t.pitch) / t.pitch));
  t.height = ceil_div(s.h + 1, rows);
  t.pixels = round_up(t.height * t.pitch, 16) + t.pitch + 1;
  t.staged = round_up(2 * t.width * s.cb + 8, 8);
  t.of_row = ceil_div(s.w + 1, t.width);
  const int of_image = t.of_row * ceil_div(s.h + 1, t.height);
  t.count = s.n * of_image;
  t.by_image = divisor(of_image), t.by_row = divisor(t.of_row), t.by_chunks = divisor(t.chunks),
  t.by_pitch = divisor(t.pitch), t.by_staged = divisor(t.staged / 8);
  return t;
}

template <class T>
struct TransposedArguments {
  FewChannels s;
  PositionTiles tiles;
  const T *small, *leaky_out;
  float leaky_slope;
  Weight weight;
  FewEpilogue e;
  T* big;
  bool in_chunks;
};

template <int C>
constexpr int kColumnsOfFour = (4 * C + 7) / 8;  // fragments of 8 columns for four big pixels

template <int C>
int transposed_bytes(const FewChannels& s, const PositionTiles& t, bool derivative) {
  return s.cs * 4 * kColumnsOfFour<C> * 8 * 2 + (derivative ? 3 : 2) * t.pixels * t.bytes + 2 * t.height * t.staged * 2;
}

// Puts the weight in the order in which fragments hold it: [step][fragment][lane][4], step = tap * (cs / 16) + 16
// channels. Columns that are not there are zeros.
template <class T, int C>
__device__ __forceinline__ void stage_weights(const Weight& weight, int cs, T* to) {
  constexpr int kFragments = kColumnsOfFour<C>;
  if constexpr (C % 2 != 0) {
    for (int i = threadIdx.x; i < cs * 4 * kFragments * 8; i += kThreads) to[i] = from_float<T>(0);
    __syncthreads();
  }
  for_weights<T, C>(weight, 0, cs, [&](int channel, int c, int kh, int kw, float value) {
    // big row 2 i - 1 + a takes kernel row 2 + a of small row i - 1 and a of small row i
    const int tap = (1 - kh / 2) * 2 + 1 - kw / 2, col = (kh % 2) * 2 * C + (kw % 2) * C + c, k = channel % 16;
    const int step = tap * (cs / 16) + channel / 16, lane = col % 8 * 4 + k % 8 / 2;
    to[((step * kFragments + col / 8) * 32 + lane) * 4 + k / 8 * 2 + k % 2] = from_float<T>(value);
  });
}

// kSteps: steps of k, if the weight's fragments stay in registers; or 0.
template <class T, int C, int kSteps>
__global__ void __launch_bounds__(kThreads, 2) transposed(const __grid_constant__ TransposedArguments<T> p) {
  constexpr int kFragments = kColumnsOfFour<C>;
  const PositionTiles& tiles = p.tiles;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int chunks = kSteps ? kSteps / 2 : tiles.chunks, bytes = kSteps ? 16 * (kSteps / 2 + 1) : tiles.bytes;
  const int pixel_bytes = tiles.pixels * bytes, steps_of_tap = kSteps ? kSteps / 4 : p.s.cs / 16;
  T* weights = reinterpret_cast<T*>(shared_memory());
  char* pixels = shared_memory() + p.s.cs * 4 * kFragments * 8 * 2;
  T* staged = reinterpret_cast<T*>(pixels + 2 * pixel_bytes);
  char* forward = reinterpret_cast<char*>(staged + 2 * tiles.height * tiles.staged);

  struct Origin {
    int image, row, col, height, width;
  };
  const auto origin_of = [&](int tile) {
    const int image = quotient(tile, tiles.by_image), rest = tile - image * static_cast<int>(tiles.by_image.value),
              row = quotient(rest, tiles.by_row), top = row * tiles.height,
              left = (rest - row * tiles.of_row) * tiles.width;
    return Origin{image, top, left, min(tiles.height, p.s.h + 1 - top), min(tiles.width, p.s.w + 1 - left)};
  };
  // Calls body(chunk's place in shared memory, its offset in the image, whether it is inside) for the thread's chunks of a
  // tile.
  const auto for_chunks = [&](const Origin& o, const auto& body) {
    const int first = (o.image * p.s.h + o.row - 1) * p.s.w + o.col - 1;
#pragma unroll 2
    for (int id = threadIdx.x; id < (o.height + 1) * tiles.pitch * chunks; id += kThreads) {
      const int pixel = kSteps ? id / (kSteps ? kSteps / 2 : 1) : quotient(id, tiles.by_chunks), chunk = id - pixel * chunks,
                line = quotient(pixel, tiles.by_pitch), col = pixel - line * tiles.pitch;
      const bool inside = static_cast<unsigned>(o.row - 1 + line) < static_cast<unsigned>(p.s.h) &&
                          static_cast<unsigned>(o.col - 1 + col) < static_cast<unsigned>(p.s.w);
      const int at = inside ? first + line * p.s.w + col : 0;
      body(pixel * bytes + chunk * 16, static_cast<int64_t>(at) * (chunks * 8) + chunk * 8, inside);
    }
  };
  const auto copy = [&](int tile, char* to) {
    for_chunks(origin_of(tile), [&](int place, int64_t at, bool inside) {
      copy_async(to + place, p.small + at, inside);
      if (p.leaky_out) copy_async(forward + place, p.leaky_out + at, inside);
    });
    commit_copies();
  };

  copy(blockIdx.x, pixels);
  stage_weights<T, C>(p.weight, p.s.cs, weights);
  __syncthreads();
  const auto weight = [&](int step, int n) {
    return *reinterpret_cast<const TwoWords*>(weights + ((step * kFragments + n) * 32 + lane) * 4);
  };
  TwoWords kept[kSteps ? kSteps : 1][kFragments];
  if constexpr (kSteps != 0) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
#pragma unroll
      for (int n = 0; n < kFragments; ++n) kept[step][n] = weight(step, n);
  }
  float scale[kFragments][2], shift[kFragments][2];
#pragma unroll
  for (int n = 0; n < kFragments; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int c = (n * 8 + 2 * t + e) % C;
      scale[n][e] = p.e.scale ? p.e.scale[c] : 1.0f, shift[n][e] = p.e.shift ? p.e.shift[c] : 0.0f;
    }

  int buffer = 0;
  for (int tile = blockIdx.x; tile < tiles.count; tile += gridDim.x, buffer ^= 1) {
    const Origin o = origin_of(tile);
    char* now = pixels + buffer * pixel_bytes;
    wait_for_copies<0>();
    if (p.leaky_out)  // every thread multiplies what it copied itself
      for_chunks(o, [&](int place, int64_t, bool) {
        Words v = *reinterpret_cast<const Words*>(now + place);
        const Words f = *reinterpret_cast<const Words*>(forward + place);
#pragma unroll
        for (int e = 0; e < 4; ++e) v.w[e] = leaky_relu_gradient<T>(v.w[e], f.w[e], p.leaky_slope);
        *reinterpret_cast<Words*>(now + place) = v;
      });
    __syncthreads();  // the tile is there, and the other buffer and the staged result are free
    if (tile + static_cast<int>(gridDim.x) < tiles.count) copy(tile + gridDim.x, pixels + (buffer ^ 1) * pixel_bytes);

    // numbers of a line of the result, and the place of its first in the staged line: 16-byte chunks lie as in memory
    const int first = (2 * o.col - 1) * C, last = p.s.W * C, pad = (first + 8) & 7;
    for (int m0 = warp * 16; m0 < o.height * tiles.pitch; m0 += kThreads / 2) {
      float part[2][kFragments][4] = {};  // of two taps each: more sums at a time, to overlap their latency
      const char* row = now + (m0 + (lane & 15)) * bytes + (lane >> 4) * 16;
      const auto step_of = [&](int tap, int i, const auto& b) {
        uint32_t a[4];
        load_matrices(a, row + ((tap >> 1) * tiles.pitch + (tap & 1)) * bytes + i * 32);
#pragma unroll
        for (int n = 0; n < kFragments; ++n) {
          const TwoWords w = b(tap * steps_of_tap + i, n);
          multiply_add<T>(part[tap & 1][n], a, w.w);
        }
      };
      if constexpr (kSteps != 0) {
#pragma unroll
        for (int i = 0; i < kSteps / 4; ++i)
#pragma unroll
          for (int tap = 0; tap < 4; ++tap) step_of(tap, i, [&](int step, int n) { return kept[step][n]; });
      } else {
#pragma unroll 2
        for (int i = 0; i < steps_of_tap; ++i)
#pragma unroll
          for (int tap = 0; tap < 4; ++tap) step_of(tap, i, weight);
      }
      float sum[kFragments][4];
#pragma unroll
      for (int n = 0; n < kFragments; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float v = scale[n][e % 2] * (part[0][n][e] + part[1][n][e]) + shift[n][e % 2];
          sum[n][e] = p.e.tanh ? tanhf(v) : v;
        }
      if (!p.e.tanh) leaky_relu(sum, p.e.slope);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int m = m0 + g + half * 8, line = quotient(m, tiles.by_pitch), col = m - line * tiles.pitch;
        if (line >= o.height || col >= o.width) continue;
#pragma unroll
        for (int n = 0; n < kFragments; ++n) {
          const int column = n * 8 + 2 * t, a = column / (2 * C);  // two columns of one line
          if (column >= 4 * C) continue;
          T* to = staged + (2 * line + a) * tiles.staged + pad + 2 * C * col + column - a * 2 * C;
          to[0] = from_float<T>(sum[n][2 * half]), to[1] = from_float<T>(sum[n][2 * half + 1]);
        }
      }
    }
    __syncthreads();

    const int begin = max(first, 0), end = min(last, first + 2 * o.width * C), staged_chunks = tiles.staged / 8;
    const int top = 2 * o.row - 1;
    for (int id = threadIdx.x; id < 2 * o.height * staged_chunks; id += kThreads) {
      const int line = quotient(id, tiles.by_staged), place = (id - line * staged_chunks) * 8, at = first - pad + place, row = top + line;
      if (row < 0 || row >= p.s.H || at >= end || at + 8 <= begin) continue;
      const T* from = staged + line * tiles.staged + place;
      T* to = p.big + static_cast<int64_t>(o.image * p.s.H + row) * last + at;
      if (p.in_chunks && at >= begin && at + 8 <= end) {
        *reinterpret_cast<Words*>(to) = *reinterpret_cast<const Words*>(from);
      } else {
#pragma unroll
        for (int e = 0; e < 8; ++e)
          if (at + e >= begin && at + e < end) to[e] = from[e];
      }
    }
  }
}

}  // namespace ganzoo::cuda
