// Kernels that a GPU forbids, or whose results it leaves undefined: the emulator must stop each of them (`make
// cuda-emulate`). Without a GPU, only the emulator checks the kernels of csrc/cuda, so this checks the emulator.
#include <cstdio>
#include <cstdlib>

#include "../../csrc/cuda/ptx.h"

using namespace ganzoo::cuda;

constexpr int kBytes = 4096;

struct Arguments {
  int kind;
  const char* numbers;
};

static const char* const kinds[] = {"nothing forbidden",
                                    "half a warp",
                                    "two instructions",
                                    "bank conflicts",
                                    "unaligned matrix",
                                    "unaligned copy",
                                    "copy past shared memory",
                                    "copy never committed",
                                    "write past shared memory",
                                    "some lanes at the barrier",
                                    "large grid",
                                    "empty grid",
                                    "too much shared memory"};

static void kernel(const Arguments p) {
  const int lane = threadIdx.x % 32;
  char* shared = shared_memory();
  const char* row = shared + lane % 8 * 16;
  uint32_t a[4] = {}, b[2] = {};
  float c[4] = {};
  if (p.kind == 0) load_matrices(a, row), multiply_add<float>(c, a, b);
  if (p.kind == 1 && lane < 16) load_matrices(a, row);
  if (p.kind == 2) lane % 2 ? load_matrices(a, row) : multiply_add<float>(c, a, b);
  if (p.kind == 3) load_matrices(a, shared + lane * 128);
  if (p.kind == 4) load_matrices(a, row + 8);
  if (p.kind == 5) copy_async(shared, p.numbers + 8, true);
  if (p.kind == 6) copy_async(shared + kBytes, p.numbers, true);
  if (p.kind == 7) copy_async(shared, p.numbers, true);
  if (p.kind == 8) shared[kBytes - 128 + threadIdx.x] = 1;
  if (p.kind == 9) lane % 2 ? load_matrices(a, row) : __syncthreads();
}

int main(int, char** arguments) {
  const int kind = std::atoi(arguments[1]);
  if (kind >= static_cast<int>(sizeof kinds / sizeof *kinds)) return 2;
  alignas(16) static const char numbers[64] = {};
  const dim3 grid(kind == 11 ? 0 : 1, kind == 10 ? 1 << 16 : 1, 1);
  launch(&kernel, grid, kind == 12 ? 100 << 10 : kBytes, nullptr, Arguments{kind, numbers});
  std::printf("%s: ran to its end\n", kinds[kind]);
}
