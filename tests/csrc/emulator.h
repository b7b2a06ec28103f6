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
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

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

constexpr int kThreads = 256, kStack = 32 * 1024;
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
  uint32_t a[4], b[2];
  unsigned number;  // counts the lane's messages
};

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStack);
  State state = State::kDone;
  unsigned message_count = 0;
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};

inline std::vector<Fiber> fibers(kThreads);
inline ucontext_t scheduler;
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
  Fiber& fiber = fibers[running];
  fiber.state = state;
  swapcontext(&fiber.context, &scheduler);
}

inline void resume(int thread) {
  running = thread;
  threadIdx.x = thread;
  swapcontext(&scheduler, &fibers[thread].context);
}

inline void enter() {
  body();
  if (!fibers[running].open.empty()) fail("a copy was never committed");
  pause(State::kDone);
}

inline bool all(int begin, int end, State state) {
  return std::all_of(&fibers[begin], &fibers[0] + end,
                     [=](const Fiber& f) { return f.state == state || f.state == State::kDone; });
}

// Runs a warp until all its lanes wait at the block barrier or are done.
inline void run_warp(int first, std::vector<int>& order) {
  while (!all(first, first + 32, State::kAtBlock)) {
    std::shuffle(order.begin(), order.end(), rng);
    for (int lane : order)
      if (fibers[first + lane].state == State::kReady) resume(first + lane);
    if (all(first, first + 32, State::kAtWarp))
      for (int i = 0; i < 32; ++i)
        if (fibers[first + i].state == State::kAtWarp) fibers[first + i].state = State::kReady;
    bool stuck = !all(first, first + 32, State::kAtBlock);
    for (int i = 0; i < 32; ++i) stuck &= fibers[first + i].state != State::kReady;
    if (stuck) fail("some lanes of a warp wait for the warp, others at the block barrier");
  }
}

inline void run_block(int bytes) {
  shared_bytes = bytes;
  ASAN_UNPOISON_MEMORY_REGION(shared, sizeof shared);
  std::memset(shared, 0xff, sizeof shared);
  ASAN_POISON_MEMORY_REGION(shared + bytes, sizeof shared - bytes);
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack = {fiber.stack.data(), 0, fiber.stack.size()};
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, enter, 0);
    fiber.state = State::kReady, fiber.message_count = 0;
    fiber.open.clear(), fiber.groups.clear();
  }
  std::vector<int> warps(kThreads / 32), lanes(32);
  for (int i = 0; i < kThreads / 32; ++i) warps[i] = i;
  for (int i = 0; i < 32; ++i) lanes[i] = i;
  while (!all(0, kThreads, State::kDone)) {
    std::shuffle(warps.begin(), warps.end(), rng);
    for (int warp : warps) run_warp(warp * 32, lanes);
    for (Fiber& fiber : fibers)
      if (fiber.state == State::kAtBlock) fiber.state = State::kReady;
  }
}

// of_lane: the message of a lane of this warp. show: shows `mine` to the warp and waits for all lanes.
inline const Message& of_lane(int lane) {
  return messages[running / 32 * 32 + lane][fibers[running].message_count & 1];
}
inline void show(Message mine) {
  mine.number = ++fibers[running].message_count;
  messages[running][mine.number & 1] = mine;
  pause(State::kAtWarp);
  for (int lane = 0; lane < 32; ++lane)
    if (of_lane(lane).number != mine.number || of_lane(lane).instruction != mine.instruction)
      fail("not all lanes execute a warp instruction");
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
  emulator::fibers[emulator::running].open.push_back(copy);
}
inline void commit_copies() {
  emulator::Fiber& fiber = emulator::fibers[emulator::running];
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}
template <int kPending>
void wait_for_copies() {
  auto& groups = emulator::fibers[emulator::running].groups;
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

template <class T>
float number_of(const uint32_t* registers, int index) {
  T v;
  std::memcpy(&v, reinterpret_cast<const char*>(registers) + index * sizeof(T), sizeof(T));
  return to_float(v);
}
template <>
inline float number_of<float>(const uint32_t* registers, int index) {
  return __uint_as_float(registers[index] & ~0x1fffu);  // tensor cores read 10 bits of the mantissa
}

// Rounds towards zero, like the sums of tensor cores (Fasi, Higham, Mikaitis, Pranesh 2021).
inline float truncate(double v) {
  const float rounded = static_cast<float>(v);
  return std::fabs(rounded) > std::fabs(v) ? std::nextafter(rounded, 0.0f) : rounded;
}

template <class T>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::show({emulator::Instruction::kMultiply, nullptr, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}, 0});
  constexpr int kEach = 4 / sizeof(T), kHalf = 4 * kEach;  // numbers of a register; k of one register of every lane
  const int lane = emulator::running % 32;
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
    double sum = c[i];
    for (int k = 0; k < 2 * kHalf; ++k) {
      const int holder = k % kHalf / kEach, half = k / kHalf, part = k % kEach;
      sum += double{number_of<T>(emulator::of_lane(row % 8 * 4 + holder).a, (half * 2 + row / 8) * kEach + part)} *
             number_of<T>(emulator::of_lane(col * 4 + holder).b, half * kEach + part);
    }
    c[i] = truncate(sum);
  }
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
