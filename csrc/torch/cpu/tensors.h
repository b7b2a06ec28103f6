// CPU tensors for the kernels: argument checks, memory formats, new results. LibTorch's stable ABI only, so that one
// binary serves every torch from 2.10 on; no Python.h, so that it serves every Python.
#pragma once
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "../../cpu/api.h"

namespace ganzoo {
namespace tensors {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Maybe = std::optional<Tensor>;

inline constexpr int64_t kMaxFloats = int64_t{1} << 46;  // beyond any memory, and far from overflow

// Whether a tensor of these sizes fits into memory, 0 counted as 1: a view without memory of its own can have any size.
inline bool fits(std::initializer_list<int64_t> sizes) {
  int64_t left = kMaxFloats;
  for (const int64_t size : sizes) left /= std::max<int64_t>(size, 1);
  return left > 0;
}

inline void run(int64_t items, const Body& body) { torch::stable::parallel_for(0, items, 1, body); }
inline ganzoo::Parallel threads() { return {run, torch::stable::get_num_threads()}; }

inline void check_dense(const Tensor& t, const char* name, int64_t dim) {
  STD_TORCH_CHECK(t.is_cpu(), "ganzoo: ", name, " must be on the CPU");
  STD_TORCH_CHECK(t.layout() == torch::headeronly::Layout::Strided, "ganzoo: ", name, " must be a dense tensor");
  STD_TORCH_CHECK(t.dim() == dim, "ganzoo: ", name, " must have ", dim, " dimensions, but has ", t.dim());
  STD_TORCH_CHECK(t.numel() == 0 || t.const_data_ptr(), "ganzoo: ", name, " has no memory: its storage was freed");
}

inline void check(const Tensor& t, const char* name, int64_t dim) {
  STD_TORCH_CHECK(t.scalar_type() == ScalarType::Float, "ganzoo: ", name, " must be float32");
  check_dense(t, name, dim);
}

// An image of float32, or of bfloat16 if this processor has products of it.
inline Type check_image(const Tensor& t, const char* name) {
  const bool bfloat16 = t.scalar_type() == ScalarType::BFloat16;
  STD_TORCH_CHECK(bfloat16 || t.scalar_type() == ScalarType::Float, "ganzoo: ", name, " must be float32 or bfloat16");
  STD_TORCH_CHECK(!bfloat16 || has_bfloat16(), "ganzoo: ", name,
                  " is bfloat16, but the instruction set in use has no products of it");
  check_dense(t, name, 4);
  return bfloat16 ? Type::kBfloat16 : Type::kFloat32;
}
inline void check_image(const Tensor& t, const char* name, Type type) {
  STD_TORCH_CHECK(check_image(t, name) == type, "ganzoo: ", name, " must be of the same dtype as the other image");
}

// The system maps a large result page by page as it is written: ask for pages of 2 MiB.
inline void ask_for_large_pages(const Tensor& t) {
#if defined(__linux__)
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  const uintptr_t start = reinterpret_cast<uintptr_t>(t.mutable_data_ptr());
  const uintptr_t first = (start + kPage - 1) & ~(kPage - 1);
  const uintptr_t last = (start + t.element_size() * t.numel()) & ~(kPage - 1);
  if (last > first + kPage) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // only a hint
#endif
}

inline Tensor empty_nhwc(Type type, int64_t n, int64_t c, int64_t h, int64_t w) {
  STD_TORCH_CHECK(fits({n, c, h, w}), "ganzoo: the result is too large");
  const int64_t sizes[] = {n, c, h, w};
  const Tensor t = torch::stable::empty({sizes, 4}, type == Type::kFloat32 ? ScalarType::Float : ScalarType::BFloat16, std::nullopt, std::nullopt, std::nullopt,
                                        MemoryFormat::ChannelsLast);
  ask_for_large_pages(t);
  return t;
}

// to[n][pixel][c] = from[n][c][pixel]
template <int CHANNELS>
void interleave(const float* from, int64_t images, int64_t pixels, float* to) {
  run(images, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t p = 0; p < pixels; ++p)
        for (int c = 0; c < CHANNELS; ++c) to[(n * pixels + p) * CHANNELS + c] = from[(n * CHANNELS + c) * pixels + p];
  });
}

inline Tensor nhwc(const Tensor& t) {
  const int64_t images = t.size(0), channels = t.size(1), pixels = t.size(2) * t.size(3);
  // batches come as NCHW, and PyTorch copies colours number by number, on one thread
  if (t.scalar_type() != ScalarType::Float || (channels != 3 && channels != 4) || pixels == 1 || !t.is_contiguous())
    return torch::stable::contiguous(t, MemoryFormat::ChannelsLast);
  const Tensor copy = empty_nhwc(Type::kFloat32, images, channels, t.size(2), t.size(3));
  auto* interleave_channels = channels == 3 ? interleave<3> : interleave<4>;
  interleave_channels(t.const_data_ptr<float>(), images, pixels, copy.mutable_data_ptr<float>());
  return copy;
}

inline Tensor vector(const Tensor& like, int64_t size) {
  return torch::stable::new_empty(like, {&size, 1}, ScalarType::Float);
}

// A vector of `size` floats, or null; `keep` owns its contiguous copy.
inline const float* channel(const Maybe& t, const char* name, int64_t size, Maybe& keep) {
  if (!t) return nullptr;
  check(*t, name, 1);
  STD_TORCH_CHECK(t->size(0) == size, "ganzoo: ", name, " must have ", size, " elements, but has ", t->size(0));
  keep = torch::stable::contiguous(*t);
  return keep->const_data_ptr<float>();
}

inline void check_weight(const Tensor& weight) {
  check(weight, "weight", 4);
  STD_TORCH_CHECK(weight.size(2) == 4 && weight.size(3) == 4, "ganzoo: weight must be [*, *, 4, 4]");
  STD_TORCH_CHECK(weight.size(0) > 0 && weight.size(1) > 0, "ganzoo: weight must have channels");
  STD_TORCH_CHECK(fits({weight.size(0), weight.size(1), 4, 4}), "ganzoo: weight is too large");
}

// The big image must be one that a convolution with kernel 4, stride 2, padding 1 reduces to h x w.
inline void check_sizes(const Shape& s) {
  STD_TORCH_CHECK(s.h > 0 && s.w > 0, "ganzoo: the image must have a height and a width, at least 2 to be halved");
  STD_TORCH_CHECK(s.H / 2 == s.h && s.W / 2 == s.w, "ganzoo: ", s.H, " x ", s.W, " is not twice ", s.h, " x ", s.w,
                  ", nor one more");
  STD_TORCH_CHECK(fits({s.n, s.h, s.w, s.cs}) && fits({s.n, s.H, s.W, s.cb}), "ganzoo: the images are too large");
}

// A convolution whose big image has few channels, see ganzoo::few_channels_convolve. Any memory format.
inline Tensor few_channels(Type type, bool transposed, const Shape& s, const Tensor& x, const Tensor& weight, const float* shift,
                           const Maybe& activated, const Activation& act) {
  const Tensor in = nhwc(x);
  const Maybe out_of = activated ? Maybe(nhwc(*activated)) : Maybe();
  const Tensor out = transposed ? empty_nhwc(type, s.n, s.cb, s.H, s.W) : empty_nhwc(type, s.n, s.cs, s.h, s.w);
  const FewChannelsLayer e = {weight.const_data_ptr<float>(),
                      {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)},
                      shift,
                      out_of ? out_of->const_data_ptr() : nullptr,
                      act};
  few_channels_convolve(type, transposed, s, in.const_data_ptr(), e, out.mutable_data_ptr(), threads());
  return out;
}

}  // namespace tensors
}  // namespace ganzoo
