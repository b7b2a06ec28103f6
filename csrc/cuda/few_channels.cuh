// What the kernels for a big image of few channels share: tiles of small pixels, and the patch of the big image that a
// tile needs, in shared memory.
//
// A small pixel meets 4 x 4 big pixels. Of each of the four lines, these are 4 C consecutive numbers in NHWC, so k is
// ordered as in memory: k = kh (4 C) + kw C + c, 16 C altogether, which fills steps of 16 without padding.
#pragma once
#include <cstdint>

#include "few_channels.h"
#include "indexing.h"
#include "ptx.h"

namespace ganzoo::cuda {

constexpr int kPatchPixels = 128;  // small pixels of a tile
constexpr int kSlice = 64;         // small channels that a block computes

GANZOO_HOST_DEVICE int round_up(int value, int step) { return (value + step - 1) / step * step; }

// Memory that is read in other units than it was written.
using Word = uint32_t __attribute__((may_alias));
struct [[gnu::may_alias]] alignas(16) Words {
  uint32_t w[4];
};
struct [[gnu::may_alias]] alignas(8) TwoWords {
  uint32_t w[2];
};

template <class T>
__device__ __forceinline__ float2 unpack_pair(uint32_t word) {
  struct [[gnu::may_alias]] alignas(4) Pair {
    T low, high;
  };
  const Pair pair = *reinterpret_cast<const Pair*>(&word);
  return make_float2(to_float(pair.low), to_float(pair.high));
}

__device__ __forceinline__ float leaky_relu(float v, float slope) { return v > 0 ? v : slope == 0 && v < 0 ? 0 : slope * v; }

template <int kCount>
__device__ __forceinline__ void leaky_relu(float (&v)[kCount][4], float slope) {
  if (slope > 0 && slope <= 1) {
#pragma unroll
    for (int i = 0; i < 4 * kCount; ++i) v[i / 4][i % 4] = fmaxf(v[i / 4][i % 4], slope * v[i / 4][i % 4]);
  } else {
#pragma unroll
    for (int i = 0; i < 4 * kCount; ++i) v[i / 4][i % 4] = leaky_relu(v[i / 4][i % 4], slope);
  }
}

// The gradients of the input of tanh or of a leaky ReLU, from those of its result `out`, two numbers at a time.
template <class T>
__device__ __forceinline__ uint32_t tanh_gradient(uint32_t grad, uint32_t out) {
  const float2 g = unpack_pair<T>(grad), o = unpack_pair<T>(out);
  return pack_pair<T>(g.x * (1 - o.x * o.x), g.y * (1 - o.y * o.y));
}
template <class T>
__device__ __forceinline__ uint32_t leaky_relu_gradient(uint32_t grad, uint32_t out, float slope) {
  const float2 g = unpack_pair<T>(grad), o = unpack_pair<T>(out);
  return pack_pair<T>(o.x > 0 ? g.x : slope == 0 ? 0 : slope * g.x, o.y > 0 ? g.y : slope == 0 ? 0 : slope * g.y);
}

// Calls body(channel, c, kh, kw, value) for the weights of small channels first .. last, the block's threads one next to
// the other as NCHW weights lie. Several are loaded before the first is used, to overlap their latency.
template <class Number, int C, class Body>
__device__ __forceinline__ void for_weights_of(const Weight& w, int first, int last, const Body& body) {
  constexpr int kAhead = 4 * C, kLines = kThreads / 16;
  const int kh = threadIdx.x / 4 % 4, kw = threadIdx.x % 4, count = (last - first) * C;
  const Number* data = static_cast<const Number*>(w.data) + first * w.strides[0] + kh * w.strides[2] + kw * w.strides[3];
  for (int begin = threadIdx.x / 16; begin < count; begin += kAhead * kLines) {
    Number values[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int i = begin + a * kLines;
      if (i < count) values[a] = data[i / C * w.strides[0] + i % C * w.strides[1]];
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int i = begin + a * kLines;
      if (i < count) body(first + i / C, i % C, kh, kw, to_float(values[a]));
    }
  }
}

template <class T, int C, class Body>
__device__ __forceinline__ void for_weights(const Weight& w, int first, int last, const Body& body) {
  if (w.is_float32)
    for_weights_of<float, C>(w, first, last, body);
  else
    for_weights_of<T, C>(w, first, last, body);
}

// ---- tiles of the small image, 128 pixels of one image each ---------------------------------------------------------

struct Tiles {
  int log_width, height, lines;       // of a tile, in small pixels; lines of the big image
  int chunks;                         // of 16 bytes in a line of the patch, with one more at each end
  int count, of_row;
  Divisor by_image, by_row, by_chunks;
};

// The tile that covers the image with the fewest pixels outside.
inline Tiles tiles_of(const FewChannels& s) {
  int best = 5;
  int64_t least = INT64_MAX;
  for (int log = 5; log >= 3; --log) {
    const int64_t pixels = int64_t{ceil_div(s.w, 1 << log)} * ceil_div(s.h, kPatchPixels >> log);
    if (pixels < least) best = log, least = pixels;
  }
  const int width = 1 << best, height = kPatchPixels >> best, of_row = ceil_div(s.w, width),
            of_image = of_row * ceil_div(s.h, height), chunks = width * s.cb / 4 + 2;
  return {best,   height,           2 * height + 2,  chunks, s.n * of_image,
          of_row, divisor(of_image), divisor(of_row), divisor(chunks)};
}

struct TileOrigin {
  int image, row, col;  // of the small image
};

__device__ __forceinline__ TileOrigin origin_of(const Tiles& t, int tile) {
  const int image = quotient(tile, t.by_image), rest = tile - image * static_cast<int>(t.by_image.value),
            row = quotient(rest, t.by_row);
  return {image, row * t.height, (rest - row * t.of_row) << t.log_width};
}

// Numbers from one line of the patch to the next.
GANZOO_HOST_DEVICE int patch_pitch(const Tiles& t) { return 8 * t.chunks + 8; }
GANZOO_HOST_DEVICE int patch_bytes(const Tiles& t) { return t.lines * patch_pitch(t) * 2; }

// The place of channel 0 of the big pixel to the left of the tile, at an even number, so that pairs of k are words.
template <int C>
constexpr int kPatchStart = 8 - C + C % 2;

// Copies the patch of a tile through registers, so that the loads of the next tile overlap with work on this one.
// kFromTanh: multiplied by the derivative of tanh and summed up.
template <class T, int C, bool kSums>
struct PatchLoader {
  static constexpr int kSlots = 2;  // chunks of a thread: at most 34 of 10 lines, 18 of 18 or 10 of 34

  const FewChannels& s;
  const Tiles& tiles;
  const T *big, *tanh_out;
  bool aligned;
  Words chunk[kSlots], factor[kSlots];
  bool owned[kSlots];
  float sums[kSums ? kSlots : 1][8] = {};

  __device__ __forceinline__ PatchLoader(const FewChannels& shape, const Tiles& t, const T* image, const T* out,
                                         bool in_chunks)
      : s(shape), tiles(t), big(image), tanh_out(out), aligned(in_chunks) {}

  __device__ __forceinline__ void load(int tile) {
    const TileOrigin origin = origin_of(tiles, tile);
#pragma unroll
    for (int i = 0; i < kSlots; ++i) {
      const int id = threadIdx.x + i * kThreads, line = quotient(id, tiles.by_chunks),
                which = id - line * tiles.chunks - 1;  // -1: to the left of the tile
      const int row = 2 * origin.row - 1 + line, first = 2 * origin.col * C + 8 * which, last = s.W * C;
      const bool inside = line < tiles.lines && row >= 0 && row < s.H;
      const int64_t at = static_cast<int64_t>(origin.image * s.H + row) * last + first;
      chunk[i] = inside ? read(big, at, first, last) : Words{};
      if (tanh_out) factor[i] = inside ? read(tanh_out, at, first, last) : Words{};
      if constexpr (kSums) {  // every big pixel belongs to one tile, those left over in an odd size to the last
        const bool in_rows = line > 0 && (line < tiles.lines - 1 || origin.row + tiles.height >= s.h);
        const bool in_cols = which >= 0 && (which < tiles.chunks - 2 || origin.col + (1 << tiles.log_width) >= s.w);
        owned[i] = in_rows && in_cols;
      }
    }
  }

  __device__ __forceinline__ void store(T* patch) {
#pragma unroll
    for (int i = 0; i < kSlots; ++i) {
      const int id = threadIdx.x + i * kThreads, line = quotient(id, tiles.by_chunks);
      if (line >= tiles.lines) break;
      Words v = chunk[i];
      if (tanh_out) {
#pragma unroll
        for (int e = 0; e < 4; ++e) v.w[e] = tanh_gradient<T>(v.w[e], factor[i].w[e]);
      }
      if constexpr (kSums) {
        if (owned[i]) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const float2 pair = unpack_pair<T>(v.w[e]);
            sums[i][2 * e] += pair.x, sums[i][2 * e + 1] += pair.y;
          }
        }
      }
      T* to = patch + line * patch_pitch(tiles) + 8 * (id - line * tiles.chunks);
      if constexpr (C % 2 == 0) {
        *reinterpret_cast<Words*>(to) = v;
      } else {  // one number further
        Word* words = reinterpret_cast<Word*>(to);
        put_half(to + 1, v.w[0]);
        words[1] = v.w[0] >> 16 | v.w[1] << 16;
        words[2] = v.w[1] >> 16 | v.w[2] << 16;
        words[3] = v.w[2] >> 16 | v.w[3] << 16;
        put_half(to + 8, v.w[3] >> 16);
      }
    }
  }

  // The sums of channel c over the thread's numbers.
  __device__ __forceinline__ float sum_of(int c) const {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kSlots; ++i) {
      const int id = threadIdx.x + i * kThreads, which = id - quotient(id, tiles.by_chunks) * tiles.chunks - 1;
#pragma unroll
      for (int e = 0; e < 8; ++e)
        if ((8 * (which + 1) + e + 8 * (C - 1)) % C == c) sum += sums[kSums ? i : 0][e];  // 8 which + e, not negative
    }
    return sum;
  }

 private:
  using Half = uint16_t __attribute__((may_alias));
  static __device__ __forceinline__ void put_half(T* to, uint32_t bits) {
    *reinterpret_cast<Half*>(to) = static_cast<uint16_t>(bits);
  }

  // Numbers first .. first + 7 of a line of `last`, at `from + at`; zeros outside.
  __device__ __forceinline__ Words read(const T* from, int64_t at, int first, int last) const {
    if (first + 8 <= 0 || first >= last) return {};
    if (aligned) return *reinterpret_cast<const Words*>(from + at);
    Words v = {};
#pragma unroll
    for (int e = 0; e < 8; ++e)
      if (first + e >= 0 && first + e < last) {
        const uint32_t bits = *reinterpret_cast<const Half*>(from + at + e);
        v.w[e / 2] |= bits << (e % 2 * 16);
      }
    return v;
  }
};

// Whether lines of the big image consist of whole aligned chunks of 16 bytes.
inline bool lines_in_chunks(const FewChannels& s, const void* big) {
  return s.W * s.cb % 8 == 0 && reinterpret_cast<uintptr_t>(big) % 16 == 0;
}

}  // namespace ganzoo::cuda
