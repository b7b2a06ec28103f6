// bfloat16: the upper half of a float.
#pragma once
#include <cstdint>

namespace ganzoo {

struct Bfloat16 {
  uint16_t bits;
};

inline float to_float(Bfloat16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  float f;
  __builtin_memcpy(&f, &bits, sizeof(f));
  return f;
}

// To nearest, ties to even; NaN stays NaN.
inline Bfloat16 to_bfloat16(float f) {
  uint32_t bits;
  __builtin_memcpy(&bits, &f, sizeof(bits));
  if (f != f) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

}  // namespace ganzoo
