// The products between the transforms. For each pair of kinds, one of the rows and one of the columns, planes and sums
// are matrices, and their product with a panel is computed in register tiles.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "tiles-inl.h"
#include "winograd.h"

namespace ganzoo {
namespace ISA {
namespace {

constexpr int kTap[2][2] = {{2, 0}, {3, 1}};  // g0 and g1 of the odd and of the even outputs

// The factor of tap `t` (g0 or g1) in this panel.
inline float weight_in(int panel, int t) {
  const int point = panel % kPoints;
  if (t == 0) return point == kInfinity ? 0.0f : 1.0f;
  return point == kInfinity ? 1.0f : static_cast<float>(point_value(point));
}

constexpr Layout kLayout = kBfloat16 ? Layout::kChannelPairs : Layout::kFloats;  // of the inputs of convolutions

#if defined(GANZOO_BFLOAT16)
// Two channels of 1, 2 or 4 taps, [2][kBlock], combined and rounded to pairs. `last`: there is no second channel.
template <int COUNT>
inline void combine_pairs(const float* const* tap, const float* factor, int64_t at, bool last, float* to) {
#pragma GCC unroll 2
  for (int v = 0; v < kBlock; v += kLanes) {
    Vec sum[2] = {};
#pragma GCC unroll 4
    for (int t = 0; t < COUNT; ++t) {
      sum[0] += load(tap[t] + at + v) * factor[t];
      if (!last) sum[1] += load(tap[t] + at + kBlock + v) * factor[t];
    }
    store(to + v, pairs_of_vectors(sum[0], sum[1]));
  }
}

template <int COUNT>
inline void combine_taps(const float* const* tap, const float* factor, int64_t cin, float* to) {
  for (int64_t c = 0; c + 1 < cin; c += 2) combine_pairs<COUNT>(tap, factor, c * kBlock, false, to + c / 2 * kBlock);
  if (cin % 2) combine_pairs<COUNT>(tap, factor, (cin - 1) * kBlock, true, to + cin / 2 * kBlock);
}
#endif

// One block of kBlock outputs of the panel (a, b), [input channels, padded to whole slices][kBlock]: in place if the
// panel is a single packed tap, otherwise combined from its taps in `to`. In bfloat16, [pairs of channels][kBlock].
inline const float* panel_of_weights(const Winograd& f, int a, int b, int64_t block, int64_t cin, float* to) {
  const float* tap[4];
  float factor[4];
  int count = 0;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      const float weight = weight_in(a, i) * weight_in(b, j);
      if (weight == 0) continue;
      const int kernel = kTap[a / kPoints][i] * 4 + kTap[b / kPoints][j];
      tap[count] = f.packed + (block * kTaps + f.place[kernel]) * cin * kBlock;
      factor[count++] = weight;
    }
#if defined(GANZOO_BFLOAT16)
  (count == 4 ? combine_taps<4> : count == 2 ? combine_taps<2> : combine_taps<1>)(tap, factor, cin, to);
  const int64_t pairs = (cin + 1) / 2;
  __builtin_memset(to + pairs * kBlock, 0, (padded(cin, kLayout) / 2 - pairs) * kBlock * sizeof(float));
  return to;
#else
  const int64_t size = cin * kBlock;
  if (count == 1 && cin % kSlice == 0) return tap[0];
  if (count == 4)
    for (int64_t e = 0; e < size; e += kLanes)
      store(to + e, load(tap[0] + e) * factor[0] + load(tap[1] + e) * factor[1] +
                        (load(tap[2] + e) * factor[2] + load(tap[3] + e) * factor[3]));
  else if (count == 2)
    for (int64_t e = 0; e < size; e += kLanes)
      store(to + e, load(tap[0] + e) * factor[0] + load(tap[1] + e) * factor[1]);
  else
    __builtin_memcpy(to, tap[0], size * sizeof(float));
  __builtin_memset(to + size, 0, (padded(cin) - cin) * kBlock * sizeof(float));
  return to;
#endif
}

struct Term {
  const float *rows, *panel;
};

// Slices that are summed before they are added to the total: the rounding error of a sum grows with its length, and the
// transform back to pixels amplifies it.
constexpr int64_t kSlicesOfSum = 8;

#if defined(GANZOO_BFLOAT16)
// As below, in a single sum.
inline void multiply_rows(const Term* terms, int count, int64_t first, int64_t slices, int64_t stride, int64_t rows,
                          float* const* out) {
  Vec acc[kTileRows][2] = {};
  for (int t = 0; t < count; ++t) {
    const float *a = terms[t].rows + first * kSlice, *b = terms[t].panel;
    for (int64_t slice = 0; slice < slices; ++slice, a += stride)
#pragma GCC unroll 4
      for (int k = 0; k < kSlice; ++k, b += kBlock) {
        const Vec b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
        for (int p = 0; p < kTileRows; ++p) {
          const Vec value = repeat(a + p * kSlice + k);
          acc[p][0] = add_product(acc[p][0], value, b0), acc[p][1] = add_product(acc[p][1], value, b1);
        }
      }
  }
#pragma GCC unroll 16
  for (int p = 0; p < kTileRows; ++p)
    if (p < rows)
      for (int v = 0; v < 2; ++v) store(out[v] + (first + p) * kSlice, acc[p][v]);
}
#else
// out[row][kBlock] = sum over terms of rows [slices][row][kSlice] times panel [slices * kSlice][kBlock]; out is stored
// in slices as well.
inline void multiply_rows(const Term* terms, int count, int64_t first, int64_t slices, int64_t stride, int64_t rows,
                          float* const* out) {
  bool started = false;
  for (int t = 0; t < count; ++t) {
    const float *a = terms[t].rows + first * kSlice, *b = terms[t].panel;
    for (int64_t slice = 0; slice < slices; started = true) {
      Vec acc[kTileRows][2] = {};
      for (const int64_t end = min(slices, slice + kSlicesOfSum); slice < end; ++slice, a += stride) {
#pragma GCC unroll 4
        for (int k = 0; k < kSlice; ++k, b += kBlock) {
          const Vec b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
          for (int p = 0; p < kTileRows; ++p) {
            const Vec value = broadcast(a[p * kSlice + k]);
            acc[p][0] += value * b0, acc[p][1] += value * b1;
          }
        }
      }
#pragma GCC unroll 16
      for (int p = 0; p < kTileRows; ++p)
        if (p < rows)
          for (int v = 0; v < 2; ++v) {
            float* to = out[v] + (first + p) * kSlice;
            store(to, started ? load(to) + acc[p][v] : acc[p][v]);
          }
    }
  }
}
#endif

// All rows of a pair of kinds and one block of kBlock outputs.
inline void multiply_block(const Term* terms, int count, int64_t slices, int64_t stride, int64_t rows, float* out,
                           int64_t out_stride, int64_t channels) {
  for (int sub = 0; sub < channels; sub += kTileColumns) {
    Term of_sub[4];
    for (int t = 0; t < count; ++t) of_sub[t] = {terms[t].rows, terms[t].panel + sub};
    float* place[2];
    for (int v = 0; v < 2; ++v) place[v] = out + (sub + v * kLanes) / kSlice * out_stride + (sub + v * kLanes) % kSlice;
    for (int64_t r = 0; r < rows; r += kTileRows) multiply_rows(of_sub, count, r, slices, stride, rows - r, place);
  }
}

inline float* values_at(const Values& v, int64_t row, int64_t channel) {
  return v.data + channel / kSlice * v.stride + row * kSlice;
}

// The kinds of sums that use this panel; returns their number.
inline int kinds_of_panel(int panel, int* kinds) {
  int count = 0;
  kinds[count++] = panel;
  for (int k = kPanels; k < kSumKinds; ++k)
    if (panel_of(k) == panel) kinds[count++] = k;
  return count;
}
// The kinds of planes that are multiplied by panels of this point, including those of the axis's first or last pixel.
inline int kinds_of_point(int point, int* kinds) {
  kinds[0] = point;
  if (point > 1) return 1;
  kinds[1] = point == 1 ? kPlaneFirst : kPlaneLast;
  return 2;
}
// The kinds of sums that this kind of plane contributes to.
inline int kinds_of_plane(int plane, int* kinds) {
  int count = 0;
  for (int k = 0; k < kSumKinds; ++k)
    if (plane_of(k) == plane) kinds[count++] = k;
  return count;
}

// Panels in an order that keeps those of one pair of points together, because they read the same planes.
struct Pair {
  int a, b;
};
inline Pair panels_at(int64_t i) {
  const int parity = static_cast<int>(i % 4), point = static_cast<int>(i / 4);
  return {parity / 2 * kPoints + point / kPoints, parity % 2 * kPoints + point % kPoints};
}

// sums = planes * panels.
void multiply_transposed(const Winograd& f, float* scratch) {
  const int64_t blocks = (f.cb + kBlock - 1) / kBlock, slices = padded(f.cs, kLayout) / channels_of_slice(kLayout);
  const Axis &r = f.axis[0], &c = f.axis[1];
  for (int64_t item = 0; item < kPanels * kPanels * blocks; ++item) {
    const Pair panels = panels_at(item / blocks);
    const int64_t block = item % blocks, channel = block * kBlock;
    int of_a[4], of_b[4];
    const int as = kinds_of_panel(panels.a, of_a), bs = kinds_of_panel(panels.b, of_b);
    Term term = {nullptr, nullptr};
    for (int i = 0; i < as; ++i)
      for (int j = 0; j < bs; ++j) {
        const int a = of_a[i], b = of_b[j];
        const int64_t rows = f.lines * rows_of(r.sums, c.sums, a, b);
        if (rows == 0) continue;
        if (!term.panel) term.panel = panel_of_weights(f, panels.a, panels.b, block, f.cs, scratch);
        term.rows = values_at(f.planes, row_of(r.planes, c.planes, f.lines, plane_of(a), plane_of(b)), 0);
        multiply_block(&term, 1, slices, f.planes.stride, rows,
                       values_at(f.sums, row_of(r.sums, c.sums, f.lines, a, b), channel), f.sums.stride,
                       min(kBlock, f.cb - channel));
      }
  }
}

// Computes the planes of the pair of kinds (a, b) for one block of small channels from the sums they contribute to.
// panels: [row parity][column parity] of the outputs.
inline void multiply_sums(const Winograd& f, int a, int b, int64_t channel, const float* const (*panels)[2]) {
  const Axis &r = f.axis[0], &c = f.axis[1];
  int of_a[4], of_b[4], count = 0;
  const int as = kinds_of_plane(a, of_a), bs = kinds_of_plane(b, of_b);
  Term terms[4];
  for (int i = 0; i < as; ++i)
    for (int j = 0; j < bs; ++j)
      if (rows_of(r.sums, c.sums, of_a[i], of_b[j]) > 0)
        terms[count++] = {values_at(f.sums, row_of(r.sums, c.sums, f.lines, of_a[i], of_b[j]), 0),
                          panels[panel_of(of_a[i]) / kPoints][panel_of(of_b[j]) / kPoints]};
  multiply_block(terms, count, padded(f.cb, kLayout) / channels_of_slice(kLayout), f.sums.stride,
                 f.lines * rows_of(r.planes, c.planes, a, b),
                 values_at(f.planes, row_of(r.planes, c.planes, f.lines, a, b), channel), f.planes.stride,
                 min(kBlock, f.cs - channel));
}

// planes = sums * panels.
void multiply_strided(const Winograd& f, float* scratch) {
  const int64_t blocks = (f.cs + kBlock - 1) / kBlock;
  for (int64_t item = 0; item < kPoints * kPoints * blocks; ++item) {
    const int points = static_cast<int>(item / blocks);
    int of_rows[2], of_columns[2];
    const int as = kinds_of_point(points / kPoints, of_rows), bs = kinds_of_point(points % kPoints, of_columns);
    const float* panels[2][2] = {};
    for (int i = 0; i < as; ++i)
      for (int j = 0; j < bs; ++j) {
        if (rows_of(f.axis[0].planes, f.axis[1].planes, of_rows[i], of_columns[j]) == 0) continue;
        for (int q = 0; q < 4 && !panels[1][1]; ++q)
          panels[q / 2][q % 2] =
              panel_of_weights(f, q / 2 * kPoints + points / kPoints, q % 2 * kPoints + points % kPoints, item % blocks,
                               f.cb, scratch + q * padded(f.cb, kLayout) * kBlock);
        multiply_sums(f, of_rows[i], of_columns[j], item % blocks * kBlock, panels);
      }
  }
}

// Rows of planes and the sums they are multiplied by.
struct Run {
  const float *planes, *sums;
  int64_t rows;
};

// to[r][kBlock] (+)= sum over runs and their rows of planes[row][r] * sums[row], for kProductTile small channels.
inline void sum_outer_products(const Run* runs, int count, int64_t sums_stride, bool add, float* to) {
  constexpr int kRows = kProductTile * kRegisters / 32;  // 16 registers hold 4 x 2 vectors, 32 hold 8 x 2
  for (int sub = 0; sub < kBlock; sub += kTileColumns)
    for (int half = 0; half < kProductTile; half += kRows) {
      Vec acc[kRows][2] = {};
      for (int run = 0; run < count; ++run) {
        const float* a = runs[run].planes + half;
        const float* b[2];
        for (int v = 0; v < 2; ++v)
          b[v] = runs[run].sums + (sub + v * kLanes) / kSlice * sums_stride + (sub + v * kLanes) % kSlice;
#pragma GCC unroll 4
        for (int64_t k = 0; k < runs[run].rows * kSlice; k += kSlice) {
          const Vec b0 = load(b[0] + k), b1 = load(b[1] + k);
#pragma GCC unroll 16
          for (int r = 0; r < kRows; ++r) {
            const Vec value = repeat(a + k + r);
            acc[r][0] = add_product(acc[r][0], value, b0), acc[r][1] = add_product(acc[r][1], value, b1);
          }
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < 2; ++v) {
          float* out = to + (half + r) * kBlock + sub + v * kLanes;
          store(out, add ? load(out) + acc[r][v] : acc[r][v]);
        }
    }
}

// gradient (cs, 4, 4, cb) = G' products, for kProductRows small channels from `from` on and kBlock big ones from
// `channel` on.
template <int POINTS>
inline void join_products(const Winograd& f, int64_t from, int64_t channel, const float* products) {
  const int64_t channels = min(kBlock, f.cb - channel);
  for (int64_t s = from; s < min(from + kProductRows, f.cs); ++s)
    for (int a = 0; a < 2; ++a)
      for (int b = 0; b < 2; ++b)
        for (int i = 0; i < 2; ++i)
          for (int j = 0; j < 2; ++j) {
            float* out = f.gradient + (s * kTaps + kTap[a][i] * 4 + kTap[b][j]) * f.big_pitch + channel;
            for_channels(channels, [&](auto type, int64_t c) {
              decltype(type) sum = {};
#pragma GCC unroll 5
              for (int p = 0; p < POINTS; ++p)
#pragma GCC unroll 5
                for (int q = 0; q < POINTS; ++q) {
                  const float weight = weight_in(p, i) * weight_in(q, j);
                  if (weight == 0) continue;
                  const int64_t panel = (p * kPoints + q) * 4 + a * 2 + b;
                  sum += weight * get(type, products + (panel * kProductRows + s - from) * kBlock + c);
                }
              put(out + c, sum);
            });
          }
}

// The gradient of block number `item` of channels from its products.
inline void join_block(const Winograd& f, int64_t item, const float* products) {
  const int64_t blocks = (f.cb + kBlock - 1) / kBlock;
  const bool fives = f.axis[0].fours + f.axis[1].fours > 0;
  (fives ? join_products<5> : join_products<4>)(f, item / blocks * kProductRows, item % blocks * kBlock, products);
}

inline int64_t gradient_blocks(const Winograd& f) {
  return (f.cs + kProductRows - 1) / kProductRows * ((f.cb + kBlock - 1) / kBlock);
}

void join_gradient(const Winograd& f, float*) {
  for (int64_t item = 0; item < gradient_blocks(f); ++item)
    join_block(f, item, f.products + item * kPanels * kPanels * kProductRows * kBlock);
}

// All products over the chunk's images, for kProductRows small channels and a block of kBlock big ones at a time.
void multiply_gradient(const Winograd& f, float*) {
  const int64_t blocks = (f.cb + kBlock - 1) / kBlock, size = kPanels * kPanels * kProductRows * kBlock;
  const Axis &r = f.axis[0], &c = f.axis[1];
  const bool fives = r.fours + c.fours > 0;
  for (int64_t item = 0; item < gradient_blocks(f); ++item) {
    const int64_t from = item / blocks * kProductRows, channel = item % blocks * kBlock;
    float* products = f.first && f.last ? f.products : f.products + item * size;
    for (int64_t i = 0; i < kPanels * kPanels; ++i) {
      const Pair panels = panels_at(i);
      if (!fives && (panels.a % kPoints == 4 || panels.b % kPoints == 4)) continue;
      float* to = products + i * kProductRows * kBlock;
      int of_a[4], of_b[4], count = 0;
      const int as = kinds_of_panel(panels.a, of_a), bs = kinds_of_panel(panels.b, of_b);
      Run runs[9];
      for (int x = 0; x < as; ++x)
        for (int y = 0; y < bs; ++y) {
          const int a = of_a[x], b = of_b[y];
          const int64_t rows = f.lines * rows_of(r.sums, c.sums, a, b);
          if (rows == 0) continue;
          runs[count++] = {values_at(f.planes, row_of(r.planes, c.planes, f.lines, plane_of(a), plane_of(b)), from),
                           values_at(f.sums, row_of(r.sums, c.sums, f.lines, a, b), channel), rows};
        }
      if (count == 0) {
        if (f.first) __builtin_memset(to, 0, kProductRows * kBlock * sizeof(float));
        continue;
      }
      for (int64_t s = 0; s < min(kProductRows, f.cs - from); s += kProductTile) {
        Run of_tile[9];
        for (int run = 0; run < count; ++run) {
          of_tile[run] = runs[run];
          of_tile[run].planes += s / kSlice * f.planes.stride + s % kSlice;
        }
        sum_outer_products(of_tile, count, f.sums.stride, !f.first, to + s * kBlock);
      }
    }
    if (f.last) join_block(f, item, products);
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
