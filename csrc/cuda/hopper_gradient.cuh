// The weight gradient on Hopper: the products of weight_gradient.cuh. Rows are channels of the small image, columns those
// of the big one at each tap.
#pragma once
#include <cstdint>

#include "hopper_ptx.h"
#include "hopper_ring.cuh"
#include "indexing.h"
#include "kernels.h"
#include "ptx.h"

namespace ganzoo::cuda {

struct HopperGradient {
  TensorMap small, big;
  Gradient g;
  float* out;  // [part][cs][16 cb]
  int splits, parts, stages;  // blocks of a cluster, clusters that share a tile, stages of the ring
};

// The small pixels that a range of taps takes inside of the big image; possibly none.
struct PixelRange {
  int row, rows, col, cols;
};

// first, last: kernel rows, or columns.
__device__ __forceinline__ void pixel_range(int first, int last, int small, int big, int& begin, int& count) {
  begin = last == 0 ? 1 : 0;
  count = max(0, min(small, (big - first + 2) / 2) - begin);
}

__device__ __forceinline__ PixelRange pixel_range(const Gradient& g, int first_tap, int last_tap) {
  const int top = first_tap >> 2, bottom = last_tap >> 2;
  PixelRange r;
  pixel_range(top, bottom, g.h, g.H, r.row, r.rows);
  pixel_range(top == bottom ? first_tap & 3 : 0, top == bottom ? last_tap & 3 : 3, g.w, g.W, r.col, r.cols);
  return r;
}

template <class Tile>
struct GradientBox {
  const HopperGradient& p;
  const PixelRange pixels;
  int image, row, col;        // of the next stage
  int channel, tap_row, tap_col;  // tap_row: -1 for a box of the small image

  __device__ __forceinline__ GradientBox(const HopperGradient& arguments, const PixelRange& range, int m0, int n0, int first)
      : p(arguments), pixels(range) {
    const int groups = p.g.n / kBox, pixel = first / groups, lane = threadIdx.x % 32;
    image = (first - pixel * groups) * kBox;
    const int line = pixel / max(1, pixels.cols);
    row = pixels.row + line, col = pixels.col + pixel - line * pixels.cols;
    const int column = n0 + (lane - Tile::kBoxesM) * kBox, tap = quotient(max(0, column), p.g.by_cb);
    channel = lane < Tile::kBoxesM ? m0 + lane * kBox : column - tap * p.g.cb;
    tap_row = tap >> 2, tap_col = tap & 3;
  }

  __device__ __forceinline__ void load(char* to, Barrier* full) {
    if (static_cast<int>(threadIdx.x % 32) < Tile::kBoxesM)
      load_box(to, &p.small, full, channel, col, row, image);
    else
      load_box(to, &p.big, full, channel, 2 * col - 1 + tap_col, 2 * row - 1 + tap_row, image);
    if ((image += kBox) < p.g.n) return;
    image = 0;
    if (++col < pixels.col + pixels.cols) return;
    col = pixels.col, ++row;
  }
};

template <class T, int kGroupsM>
__global__ void __launch_bounds__(kHopperThreads, 2) gradient_hopper(const __grid_constant__ HopperGradient p) {
  using Tile = HopperTile<kGroupsM>;
  const int rank = rank_in_cluster(), m0 = blockIdx.y * Tile::kM,
            n0 = static_cast<int>(blockIdx.x) / p.splits * Tile::kN, columns = 16 * p.g.cb;
  const Ring ring = make_ring(p.stages);
  const PixelRange pixels = pixel_range(p.g, quotient(n0, p.g.by_cb), quotient(n0 + Tile::kN - 1, p.g.by_cb));
  const int64_t stages = int64_t{pixels.rows} * pixels.cols * (p.g.n / kBox);
  const int share = static_cast<int>(blockIdx.z) * p.splits + rank, shares = p.splits * p.parts;
  const int first = static_cast<int>(stages * share / shares),
            count = static_cast<int>(stages * (share + 1) / shares) - first;
  if (threadIdx.x >= 2 * kGroup) {
    GradientBox<Tile> box(p, pixels, m0, n0, first);
    produce<Tile>(ring, count, box);
  } else {
    const int group = threadIdx.x / kGroup, lane = threadIdx.x % 32, warp = threadIdx.x % kGroup / 32;
    float sum[64];
    consume<T, Tile, true>(sum, ring, count, group);
    const int row = m0 + Tile::box_m(group) * kBox + warp * 16 + lane / 4;
    float* out = p.out + static_cast<int64_t>(static_cast<int>(blockIdx.z) * p.g.cs + row) * columns + n0 +
                 Tile::box_n(group) * kBox + lane % 4 * 2;
    const auto write = [&](int j, float4 v) {
      *reinterpret_cast<float2*>(out + j * 8) = make_float2(v.x, v.y);
      *reinterpret_cast<float2*>(out + int64_t{8} * columns + j * 8) = make_float2(v.z, v.w);
    };
    if (p.splits == 1) {
#pragma unroll
      for (int j = 0; j < 16; ++j) write(j, {sum[4 * j], sum[4 * j + 1], sum[4 * j + 2], sum[4 * j + 3]});
    } else {
      sync_some(1, 2 * kGroup);  // the ring is free
      const float4* shown = show_sums(sum, ring.stages, group);
      for (int j = rank * 16 / p.splits; j < (rank + 1) * 16 / p.splits; j += 4) {
        float4 v[4];
        add_shown(shown, j, p.splits, v);
#pragma unroll
        for (int i = 0; i < 4; ++i) write(j + i, v[i]);
      }
      arrive_in_cluster();
      wait_for_cluster();
    }
  }
}

}  // namespace ganzoo::cuda
