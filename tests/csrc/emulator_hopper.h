// Emulates the instructions of csrc/cuda/hopper_ptx.h on a CPU, like emulator.h those of ptx.h. The blocks of a cluster
// run together; every thread is a fiber that runs until it waits for something.
//
// Copies of boxes and products happen at once or as late as they may, at random. Factors are read from shared memory as
// the PTX manual lays them out: swizzled by the bits of their addresses, groups of 8 rows or of 8 k at the distances of
// the descriptor. Deadlocks, arrivals that a barrier does not expect, and loads that nobody waits for end the program.
#pragma once
#include <deque>
#include <map>
#include <memory>

#include "emulator.h"

namespace ganzoo::cuda {

using Barrier = uint64_t;

struct TensorMap {
  char* base;
  int rank;
  uint64_t sizes[4], strides[4];  // in bytes, the innermost of 2
  uint32_t box[4];
};

namespace emulator::hopper {

constexpr int kSharedLimit = 227 * 1024;
constexpr uint32_t kWindow = 0x400;  // the address of the first byte of shared memory

struct Meeting {  // of `count` threads, as often as they want
  int arrived = 0;
  unsigned round = 0;
};

struct Thread : Fiber {
  bool done;
  std::function<bool()> ready;
  unsigned cluster_arrivals;
  std::vector<std::function<void()>> stores;                 // of boxes, not yet executed
  std::vector<std::function<void()>> open;                   // products of the open group
  std::deque<std::vector<std::function<void()>>> committed;  // groups of products
  size_t products;
  const char* row;  // what the thread shows its warp
  uint32_t registers[4];
  float number;
};

struct Block {
  dim3 index;
  char* shared;
  Meeting named[16];
  std::vector<Meeting> warps;
  std::vector<std::vector<std::pair<uint64_t, uint64_t>>> products;  // of each warpgroup, to compare its threads
};

inline std::deque<Thread> threads;
inline std::vector<Block> blocks;
inline std::vector<std::function<void()>> copies;  // issued, not yet executed
inline int current, block_threads, shared_size;
inline std::function<void()> kernel_body;

inline Block& block() { return blocks[current / block_threads]; }
inline Thread& thread() { return threads[current]; }
inline bool sometimes() { return rng() & 1; }

// Runs other threads until the condition holds.
inline void wait_until(std::function<bool()> condition) {
  thread().ready = std::move(condition);
  switch_context(thread().context, scheduler);
}

inline void enter_thread() {
  kernel_body();
  if (!thread().open.empty() || !thread().committed.empty()) fail("a product that nobody waits for");
  if (!thread().stores.empty()) fail("a store of a box that nobody waits for");
  thread().done = true;
  switch_context(thread().context, scheduler);
}

inline void meet(Meeting& m, int count) {
  const unsigned round = m.round;
  if (++m.arrived == count) {
    m.arrived = 0, ++m.round;
    return;
  }
  wait_until([&m, round] { return m.round != round; });
}
inline void meet_warp() { meet(block().warps[threadIdx.x / 32], 32); }

inline void run_cluster() {
  std::vector<int> order(blocks.size() * block_threads);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  for (size_t done = 0; done < order.size();) {
    std::shuffle(order.begin(), order.end(), rng);
    bool progress = false;
    for (int i : order) {
      Thread& t = threads[i];
      if (t.done || (t.ready && !t.ready())) continue;
      progress = true, current = i, running = i % block_threads, t.ready = nullptr;
      threadIdx.x = running, blockIdx = block().index;
      switch_context(scheduler, t.context);
      done += t.done;
    }
    while (!copies.empty() && (!progress || rng() % 4 == 0)) {
      std::swap(copies[rng() % copies.size()], copies.back());
      const std::function<void()> copy = std::move(copies.back());
      copies.pop_back();
      copy();
      progress = true;
    }
    if (!progress) fail("every thread waits");
  }
  if (!copies.empty()) fail("a load that nobody waits for");
}

// ---- barriers in shared memory: phase, expected and missing arrivals, missing bytes ----------------------------------

struct BarrierState {
  uint8_t phase, count, missing, valid;
  int32_t bytes;
};

template <class Change>
void change(Barrier* b, const Change& apply) {
  BarrierState s;
  std::memcpy(&s, b, 8);
  if (s.valid != 0x5a) fail("a barrier that was not initialized");
  apply(s);
  if (s.missing == 0 && s.bytes == 0) s.phase ^= 1, s.missing = s.count;
  std::memcpy(b, &s, 8);
}

inline void arrive_at(Barrier* b, int bytes) {
  change(b, [&](BarrierState& s) {
    if (s.missing == 0) fail("an arrival that a barrier does not expect");
    --s.missing, s.bytes += bytes;
  });
}

inline uint64_t offset(const void* p) {
  const char* byte = static_cast<const char*>(p);
  if (byte < block().shared || byte >= block().shared + shared_size) fail("an address outside shared memory");
  return byte - block().shared;
}

// Where byte `address` of a matrix with the swizzle of 128 bytes is.
inline uint64_t swizzle(uint64_t address) { return address ^ (address >> 7 & 7) << 4; }

template <int kRank>
void load(void* to, const TensorMap* map, Barrier* b, const int (&at)[kRank]) {
  if (map->rank != kRank) fail("a map of another rank");
  if (offset(to) % 1024) fail("a box at an unaligned address");
  offset(b);
  Block* owner = &block();
  const uint64_t first = offset(to);
  const std::vector<int> begin(at, at + kRank);
  const TensorMap tensor = *map;
  const auto copy = [=] {
    int lines = 1;
    for (int d = 1; d < kRank; ++d) lines *= tensor.box[d];
    for (int line = 0; line < lines; ++line) {
      int64_t from = 0;
      bool inside = true;
      for (int d = 1, rest = line; d < kRank; rest /= tensor.box[d], ++d) {
        const int64_t place = int64_t{begin[d]} + rest % tensor.box[d];
        inside &= place >= 0 && place < static_cast<int64_t>(tensor.sizes[d]);
        from += place * static_cast<int64_t>(tensor.strides[d]);
      }
      for (uint32_t e = 0; e < tensor.box[0]; ++e) {
        const int64_t x = int64_t{begin[0]} + e;
        const uint64_t address = swizzle(first + line * 128 + e * 2);
        if (address + 2 > static_cast<uint64_t>(shared_size)) fail("a box past the end of shared memory");
        uint16_t number = 0;
        if (inside && x >= 0 && x < static_cast<int64_t>(tensor.sizes[0])) std::memcpy(&number, tensor.base + from + x * 2, 2);
        std::memcpy(owner->shared + address, &number, 2);
      }
    }
    change(b, [&](BarrierState& s) { s.bytes -= lines * tensor.box[0] * 2; });
  };
  sometimes() ? copy() : copies.push_back(copy);
}

struct Descriptor {
  uint64_t start, leading, stride;

  explicit Descriptor(uint64_t bits)
      : start((bits & 0x3fff) << 4), leading((bits >> 16 & 0x3fff) << 4), stride((bits >> 32 & 0x3fff) << 4) {
    if (bits >> 62 != 1) fail("a descriptor without the swizzle of 128 bytes");
    if (bits >> 49 & 7) fail("a descriptor with a base offset");
  }
  // The address of element `k` of row `row`, in bytes, before the swizzle.
  uint64_t straight(int row, int k) const { return start + row / 8 * stride + row % 8 * 128 + k * 2; }
  uint64_t transposed(int row, int k) const {
    return start + row / 64 * leading + k / 8 * stride + k % 8 * 128 + row % 64 * 2;
  }
};

// The 16 numbers of a row of a factor; 8 of them are neighbours in memory, unless it is transposed.
template <class T, bool kTransposed>
void read_row(const Block& b, const Descriptor& factor, int row, float* to) {
  constexpr int kTogether = kTransposed ? 1 : 8;
  for (int k = 0; k < 16; k += kTogether) {
    const uint64_t address = kTransposed ? factor.transposed(row, k) : factor.straight(row, k);
    T numbers[kTogether];
    std::memcpy(numbers, b.shared + swizzle(address - kWindow), sizeof numbers);
    for (T v : numbers) *to++ = to_float(v);
  }
}

}  // namespace emulator::hopper

inline char* hopper_memory() { return emulator::hopper::block().shared; }
inline uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(emulator::hopper::offset(p)) + emulator::hopper::kWindow;
}

inline void init_barrier(Barrier* b, int count) {
  const emulator::hopper::BarrierState s = {0, static_cast<uint8_t>(count), static_cast<uint8_t>(count), 0x5a, 0};
  emulator::hopper::offset(b);
  std::memcpy(b, &s, 8);
}
inline void publish_barriers() {}
inline void arrive(Barrier* b) { emulator::hopper::arrive_at(b, 0); }
inline void arrive_expecting(Barrier* b, int bytes) { emulator::hopper::arrive_at(b, bytes); }
inline void wait(Barrier* b, int parity) {
  emulator::hopper::wait_until([=] {
    emulator::hopper::BarrierState s;
    std::memcpy(&s, b, 8);
    return s.phase != parity;
  });
}
inline void sync_some(int number, int threads) {
  emulator::hopper::meet(emulator::hopper::block().named[number], threads);
}
inline void sync_block() { sync_some(0, emulator::hopper::block_threads); }
inline void sync_warp() { emulator::hopper::meet_warp(); }
inline float from_lane_xor(float v, int mask) {
  emulator::hopper::thread().number = v;
  emulator::hopper::meet_warp();
  const float other = emulator::hopper::threads[emulator::hopper::current ^ mask].number;
  emulator::hopper::meet_warp();
  return other;
}

inline void publish_to_copies() {}
inline void prefetch_map(const TensorMap*) {}
inline void load_box(void* to, const TensorMap* map, Barrier* b, int x, int y) {
  emulator::hopper::load<2>(to, map, b, {x, y});
}
inline void load_box(void* to, const TensorMap* map, Barrier* b, int x, int y, int z, int w) {
  emulator::hopper::load<4>(to, map, b, {x, y, z, w});
}
inline void store_box(const TensorMap* map, const void* from, int x, int y, int z, int w) {
  using namespace emulator::hopper;
  const int begin[] = {x, y, z, w};
  for (int d = 0; d < 4; ++d)
    if (begin[d] < 0 || begin[d] + map->box[d] > map->sizes[d]) emulator::fail("a stored box is partly outside");
  if (offset(from) % 1024) emulator::fail("a box at an unaligned address");
  const uint64_t first = offset(from);
  const char* memory = block().shared;
  const auto copy = [=] {
    for (uint32_t line = 0; line < map->box[3]; ++line)
      for (uint32_t e = 0; e < map->box[0]; ++e)
        std::memcpy(map->base + (x + e) * 2 + y * map->strides[1] + z * map->strides[2] + (w + line) * map->strides[3],
                    memory + swizzle(first + line * 128 + e * 2), 2);
  };
  if (map->box[1] != 1 || map->box[2] != 1) emulator::fail("a box of more than a pixel");
  sometimes() ? copy() : thread().stores.push_back(copy);
}
inline void finish_stores() {
  for (const auto& store : emulator::hopper::thread().stores) store();
  emulator::hopper::thread().stores.clear();
}
inline void store_matrices_transposed(void* row, const uint32_t (&r)[4]) {
  using namespace emulator::hopper;
  if (offset(row) % 16) emulator::fail("stmatrix to an address that is not a multiple of 16");
  thread().row = static_cast<const char*>(row);
  std::memcpy(thread().registers, r, sizeof r);
  meet_warp();
  const int lane = threadIdx.x % 32, first = current - lane, which = lane / 8, line = lane % 8;
  unsigned banks = 0;
  for (int i = 0; i < 8; ++i) {
    const Thread& holder = threads[first + i * 4 + line / 2];
    std::memcpy(static_cast<char*>(row) + i * 2, reinterpret_cast<const char*>(&holder.registers[which]) + line % 2 * 2, 2);
    banks |= 1u << offset(threads[first + which * 8 + i].row) / 16 % 8;
  }
  if (banks != 0xff) emulator::fail("stmatrix with bank conflicts");
  meet_warp();
}

inline int rank_in_cluster() { return emulator::hopper::current / emulator::hopper::block_threads; }
inline void arrive_in_cluster() { ++emulator::hopper::thread().cluster_arrivals; }
inline void wait_for_cluster() {
  using namespace emulator::hopper;
  const unsigned mine = thread().cluster_arrivals;
  const size_t count = blocks.size() * block_threads;
  wait_until([=] {
    for (size_t i = 0; i < count; ++i)
      if (!threads[i].done && threads[i].cluster_arrivals < mine) return false;
    return true;
  });
}
inline float4 load_from_block(const float4* own, int rank) {
  using namespace emulator::hopper;
  float4 v;
  const int first = rank * block_threads;
  if (std::all_of(threads.begin() + first, threads.begin() + first + block_threads, [](const Thread& t) { return t.done; }))
    emulator::fail("a load from a block that has ended");
  std::memcpy(&v, blocks[rank].shared + offset(own), sizeof v);
  return v;
}

inline void begin_products() {}
template <class T, bool kTransposed>
void multiply_add_async(float (&c)[64], uint64_t a, uint64_t b) {
  using namespace emulator::hopper;
  Thread& t = thread();
  auto& log = block().products[threadIdx.x / 128];
  if (t.products == log.size()) log.push_back({a, b});
  if (log[t.products++] != std::make_pair(a, b)) emulator::fail("threads of a warpgroup multiply different factors");
  const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4, col = threadIdx.x % 4 * 2;
  t.open.push_back([&c, row, col, memory = &block(), da = Descriptor(a), db = Descriptor(b)] {
    float left[2][16], right[16];
    for (int half = 0; half < 2; ++half) read_row<T, kTransposed>(*memory, da, row + half * 8, left[half]);
    for (int j = 0; j < 16; ++j)
      for (int e = 0; e < 2; ++e) {
        read_row<T, kTransposed>(*memory, db, j * 8 + col + e, right);
        for (int half = 0; half < 2; ++half) {
          float& sum = c[4 * j + 2 * half + e];
          sum = add_products(sum, left[half], right, 16);
        }
      }
  });
}
inline void commit_products() {
  auto& t = emulator::hopper::thread();
  t.committed.push_back(std::move(t.open));
  t.open.clear();
}
template <int kPending>
void wait_for_products() {
  auto& groups = emulator::hopper::thread().committed;
  const size_t pending = emulator::hopper::sometimes() ? kPending : 0;
  while (groups.size() > pending) {
    for (const auto& product : groups.front()) product();
    groups.pop_front();
  }
  emulator::hopper::meet_warp();
}

template <class T, int kRank>
cudaError_t encode(TensorMap* map, const void* base, const uint64_t (&sizes)[kRank], const uint64_t (&strides)[kRank - 1],
                   const uint32_t (&box)[kRank]) {
  *map = {const_cast<char*>(static_cast<const char*>(base)), kRank, {}, {}, {}};
  if (reinterpret_cast<uintptr_t>(base) % 16) emulator::fail("the map of an unaligned tensor");
  for (int d = 0; d < kRank; ++d) {
    map->sizes[d] = sizes[d], map->strides[d] = d ? strides[d - 1] : 2, map->box[d] = box[d];
    if (d && strides[d - 1] % 16) emulator::fail("the map of a tensor with an unaligned stride");
    if (!sizes[d] || sizes[d] >> 32 || !box[d] || box[d] > 256) emulator::fail("a map with a size that it cannot have");
  }
  if (box[0] * 2 != 128) emulator::fail("a box with other rows than of 128 bytes");
  return cudaSuccess;
}

template <class Arguments>
cudaError_t launch_clusters(void (*kernel)(Arguments), dim3 grid, int count, int cluster, int bytes, cudaStream_t,
                            const Arguments& arguments) {
  using namespace emulator::hopper;
  if (bytes > kSharedLimit) emulator::fail("too much shared memory");
  if (!grid.x || !grid.y || !grid.z || grid.x >> 31 || grid.y > 0xffff || grid.z > 0xffff || grid.x % cluster || cluster > 8)
    emulator::fail("a grid that cannot be launched");
  gridDim = grid, block_threads = count, shared_size = bytes;
  kernel_body = [&] { kernel(arguments); };
  std::vector<char*> memory(cluster);
  for (char*& m : memory) m = static_cast<char*>(std::aligned_alloc(1024, (bytes + 1023) / 1024 * 1024));
  while (threads.size() < static_cast<size_t>(cluster * count)) threads.emplace_back();
  dim3 at;
  for (at.z = 0; at.z < grid.z; ++at.z)
    for (at.y = 0; at.y < grid.y; ++at.y)
      for (at.x = 0; at.x < grid.x; at.x += cluster) {
        blocks.assign(cluster, {});
        for (int r = 0; r < cluster; ++r) {
          Block& b = blocks[r];
          b.index = dim3(at.x + r, at.y, at.z), b.shared = memory[r];
          b.warps.resize(count / 32), b.products.resize(count / 128 + 1);
          std::memset(b.shared, 0xff, bytes);
        }
        for (int i = 0; i < cluster * count; ++i) {
          Thread& t = threads[i];
          t.start(enter_thread);
          t.done = false, t.ready = nullptr, t.cluster_arrivals = 0, t.products = 0;
        }
        run_cluster();
      }
  for (char* m : memory) std::free(m);
  return cudaSuccess;
}

}  // namespace ganzoo::cuda
