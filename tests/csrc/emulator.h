// Emulates the GPU instructions of csrc/cuda/ptx.h on a CPU. The threads of a block are fibers; instructions of a warp
// are executed once all its lanes have reached them.
//
// Errors that a GPU shows only sometimes always show here. Shared memory starts as NaN; asynchronous copies happen at
// once or when they are waited for, at random; warps and lanes run in random order; fragments are laid out as the PTX
// manual says; tensor cores truncate their sums. Anything that a launch or an instruction forbids ends the program: a
// grid or shared memory too large for some GPU, a warp instruction that not all lanes execute, an unaligned or
// bank-conflicting ldmatrix. AddressSanitizer checks every access, including those past the end of the block's shared
// memory.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "fiber.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
// Of arithmetic that takes most of the time and in which the sanitizers have nothing to find.
#define UNSANITIZED __attribute__((no_sanitize("address", "undefined")))

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0 };

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  dim3(unsigned a, unsigned b, unsigned c) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

inline dim3 threadIdx, blockIdx, gridDim;

inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint32_t __float_as_uint(float v) {
  uint32_t r;
  std::memcpy(&r, &v, 4);
  return r;
}
inline float __uint_as_float(uint32_t v) {
  float r;
  std::memcpy(&r, &v, 4);
  return r;
}

namespace ganzoo::cuda {

using float16 = _Float16;
struct bfloat16 {
  uint16_t bits;
};

inline float to_float(float v) { return v; }
inline float to_float(float16 v) { return static_cast<float>(v); }
inline float to_float(bfloat16 v) { return __uint_as_float(uint32_t{v.bits} << 16); }

template <class T>
T from_float(float v) {
  return static_cast<T>(v);
}
template <>
inline bfloat16 from_float<bfloat16>(float v) {
  const uint32_t bits = __float_as_uint(v);
  if (v != v) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

template <class T>
uint32_t pack_pair(float low, float high) {
  const T pair[] = {from_float<T>(low), from_float<T>(high)};
  uint32_t r;
  std::memcpy(&r, pair, 4);
  return r;
}

namespace emulator {

constexpr int kThreads = 256;
constexpr int kSharedBytes = 99 * 1024;  // the limit of a block on the GPUs with the lowest one: 8.6, 8.9 and 12.0

enum class State { kReady, kAtWarp, kAtBlock, kDone };

struct Copy {
  void* to;
  const void* from;
  bool valid;
  void run() const { valid ? std::memcpy(to, from, 16) : std::memset(to, 0, 16); }
};

enum class Instruction { kNone, kLoad, kLoadTransposed, kMultiply };

struct Message {  // what a lane shows its warp
  Instruction instruction;
  const void* row;
  float a[8], b[4];  // its numbers of the factors
  unsigned number;  // counts the lane's messages
};

struct Thread : Fiber {
  State state = State::kDone;
  unsigned message_count = 0;
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};

inline std::vector<Thread> threads(kThreads);
inline Context scheduler;
inline int running;
inline std::function<void()> body;
inline Message messages[kThreads][2];
inline std::mt19937 rng(1);
alignas(128) inline char shared[kSharedBytes];
inline int shared_bytes;

[[noreturn]] inline void fail(const char* why) {
  std::fprintf(stderr, "emulated GPU: %s (block %u %u %u, thread %d)\n", why, blockIdx.x, blockIdx.y, blockIdx.z,
               running);
  std::_Exit(1);  // no destructors: this may be a fiber
}

inline void pause(State state) {
  threads[running].state = state;
  switch_context(threads[running].context, scheduler);
}

inline void resume(int thread) {
  running = thread;
  threadIdx.x = thread;
  switch_context(scheduler, threads[thread].context);
}

inline void enter() {
  body();
  if (!threads[running].open.empty()) fail("a copy was never committed");
  pause(State::kDone);
}

inline bool all(int begin, int end, State state) {
  return std::all_of(&threads[begin], &threads[0] + end,
                     [=](const Thread& t) { return t.state == state || t.state == State::kDone; });
}

// Runs a warp until all its lanes wait at the block barrier or are done.
inline void run_warp(int first, std::vector<int>& order) {
  while (!all(first, first + 32, State::kAtBlock)) {
    std::shuffle(order.begin(), order.end(), rng);
    for (int lane : order)
      if (threads[first + lane].state == State::kReady) resume(first + lane);
    if (all(first, first + 32, State::kAtWarp))
      for (int i = 0; i < 32; ++i)
        if (threads[first + i].state == State::kAtWarp) threads[first + i].state = State::kReady;
    bool stuck = !all(first, first + 32, State::kAtBlock);
    for (int i = 0; i < 32; ++i) stuck &= threads[first + i].state != State::kReady;
    if (stuck) fail("some lanes of a warp wait for the warp, others at the block barrier");
  }
}

inline void run_block(int bytes) {
  shared_bytes = bytes;
  ASAN_UNPOISON_MEMORY_REGION(shared, sizeof shared);
  std::memset(shared, 0xff, sizeof shared);
  ASAN_POISON_MEMORY_REGION(shared + bytes, sizeof shared - bytes);
  for (Thread& thread : threads) {
    thread.start(enter);
    thread.state = State::kReady, thread.message_count = 0;
    thread.open.clear(), thread.groups.clear();
  }
  std::vector<int> warps(kThreads / 32), lanes(32);
  for (int i = 0; i < kThreads / 32; ++i) warps[i] = i;
  for (int i = 0; i < 32; ++i) lanes[i] = i;
  while (!all(0, kThreads, State::kDone)) {
    std::shuffle(warps.begin(), warps.end(), rng);
    for (int warp : warps) run_warp(warp * 32, lanes);
    for (Thread& thread : threads)
      if (thread.state == State::kAtBlock) thread.state = State::kReady;
  }
}

// What the lanes of this warp show: lane i at [i][turn()].
inline const Message (*warp_messages())[2] { return &messages[running / 32 * 32]; }
inline int turn() { return threads[running].message_count & 1; }
inline const Message& of_lane(int lane) { return warp_messages()[lane][turn()]; }

UNSANITIZED inline bool all_show(const Message (*warp)[2], int turn, const Message& mine) {
  bool same = true;
  for (int lane = 0; lane < 32; ++lane)
    same &= warp[lane][turn].number == mine.number && warp[lane][turn].instruction == mine.instruction;
  return same;
}

// Shows `mine` to the warp and waits for all lanes.
inline void show(Message mine) {
  mine.number = ++threads[running].message_count;
  messages[running][turn()] = mine;
  pause(State::kAtWarp);
  if (!all_show(warp_messages(), turn(), mine)) fail("not all lanes execute a warp instruction");
}

inline void check_rows() {
  for (int matrix = 0; matrix < 4; ++matrix) {
    unsigned banks = 0;
    for (int line = 0; line < 8; ++line) {
      const char* row = static_cast<const char*>(of_lane(matrix * 8 + line).row);
      if (row < shared || row + 16 > shared + shared_bytes) fail("ldmatrix outside shared memory");
      if ((row - shared) % 16) fail("ldmatrix from an address that is not a multiple of 16");
      banks |= 1u << (row - shared) / 16 % 8;
    }
    if (banks != 0xff) fail("ldmatrix with bank conflicts");
  }
}

}  // namespace emulator

inline char* shared_memory() { return emulator::shared; }

inline void copy_async(void* to, const void* from, bool valid) {
  char* byte = static_cast<char*>(to);
  if (byte < emulator::shared || byte + 16 > emulator::shared + emulator::shared_bytes)
    emulator::fail("a copy outside shared memory");
  if (reinterpret_cast<uintptr_t>(to) % 16 || reinterpret_cast<uintptr_t>(from) % 16)
    emulator::fail("a copy is not aligned");
  const emulator::Copy copy = {to, from, valid};
  if (emulator::rng() & 1) copy.run();
  emulator::threads[emulator::running].open.push_back(copy);
}
inline void commit_copies() {
  emulator::Thread& thread = emulator::threads[emulator::running];
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}
template <int kPending>
void wait_for_copies() {
  auto& groups = emulator::threads[emulator::running].groups;
  while (groups.size() > kPending) {
    for (const emulator::Copy& copy : groups.front()) copy.run();
    groups.erase(groups.begin());
  }
}

inline void load_matrices(uint32_t (&r)[4], const void* row) {
  emulator::show({emulator::Instruction::kLoad, row, {}, {}, 0});
  emulator::check_rows();
  const int lane = emulator::running % 32;
  for (int i = 0; i < 4; ++i)
    std::memcpy(&r[i], static_cast<const char*>(emulator::of_lane(i * 8 + lane / 4).row) + lane % 4 * 4, 4);
}
inline void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  emulator::show({emulator::Instruction::kLoadTransposed, row, {}, {}, 0});
  emulator::check_rows();
  const int lane = emulator::running % 32;
  for (int i = 0; i < 4; ++i) {
    uint16_t pair[2];
    for (int e = 0; e < 2; ++e)
      std::memcpy(&pair[e], static_cast<const char*>(emulator::of_lane(i * 8 + lane % 4 * 2 + e).row) + lane / 4 * 2,
                  2);
    std::memcpy(&r[i], pair, 4);
  }
}

inline float round_to_tf32(float v) { return __uint_as_float((__float_as_uint(v) + 0x1000) & ~0x1fffu); }

// The numbers that a tensor core reads from a register.
template <class T>
void decode(uint32_t bits, float* to) {
  T numbers[4 / sizeof(T)];
  std::memcpy(numbers, &bits, 4);
  for (T v : numbers) *to++ = to_float(v);
}
template <>
inline void decode<float>(uint32_t bits, float* to) {
  *to = __uint_as_float(bits & ~0x1fffu);  // 10 bits of the mantissa
}

// Rounds towards zero, like the sums of tensor cores (Fasi, Higham, Mikaitis, Pranesh 2021).
UNSANITIZED inline float truncate(double v) {
  const float rounded = static_cast<float>(v);
  return std::fabs(rounded) > std::fabs(v) ? std::nextafter(rounded, 0.0f) : rounded;
}

// What tensor cores add up: exact products of the factors' numbers. Four sums, so that none waits for another.
UNSANITIZED inline float add_products(float c, const float* left, const float* right, int count) {
  double sums[4] = {c, 0, 0, 0};
  for (int k = 0; k < count; k += 4)
    for (int i = 0; i < 4; ++i) sums[i] += double{left[k + i]} * right[k + i];
  return truncate(sums[0] + sums[1] + (sums[2] + sums[3]));
}

// A lane's four sums, from what all lanes of its warp show: rows lane / 4 and lane / 4 + 8 of the left factor by two
// columns of the right one. A register holds kEach numbers with neighbouring k.
template <int kEach>
UNSANITIZED void multiply_shown(float (&c)[4], const emulator::Message (*warp)[2], int turn, int lane) {
  constexpr int k = 8 * kEach;
  float left[2][k], right[2][k];
  for (int half = 0; half < 2; ++half)
    for (int holder = 0; holder < 4; ++holder)
      for (int i = 0; i < 2; ++i) {
        const float* row = warp[lane / 4 * 4 + holder][turn].a + (half * 2 + i) * kEach;
        const float* column = warp[(lane % 4 * 2 + i) * 4 + holder][turn].b + half * kEach;
        const int first = (half * 4 + holder) * kEach;
        for (int e = 0; e < kEach; ++e) left[i][first + e] = row[e], right[i][first + e] = column[e];
      }
  for (int i = 0; i < 4; ++i) c[i] = add_products(c[i], left[i / 2], right[i % 2], k);
}

template <class T>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  constexpr int kEach = 4 / sizeof(T);
  emulator::Message mine = {emulator::Instruction::kMultiply, nullptr, {}, {}, 0};
  for (int i = 0; i < 4; ++i) decode<T>(a[i], mine.a + i * kEach);
  for (int i = 0; i < 2; ++i) decode<T>(b[i], mine.b + i * kEach);
  emulator::show(mine);
  multiply_shown<kEach>(c, emulator::warp_messages(), emulator::turn(), emulator::running % 32);
}

template <class Arguments>
cudaError_t launch(void (*kernel)(Arguments), dim3 grid, int bytes, cudaStream_t, const Arguments& arguments) {
  if (bytes > emulator::kSharedBytes) emulator::fail("too much shared memory");
  if (!grid.x || !grid.y || !grid.z || grid.x >> 31 || grid.y > 0xffff || grid.z > 0xffff)
    emulator::fail("a grid that cannot be launched");
  gridDim = grid;
  emulator::body = [&] { kernel(arguments); };
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) emulator::run_block(bytes);
  return cudaSuccess;
}

}  // namespace ganzoo::cuda

inline void __syncthreads() { ganzoo::cuda::emulator::pause(ganzoo::cuda::emulator::State::kAtBlock); }
