// Shared by the few-channel kernels: the activation's derivative, lines of the big image, the choice by channels.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "few_channels.h"

namespace ganzoo {
namespace ISA {
namespace {

constexpr int kPatchVectors = kRegisters == 32 ? 4 : 2;  // vectors of small channels in a register tile

// Copies `count` numbers of x, multiplied by the derivative of the activation at its output `out` unless that is null.
inline void copy_gradient(const Element* x, const Element* out, int64_t count, const Activation& act, float* to) {
  if (!out)
    for_channels(count, [&](auto type, int64_t i) { put(to + i, get(type, x + i)); });
  else if (act.tanh)
    for_channels(count, [&](auto type, int64_t i) {
      const auto y = get(type, out + i);
      put(to + i, get(type, x + i) * (1 - y * y));
    });
  else
    for_channels(count, [&](auto type, int64_t i) {
      const auto v = get(type, x + i);
      put(to + i, leaky_relu_gradient(v, get(type, out + i), act.slope));
    });
}

inline const Element* forward_out(const FewChannels& f) { return static_cast<const Element*>(f.forward_out); }

// A ring buffer of `places` lines of the big image: one pixel of zeros on the left, zeros on the right.
template <int CB>
struct Lines {
  const FewChannels& f;
  const Element* forward_out;
  int64_t image, places;
  float* memory;

  float* at(int64_t row) const { return memory + (row + 1) % places * line_size(f.w, CB); }
  void read(int64_t row) const {
    float* to = at(row);
    const int64_t count = f.W * CB;
    if (row < 0 || row >= f.H) {
      __builtin_memset(to, 0, line_size(f.w, CB) * sizeof(float));
      return;
    }
    const int64_t from = (image * f.H + row) * count;
    for (int c = 0; c < CB; ++c) to[c] = 0;
    copy_gradient(static_cast<const Element*>(f.big) + from, forward_out ? forward_out + from : nullptr, count, f.act, to + CB);
    __builtin_memset(to + CB + count, 0, (line_size(f.w, CB) - CB - count) * sizeof(float));
  }
};

typedef void ItemKernel(const FewChannels&, int64_t item, float* scratch);

// `by_channels` has a kernel for each number of big channels, 1 to kMaxFewChannels.
inline void for_items(ItemKernel* const* by_channels, const FewChannels& f, int64_t begin, int64_t end,
                      float* scratch) {
  for (int64_t item = begin; item < end; ++item) by_channels[f.cb - 1](f, item, scratch);
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
