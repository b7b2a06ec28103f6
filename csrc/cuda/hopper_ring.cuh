// What the convolutions and their weight gradient share on Hopper, for 16-bit numbers, batches of whole groups of 64
// images, and channels in groups of 64. Every factor is loaded in boxes of 64 images (or rows of the weight) by 64
// channels, 8 KB, each by one instruction of a producer warp; two warpgroups multiply them from a ring in shared memory.
// A box of an image holds one pixel of 64 images, and TMA writes zeros for a pixel outside of the image.
#pragma once
#include <cstdint>

#include "hopper_ptx.h"
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

}  // namespace ganzoo::cuda
