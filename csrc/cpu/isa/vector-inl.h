// Vectors of the instruction set being compiled, in the compilers' vector extensions.
//
// avx512.cpp and avx2.cpp define GANZOO_AVX512 or GANZOO_AVX2 and set the compiler's target; without either the set is
// the generic one. avx512_bf16.cpp defines GANZOO_BFLOAT16 as well: its images are bfloat16. Every *-inl.h holds code for one instruction set, in the namespace ganzoo::ISA. Such a file must not
// be the first to include a header with inline functions, the standard library's in particular: they would be compiled
// for this instruction set, and the linker could use them for all others. isa/kernels.h therefore includes every plain
// header, and is included before the target is set.
#pragma once
#include <cstdint>

#include "../bfloat16.h"

#if defined(GANZOO_BFLOAT16)
#define ISA avx512_bf16
#elif defined(GANZOO_AVX512)
#define ISA avx512
#define ISA_NAME "avx512"
#define KERNELS kAvx512
#elif defined(GANZOO_AVX2)
#define ISA avx2
#define ISA_NAME "avx2"
#define KERNELS kAvx2
#else
#define ISA generic
#define ISA_NAME "generic"
#define KERNELS kGeneric
#endif

namespace ganzoo {
namespace ISA {
namespace {

// kLanes: floats of a vector. kRegisters: vector registers of the processor, 16 or 32. kTileRows: a register tile is
// kTileRows x 2 vectors. INTERLEAVE_LOW, _HIGH: the indices that interleave the first (second) halves of two vectors.
#if defined(GANZOO_AVX512)
constexpr int kLanes = 16, kRegisters = 32, kTileRows = 8;
#define INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(GANZOO_AVX2)
constexpr int kLanes = 8, kRegisters = 16, kTileRows = 6;
#define INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#if defined(__aarch64__)
constexpr int kLanes = 4, kRegisters = 32, kTileRows = 8;
#else
constexpr int kLanes = 4, kRegisters = 16, kTileRows = 4;
#endif
#define INTERLEAVE_LOW 0, 4, 1, 5
#define INTERLEAVE_HIGH 2, 6, 3, 7
#endif
constexpr int kTileColumns = 2 * kLanes;

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int IntVec __attribute__((vector_size(4 * kLanes)));
// A vector in memory, for load and store only: as a template argument the type would lose its attributes and be taken
// for aligned.
typedef float UnalignedVec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
inline Vec broadcast(float s) { return s - Vec{}; }

// Products of Winograd's scheme. Their factors are units of 32 bits: a float, or a pair of bfloat16, whose two products
// are added to the sum. `repeat` has the unit at p in every lane.
#if defined(GANZOO_BFLOAT16)
constexpr bool kBfloat16 = true;
using Element = Bfloat16;  // of an image
inline Vec repeat(const float* p) {
  int unit;
  __builtin_memcpy(&unit, p, sizeof(unit));
  return Vec(unit - IntVec{});
}
inline Vec add_product(Vec sum, Vec a, Vec b) { return Vec(_mm512_dpbf16_ps(__m512(sum), (__m512bh)a, (__m512bh)b)); }
// Rounds to pairs: those of neighbouring lanes, first of a, then of b; or those of the same lane of a and b.
inline Vec pairs_of_lanes(Vec a, Vec b) { return Vec(_mm512_cvtne2ps_pbh(__m512(b), __m512(a))); }
inline Vec pairs_of_vectors(Vec a, Vec b) {
  typedef short Words __attribute__((vector_size(64)));
  const Words order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return Vec(_mm512_permutexvar_epi16(__m512i(order), (__m512i)pairs_of_lanes(a, b)));
}
#else
constexpr bool kBfloat16 = false;
using Element = float;
inline Vec repeat(const float* p) { return broadcast(*p); }
inline Vec add_product(Vec sum, Vec a, Vec b) { return sum + a * b; }
#endif

// load and store of a Vec or of a single float, selected by the type of the first argument.
inline Vec get(Vec, const float* p) { return load(p); }
inline float get(float, const float* p) { return *p; }
inline void put(float* p, Vec v) { store(p, v); }
inline void put(float* p, float v) { *p = v; }

// The first `count` numbers of some vectors.
inline void store_first(float* p, const Vec* v, int64_t count) { __builtin_memcpy(p, v, count * sizeof(float)); }

#if defined(GANZOO_BFLOAT16)
typedef unsigned short Halves __attribute__((vector_size(2 * kLanes)));
typedef unsigned short UnalignedHalves __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));
inline Vec load(const Bfloat16* p) {
  return Vec(__builtin_convertvector(*reinterpret_cast<const UnalignedHalves*>(p), IntVec) << 16);
}
inline void store(Bfloat16* p, Vec v) { *reinterpret_cast<UnalignedHalves*>(p) = (Halves)_mm512_cvtneps_pbh(__m512(v)); }
inline Vec get(Vec, const Bfloat16* p) { return load(p); }
inline float get(float, const Bfloat16* p) { return to_float(*p); }
inline void put(Bfloat16* p, Vec v) { store(p, v); }
inline void put(Bfloat16* p, float v) { *p = to_bfloat16(v); }
inline void store_first(Bfloat16* p, const Vec* v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) put(p + i, v[i / kLanes][i % kLanes]);
}
#endif

// v > 0 ? v : slope * v. With a slope of 0, a ReLU: 0 also for -inf, whose product with 0 would be NaN.
template <class Type>
inline Type leaky_relu(Type v, float slope) {
  return slope == 0 ? (v < 0 ? Type{} : v) : (v > 0 ? v : v * slope);
}
// The gradient of its input: g times its derivative at an input, or output, of v. As in PyTorch, a ReLU lets g pass where
// v is NaN, and 0 times an infinite g is 0.
template <class Type>
inline Type leaky_relu_gradient(Type g, Type v, float slope) {
  return slope == 0 ? (v <= 0 ? Type{} : g) : (v > 0 ? g : g * slope);
}

// Calls body(type, c) for all channels: type is a Vec while a whole vector is left, then a float.
template <class Body>
inline void for_channels(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) body(Vec{}, c);
  for (; c < channels; ++c) body(0.0f, c);
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
