// Batch normalization passes. An item is a chunk of up to kPixelChunk pixels.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "batch_norm.h"

namespace ganzoo {
namespace ISA {
namespace {

inline const Element* pixel(const BatchNormPass& f, const void* image, int64_t p) {
  return static_cast<const Element*>(image) + p * f.c;
}

void statistics(const BatchNormPass& f, int64_t begin, int64_t end) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const int64_t from = chunk * kPixelChunk, count = min(kPixelChunk, f.pixels - from);
    const Element *first = pixel(f, f.y, from), *last = first + count * f.c;
    const float share = 1.0f / count;
    float *mean = f.partial_first + chunk * f.c, *m2 = f.partial_second + chunk * f.c;
    for (int64_t c = 0; c < f.c; ++c) mean[c] = m2[c] = 0;
    for (const Element* y = first; y != last; y += f.c)
      for_channels(f.c, [=](auto type, int64_t c) { put(mean + c, get(type, mean + c) + get(type, y + c)); });
    for (int64_t c = 0; c < f.c; ++c) mean[c] *= share;
    for (const Element* y = first; y != last; y += f.c)
      for_channels(f.c, [=](auto type, int64_t c) {
        const auto deviation = get(type, y + c) - get(type, mean + c);
        put(m2 + c, get(type, m2 + c) + deviation * deviation);
      });
  }
}

void norm_act(const BatchNormPass& f, int64_t begin, int64_t end) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const float *scale = f.scale + f.set_of(chunk) * f.c, *shift = f.shift + f.set_of(chunk) * f.c;
    for (int64_t p = f.first_pixel(chunk); p < f.last_pixel(chunk); ++p)
      for_channels(f.c, [&f, p, scale, shift](auto type, int64_t c) {
        const auto v = get(type, pixel(f, f.y, p) + c) * get(type, scale + c) + get(type, shift + c);
        put(static_cast<Element*>(f.out) + p * f.c + c, leaky_relu(v, f.slope));
      });
  }
}

// The gradient of act(scale * y + shift) with respect to scale * y + shift, with the sign computed as norm_act does.
template <class Type>
inline Type activation_gradient(Type type, const BatchNormPass& f, const float* scale, const float* shift, int64_t p,
                                int64_t c) {
  const auto v = get(type, pixel(f, f.y, p) + c) * get(type, scale + c) + get(type, shift + c);
  const auto g = get(type, pixel(f, f.grad, p) + c);
  return leaky_relu_gradient(g, v, f.slope);
}

void norm_act_sums(const BatchNormPass& f, int64_t begin, int64_t end) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const float *scale = f.scale + f.set_of(chunk) * f.c, *shift = f.shift + f.set_of(chunk) * f.c;
    float *sums = f.partial_first + chunk * f.c, *products = f.partial_second + chunk * f.c;
    for (int64_t c = 0; c < f.c; ++c) sums[c] = products[c] = 0;
    for (int64_t p = f.first_pixel(chunk); p < f.last_pixel(chunk); ++p)
      for_channels(f.c, [&f, p, scale, shift, sums, products](auto type, int64_t c) {
        const auto g = activation_gradient(type, f, scale, shift, p, c);
        put(sums + c, get(type, sums + c) + g);
        put(products + c, get(type, products + c) + g * (get(type, pixel(f, f.y, p) + c) - get(type, f.mean + c)));
      });
  }
}

void norm_act_backward(const BatchNormPass& f, int64_t begin, int64_t end) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const float *scale = f.scale + f.set_of(chunk) * f.c, *shift = f.shift + f.set_of(chunk) * f.c;
    for (int64_t p = f.first_pixel(chunk); p < f.last_pixel(chunk); ++p)
      for_channels(f.c, [&f, p, scale, shift](auto type, int64_t c) {
        const auto deviation = get(type, pixel(f, f.y, p) + c) - get(type, f.mean + c);
        put(static_cast<Element*>(f.out) + p * f.c + c, get(type, scale + c) * activation_gradient(type, f, scale, shift, p, c) -
                                     get(type, f.grad_mean + c) - get(type, f.grad_slope + c) * deviation);
      });
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
