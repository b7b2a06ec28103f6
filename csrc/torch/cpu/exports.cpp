// C functions that `ganzoo.ops.cpu_library` calls through ctypes: the instruction set, and the speed it can reach.
#include <cstdint>

#include "../../cpu/api.h"
#include "tensors.h"

#ifndef GANZOO_SOURCES
#define GANZOO_SOURCES ""
#endif

extern "C" {
__attribute__((visibility("default"))) const char* ganzoo_instruction_set() { return ganzoo::instruction_set(); }
__attribute__((visibility("default"))) int ganzoo_choose(const char* name) { return ganzoo::select_instruction_set(name); }
__attribute__((visibility("default"))) int ganzoo_has_bfloat16() { return ganzoo::has_bfloat16(); }
// Never called: keeps the digest in the binary, whose bytes are searched for it before it is loaded.
__attribute__((visibility("default"))) const char* ganzoo_sources() { return GANZOO_SOURCES; }
// Runs `rounds` of a loop of fused multiply-adds on every thread; returns the number of operations.
__attribute__((visibility("default"))) double ganzoo_fma_loop(int64_t rounds) {
  const int64_t threads = torch::stable::get_num_threads();
  ganzoo::tensors::run(threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ganzoo::fma_loop(rounds);
  });
  return static_cast<double>(threads) * static_cast<double>(rounds) * ganzoo::fma_loop(1);
}
}
