// The convolutions on Hopper. The products are those of convolution.cuh, transposed, so that statistics are sums along
// the rows that a thread has: rows are output channels, columns are output pixels, the image innermost.
#pragma once
#include <cstdint>

#include "hopper_ptx.h"
#include "hopper_ring.cuh"
#include "indexing.h"
#include "kernels.h"
#include "ptx.h"

namespace ganzoo::cuda {

struct HopperConvolution {
  TensorMap x, weights, out;
  Convolution f;
  const float *scale, *shift;  // per output channel, or null
  float *mean, *m2;            // of blocks of kGroupColumns / splits columns, [phase][block][cout], or null
  float slope;
  int splits, stages;  // blocks of a cluster; stages of the ring
};

// The taps inside the image for any of the columns first .. last: those in these rows and columns of the taps of a
// phase, which are 4 x 4, or 2 x 2 if up.
struct TapRange {
  int row, rows, col, cols;
};

__device__ __forceinline__ TapRange tap_range(const Convolution& f, const Phase& k, int first, int last) {
  const int width = f.up ? 2 : 4, from = quotient(first, f.by_n), to = quotient(last, f.by_n);
  unsigned row_set = 0, col_set = 0;
  for (int pixel = from; pixel <= to; ++pixel) {
    const int row = quotient(pixel, f.by_cols[k.b]), col = pixel - row * k.cols;
    for (int t = 0; t < width; ++t) {
      if (static_cast<unsigned>(row * step_in(f) + tap_of(f, k, t * width).dh) < static_cast<unsigned>(f.h))
        row_set |= 1u << t;
      if (static_cast<unsigned>(col * step_in(f) + tap_of(f, k, t).dw) < static_cast<unsigned>(f.w)) col_set |= 1u << t;
    }
  }
  const auto lowest = [](unsigned set) { return set & 1 ? 0 : set & 2 ? 1 : set & 4 ? 2 : 3; };
  const auto count = [](unsigned set) { return static_cast<int>((set & 1) + (set >> 1 & 1) + (set >> 2 & 1) + (set >> 3)); };
  return {lowest(row_set), count(row_set), lowest(col_set), count(col_set)};
}

// The box of one lane of the producer: of the weights, or of the pixels of 64 columns.
template <class Tile>
struct ConvolutionBox {
  const HopperConvolution& p;
  const Phase k;
  const TapRange taps;
  int chunk, tap_row, tap_col;  // of the next stage; chunk: of 64 input channels
  int row, col, image;          // of the pixel, before the tap; or of the weights, where row < 0: the first row

  __device__ __forceinline__ ConvolutionBox(const HopperConvolution& arguments, const Phase& phase, const TapRange& range,
                                            int which, int m0, int n0, int first)
      : p(arguments), k(phase), taps(range) {
    const int chunks = p.f.cin / kBox, slot = first / chunks, lane = threadIdx.x % 32;
    chunk = first - slot * chunks, tap_row = slot / taps.cols, tap_col = slot - tap_row * taps.cols;
    if (lane < Tile::kBoxesM) {
      row = col = 0, image = which * p.f.cout + m0 + lane * kBox;
    } else {
      const int n = n0 + (lane - Tile::kBoxesM) * kBox;
      const Place place = place_of(p.f, k, n);
      row = place.row * step_in(p.f), col = place.col * step_in(p.f);
      image = n < rows_of_product(p.f, k) ? place.image : p.f.n;  // outside: zeros
    }
  }

  __device__ __forceinline__ void load(char* to, Barrier* full) {
    const int number = (taps.row + tap_row) * (p.f.up ? 2 : 4) + taps.col + tap_col;
    if (static_cast<int>(threadIdx.x % 32) < Tile::kBoxesM) {
      load_box(to, &p.weights, full, number * p.f.cin + chunk * kBox, image);
    } else {
      const Tap tap = tap_of(p.f, k, number);
      load_box(to, &p.x, full, chunk * kBox, col + tap.dw, row + tap.dh, image);
    }
    if (++chunk * kBox < p.f.cin) return;
    chunk = 0;
    if (++tap_col < taps.cols) return;
    tap_col = 0, ++tap_row;
  }
};

// Mean and sum of squared deviations of the rows that a thread has two of, over `count` columns: those with valid(j).
template <class Valid>
__device__ __forceinline__ void row_statistics(const float (&sum)[64], int count, const Valid& valid, float (&mean)[2],
                                               float (&m2)[2]) {
  const auto of_row = [](float v) {  // four lanes have a row
    v += from_lane_xor(v, 1);
    return v + from_lane_xor(v, 2);
  };
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < 16; ++j)
      if (valid(j)) total += sum[4 * j + 2 * half] + sum[4 * j + 2 * half + 1];
    mean[half] = of_row(total) / static_cast<float>(count);
#pragma unroll
    for (int j = 0; j < 16; ++j)
      if (valid(j)) {
        const float a = sum[4 * j + 2 * half] - mean[half], b = sum[4 * j + 2 * half + 1] - mean[half];
        squares += a * a + b * b;
      }
    m2[half] = of_row(squares);
  }
}

// Writes the 64 channels from `channel` on and the columns from `column` on of one warpgroup.
template <class T>
__device__ __forceinline__ void store_convolution(const HopperConvolution& p, const Phase& k, int which,
                                                  const float (&sum)[64], char* staging, int channel, int column,
                                                  int rank, int group) {
  const int left = rows_of_product(p.f, k) - column, share = kGroupColumns / p.splits,
            count = min(share, left - rank * share);  // columns of this block
  if (count <= 0) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x % kGroup / 32;
  const auto valid = [&](int j) { return owner(j, p.splits) == rank && j * 8 < left; };
  const int row = channel + warp * 16 + lane / 4;
  if (p.mean) {
    float mean[2], m2[2];
    row_statistics(sum, count, valid, mean, m2);
    const int64_t block = which * tiles_of_phase(p.f, share) + column / share + rank;
    for (int half = 0; half < 2; ++half)
      if (lane % 4 == 0)
        p.mean[block * p.f.cout + row + half * 8] = mean[half], p.m2[block * p.f.cout + row + half * 8] = m2[half];
  }
  float scale[2], shift[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    scale[half] = p.scale ? p.scale[row + half * 8] : 1.0f;
    shift[half] = p.shift ? p.shift[row + half * 8] : 0.0f;
  }
  const auto pair = [&](int j, int half) {
    float v[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float x = scale[half] * sum[4 * j + 2 * half + e] + shift[half];
      v[e] = x > 0 ? x : p.slope == 0 && x < 0 ? 0 : p.slope * x;
    }
    return pack_pair<T>(v[0], v[1]);
  };
  // In shared memory as [column][channel], with the swizzle of 128 bytes.
#pragma unroll
  for (int j = 0; j < 16; j += 2)
    if (valid(j)) {
      const uint32_t matrices[4] = {pair(j, 0), pair(j, 1), pair(j + 1, 0), pair(j + 1, 1)};
      const int line = (j + (lane >> 4)) * 8 + (lane & 7), chunk = warp * 2 + (lane >> 3 & 1);
      store_matrices_transposed(staging + line * 128 + ((chunk ^ (line & 7)) << 4), matrices);
    }
  publish_to_copies();
  sync_some(2 + group, kGroup);
  if (threadIdx.x % kGroup != 0) return;
  for (int box = 0; box < 2; ++box) {
    if (!valid(box * 8)) continue;
    const Place place = place_of(p.f, k, column + box * kBox);
    const int out_row = p.f.up ? 2 * place.row + k.a : place.row, out_col = p.f.up ? 2 * place.col + k.b : place.col;
    store_box(&p.out, staging + box * kBoxBytes, channel, out_col, out_row, place.image);
  }
  finish_stores();
}

template <class T, int kGroupsM>
__global__ void __launch_bounds__(kHopperThreads, 2) convolve_hopper(const __grid_constant__ HopperConvolution p) {
  using Tile = HopperTile<kGroupsM>;
  const int which = blockIdx.z, rank = rank_in_cluster(), m0 = blockIdx.y * Tile::kM,
            n0 = static_cast<int>(blockIdx.x) / p.splits * Tile::kN;
  const Phase k = phase_of(p.f, which);
  const int columns = rows_of_product(p.f, k);
  if (n0 >= columns) return;
  const Ring ring = make_ring(p.stages);
  const TapRange taps = tap_range(p.f, k, n0, min(n0 + Tile::kN, columns) - 1);
  const int stages = taps.rows * taps.cols * (p.f.cin / kBox), first = stages * rank / p.splits,
            count = stages * (rank + 1) / p.splits - first;
  if (threadIdx.x >= 2 * kGroup) {
    ConvolutionBox<Tile> box(p, k, taps, which, m0, n0, first);
    produce<Tile>(ring, count, box);
  } else {
    const int group = threadIdx.x / kGroup;
    float sum[64];
    consume<T, Tile, false>(sum, ring, count, group);
    sync_some(1, 2 * kGroup);  // the ring is free
    if (p.splits > 1) {
      const float4* shown = show_sums(sum, ring.stages, group);
#pragma unroll
      for (int j = 0; j < 16; j += 2) {
        float4 v[2] = {};
        if (owner(j, p.splits) == rank) add_shown(shown, j, p.splits, v);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          sum[4 * (j + i)] = v[i].x, sum[4 * (j + i) + 1] = v[i].y;
          sum[4 * (j + i) + 2] = v[i].z, sum[4 * (j + i) + 3] = v[i].w;
        }
      }
      arrive_in_cluster();
    }
    store_convolution<T>(p, k, which, sum,
                         ring.stages + (p.splits > 1 ? kExchangeBytes : 0) + group * 2 * kBoxBytes,
                         m0 + Tile::box_m(group) * kBox, n0 + Tile::box_n(group) * kBox, rank, group);
    if (p.splits > 1) wait_for_cluster();
  }
}

}  // namespace ganzoo::cuda
