// Working memory that each thread keeps between calls and that only grows (oneDNN calls it a scratchpad). A training
// step asks for the same sizes thousands of times, and fresh memory would come from the system page by page, zeroed.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ganzoo {

// Buffers of a thread that are in use at the same time.
enum class Scratch {
  kShared,             // written by the calling thread, read by all threads of the call
  kGradientProducts,   // of Winograd's weight gradient, which also needs kThread
  kThread,             // used by one thread alone
};

struct FreeDeleter {
  void operator()(float* memory) const { std::free(memory); }
};

// At least `floats` floats, 64-byte aligned, uninitialized; valid until the thread's next call with the same USE.
template <Scratch USE>
float* workspace(int64_t floats) {
  // In pages of 2 MiB if the system grants them: Winograd's planes are written at so many addresses that each would
  // miss the TLB with pages of 4 KiB.
  constexpr int64_t kPage = int64_t{1} << 21;
  thread_local std::unique_ptr<float, FreeDeleter> memory;
  thread_local int64_t size = 0;
  if (size < floats) {
    memory.reset();
    size = 0;
    const int64_t bytes = 4 * floats, align = bytes < kPage ? 64 : kPage, padded = (bytes + align - 1) / align * align;
    memory.reset(static_cast<float*>(std::aligned_alloc(align, padded)));
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    if (align == kPage) madvise(memory.get(), padded, MADV_HUGEPAGE);  // only a hint: errors do not matter
#endif
    size = floats;
  }
  return memory.get();
}

}  // namespace ganzoo
