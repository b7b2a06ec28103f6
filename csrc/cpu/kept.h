// Memory that a thread keeps from one call to the next and only lets grow: a training asks for the same sizes thousands of
// times, and the system would hand them out page by page, zeroed, each time.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ganzoo {

// What for: what the calling thread shares with the others, a weight gradient's products apart; what each works with alone.
enum Use { kCaller, kProductsOfGradient, kWorker };

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};

template <Use USE>
float* kept(int64_t floats) {
  // Whole pages of 2 MiB where the system grants them: planes are written in so many places that 4 KiB ones would cost a
  // miss of the TLB each.
  constexpr int64_t kPage = int64_t{1} << 21;
  thread_local std::unique_ptr<float, Free> memory;
  thread_local int64_t size = 0;
  if (size < floats) {
    memory.reset();
    size = 0;
    const int64_t bytes = 4 * floats, align = bytes < kPage ? 64 : kPage, whole = (bytes + align - 1) / align * align;
    memory.reset(static_cast<float*>(std::aligned_alloc(align, whole)));
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    if (align == kPage) madvise(memory.get(), whole, MADV_HUGEPAGE);  // a hint, no more
#endif
    size = floats;
  }
  return memory.get();
}

}  // namespace ganzoo
