// The convolutions and their weight gradient on Hopper, for 16-bit numbers, batches of whole groups of 64 images, and
// channels in groups of 64. Every factor is loaded in boxes of 64 images (or rows of the weight) by 64 channels, 8 KB,
// each by one instruction of a producer warp; two warpgroups multiply them from a ring in shared memory.
//
// The products are those of convolution.cuh and weight_gradient.cuh, the former transposed, so that statistics are sums
// along the rows that a thread has: rows are output channels, columns are output pixels, the image innermost. A box of
// an image holds one pixel of 64 images, and TMA writes zeros for a pixel outside of the image.
#pragma once
#include <cstdint>
#include <cstring>

#include "hopper_ptx.h"
#include "indexing.h"
#include "kernels.h"
#include "ptx.h"

namespace ganzoo::cuda {

constexpr int kBox = 64, kBoxBytes = kBox * 128;
constexpr int kGroup = 128;                     // threads of a warpgroup
constexpr int kGroupColumns = 128;              // of the 64 x 128 sums of a warpgroup, 64 of each thread
constexpr int kHopperThreads = 2 * kGroup + 32;  // two warpgroups that multiply and the producer
constexpr int kExchangeBytes = 2 * 64 * kGroupColumns * 4;  // all sums of a block
constexpr int kMaxHopperStages = 8, kHopperBarrierBytes = 1024;

// A block's tile: 128 x 128 sums if kGroupsM = 2, one warpgroup below the other, or 64 x 256 if 1, side by side. A stage
// of the ring has kBoxesM boxes of the rows' factor and kBoxesN of the columns'.
template <int kGroupsM>
struct HopperTile {
  static constexpr int kBoxesM = kGroupsM, kBoxesN = 4 / kGroupsM, kBoxes = kBoxesM + kBoxesN;
  static constexpr int kM = kBoxesM * kBox, kN = kBoxesN * kBox;
  static constexpr int kBytes = kBoxes * kBoxBytes;
  // Where the factors of warpgroup `group` begin in a stage, and its sums in the tile.
  static __device__ __forceinline__ int box_m(int group) { return kGroupsM == 2 ? group : 0; }
  static __device__ __forceinline__ int box_n(int group) { return kGroupsM == 2 ? 0 : group * 2; }
};

// The ring of stages after its barriers: `full` when a stage is loaded, `empty` when the eight warps that
// multiply have read it.
struct Ring {
  Barrier *full, *empty;
  char* stages;
  int count;
};

__device__ __forceinline__ Ring make_ring(int count) {
  char* memory = hopper_memory();
  Barrier* barriers = reinterpret_cast<Barrier*>(memory);
  const Ring ring = {barriers, barriers + kMaxHopperStages, memory + kHopperBarrierBytes, count};
  if (threadIdx.x == 0) {
    for (int i = 0; i < count; ++i) init_barrier(ring.full + i, 1), init_barrier(ring.empty + i, 2 * kGroup / 32);
    publish_barriers();
  }
  sync_block();
  return ring;
}

// A position in the ring; the parity changes with every round.
struct Slot {
  int index = 0, parity = 0;

  __device__ __forceinline__ void advance(const Ring& ring) {
    if (++index == ring.count) index = 0, parity ^= 1;
  }
};

// Loads `count` stages, called by one warp: box(to, barrier) loads the box of this lane for the next stage.
template <class Tile, class Box>
__device__ __forceinline__ void produce(const Ring& ring, int count, Box& box) {
  const int lane = threadIdx.x % 32;
  Slot slot;
  for (int k = 0; k < count; ++k, slot.advance(ring)) {
    wait(ring.empty + slot.index, slot.parity ^ 1);
    if (lane == 0) arrive_expecting(ring.full + slot.index, Tile::kBytes);
    sync_warp();
    if (lane < Tile::kBoxes) box.load(ring.stages + slot.index * Tile::kBytes + lane * kBoxBytes, ring.full + slot.index);
  }
}

// The descriptor of a matrix in shared memory: boxes with the swizzle of 128 bytes. Stored row by row, groups of 8 rows
// follow each other; stored k by k, groups of 8 k do, and blocks of 64 rows are a box apart.
__device__ __forceinline__ uint64_t matrix(const char* at) {
  const uint64_t start = (shared_address(at) & 0x3ffff) >> 4, box = kBoxBytes >> 4, eight = 1024 >> 4, swizzle128 = 1;
  return start | box << 16 | eight << 32 | swizzle128 << 62;
}

// Sums of `count` stages, by one warpgroup of two. On return, the warpgroup has read everything.
template <class T, class Tile, bool kTransposed>
__device__ __forceinline__ void consume(float (&sum)[64], const Ring& ring, int count, int group) {
  constexpr int kStep = (kTransposed ? 16 * 128 : 32) >> 4;  // of a descriptor, for 16 k
#pragma unroll
  for (int i = 0; i < 64; ++i) sum[i] = 0;
  Slot slot;
  int last = -1;
  for (int k = 0; k < count; ++k, slot.advance(ring)) {
    wait(ring.full + slot.index, slot.parity);
    const char* stage = ring.stages + slot.index * Tile::kBytes;
    const uint64_t a = matrix(stage + Tile::box_m(group) * kBoxBytes),
                   b = matrix(stage + (Tile::kBoxesM + Tile::box_n(group)) * kBoxBytes);
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; ++step) multiply_add_async<T, kTransposed>(sum, a + step * kStep, b + step * kStep);
    commit_products();
    wait_for_products<1>();  // the stage before
    if (last >= 0 && threadIdx.x % 32 == 0) arrive(ring.empty + last);
    last = slot.index;
  }
  wait_for_products<0>();
}

// The sum over a cluster: its `splits` blocks (1 or 2) have the same tile and each a part of k. After
// they have shown their sums to each other, block r adds those of the columns 8 j .. 8 j + 7 with owner(j, ...) == r, in
// the order of the blocks, and waits before it ends until the others have read its memory.
__device__ __forceinline__ int owner(int j, int splits) { return j * splits / 16; }

// Returns what add_shown takes.
__device__ __forceinline__ const float4* show_sums(const float (&sum)[64], char* memory, int group) {
  float4* mine = reinterpret_cast<float4*>(memory + group * (kExchangeBytes / 2)) + threadIdx.x % kGroup;
#pragma unroll
  for (int j = 0; j < 16; ++j) mine[j * kGroup] = {sum[4 * j], sum[4 * j + 1], sum[4 * j + 2], sum[4 * j + 3]};
  arrive_in_cluster();
  wait_for_cluster();
  return mine;
}

// The totals of kCount blocks of eight columns, from 8 j on.
template <int kCount>
__device__ __forceinline__ void add_shown(const float4* shown, int j, int splits, float4 (&sum)[kCount]) {
  for (int r = 0; r < splits; ++r) {
    float4 part[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) part[i] = load_from_block(shown + (j + i) * kGroup, r);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (r == 0) sum[i] = {0, 0, 0, 0};
      sum[i].x += part[i].x, sum[i].y += part[i].y, sum[i].z += part[i].z, sum[i].w += part[i].w;
    }
  }
}

// ---- the two convolutions -------------------------------------------------------------------------------------------

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

// ---- the weight gradient --------------------------------------------------------------------------------------------

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
