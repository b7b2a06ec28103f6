// Selects the instruction set: the best one of this processor, unless another was requested.
#include <atomic>
#include <cstdint>
#include <cstring>

#include "api.h"
#include "isa/kernels.h"

namespace ganzoo {
namespace {

// The named instruction set, or the best one if name is null; null if this processor lacks it.
const Kernels* find(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512 && (!name || !std::strcmp(name, kAvx512.name))) return &kAvx512;
  if (avx2 && (!name || !std::strcmp(name, kAvx2.name))) return &kAvx2;
#endif
  return !name || !std::strcmp(name, kGeneric.name) ? &kGeneric : nullptr;
}

std::atomic<const Kernels*> selected{nullptr};

}  // namespace

const Kernels& kernels() {
  const Kernels* current = selected.load();
  if (!current) selected.store(current = find(nullptr));
  return *current;
}

bool has_bfloat16() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return &kernels() == &kAvx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

const ImageKernels& image_kernels(Type type) {
#if defined(__x86_64__)
  if (type == Type::kBfloat16) return kAvx512Bfloat16;
#endif
  return kernels().images;
}

const char* instruction_set() { return kernels().name; }

bool select_instruction_set(const char* name) {
  const Kernels* requested = find(name && *name ? name : nullptr);
  if (requested) selected.store(requested);
  return requested != nullptr;
}

double fma_loop(int64_t rounds) { return kernels().fma_loop(rounds); }

}  // namespace ganzoo
