// Memory that a thread keeps from one call to the next and only lets grow: a training asks for the same sizes thousands of
// times, and the system would hand them out page by page, zeroed, each time.
#pragma once
#include <cstdint>
#include <memory>

namespace ganzoo {

// What for: what the calling thread shares with the others, its packed weights among it; and what each works with alone.
enum Use { kCaller, kPacked, kProductsOfGradient, kWorker };

template <Use USE>
float* kept(int64_t floats) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local int64_t size = 0;
  if (size < floats) {
    memory.reset();
    memory.reset(new float[floats]);
    size = floats;
  }
  return memory.get();
}

}  // namespace ganzoo
