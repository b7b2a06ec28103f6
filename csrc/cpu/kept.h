// Memory that a thread keeps from one call to the next and only lets grow: a training asks for the same sizes thousands of
// times, and the system would hand them out page by page, zeroed, each time.
#pragma once
#include <cstdint>
#include <memory>
#include <new>

namespace ganzoo {

constexpr std::align_val_t kLine{64};  // a cache line: a vector that straddled two would take two loads

// What for: what the calling thread shares with the others, and what each works with alone.
enum Use { kCaller, kWorker };

template <Use USE>
float* kept(int64_t floats) {
  struct Free {
    void operator()(float* p) const { ::operator delete[](p, kLine); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local int64_t size = 0;
  if (size < floats) {
    memory.reset();
    memory.reset(static_cast<float*>(::operator new[](floats * sizeof(float), kLine)));
    size = floats;
  }
  return memory.get();
}

}  // namespace ganzoo
