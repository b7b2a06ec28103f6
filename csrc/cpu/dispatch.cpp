// Which instruction set runs: the best this machine has, unless another one was chosen.
#include <atomic>
#include <cstring>

#include "kernels.h"

namespace ganzoo {
namespace {

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

std::atomic<const Kernels*> chosen{nullptr};

}  // namespace

const Kernels& kernels() {
  const Kernels* current = chosen.load();
  if (!current) chosen.store(current = find(nullptr));
  return *current;
}

bool choose(const char* name) {
  const Kernels* found = find(name && *name ? name : nullptr);
  if (found) chosen.store(found);
  return found != nullptr;
}

}  // namespace ganzoo
