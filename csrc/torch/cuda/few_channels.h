// The kernels for a big image of few channels, on tensors that were checked.
#pragma once
#include <tuple>

#include "../../cuda/few_channels.h"
#include "tensors.h"

namespace ganzoo::cuda {

// In channels_last memory, starting at a multiple of 16 bytes.
inline Tensor aligned_nhwc(const Tensor& t) {
  const Tensor out = nhwc(t);
  return reinterpret_cast<uintptr_t>(out.data_ptr()) % 16 == 0 ? out
                                                               : allocated([&] { return torch::stable::clone(out); });
}

inline Weight weight_of(const Tensor& w) {
  return {w.data_ptr(), w.scalar_type() == ScalarType::Float, {w.stride(0), w.stride(1), w.stride(2), w.stride(3)}};
}

// The convolution, `transposed` or not, of x with the weight (cs, cb, 4, 4); `forward_out`: see Derivative.
inline Tensor few_channels(bool transposed, const FewChannels& s, const Tensor& x, const Maybe& forward_out,
                           float forward_slope, const Tensor& weight, const FewEpilogue& e) {
  const Type type = type_of(x, "input");
  Tensor out = transposed ? empty_nhwc(x, x.scalar_type(), s.n, s.cb, s.H, s.W)
                          : empty_nhwc(x, x.scalar_type(), s.n, s.cs, s.h, s.w);
  if (s.n == 0) return out;
  const Call call(x);
  const Tensor in = aligned_nhwc(x);
  Maybe keep;
  if (forward_out) keep = aligned_nhwc(*forward_out);
  const Derivative d = {keep ? keep->data_ptr() : nullptr, forward_slope};
  check((transposed ? few_channels_transposed : few_channels_strided)(type, s, in.data_ptr(), d, weight_of(weight), e,
                                                                      out.data_ptr(), call.processors, call.stream));
  return out;
}

// The gradients of the weight and, if `with_shift`, of the bias.
inline std::tuple<Tensor, Tensor> few_channels_gradients(const FewChannels& s, const Tensor& small, const Tensor& big,
                                                         bool grad_is_big, const Maybe& forward_out,
                                                         float forward_slope, bool with_shift) {
  Tensor weight = empty_nhwc(small, ScalarType::Float, s.cs, s.cb, 4, 4),
         shift = vector(small, with_shift ? grad_is_big ? s.cb : s.cs : 0);
  if (s.n == 0) return {torch::stable::zero_(weight), torch::stable::zero_(shift)};
  const Call call(small);
  const Tensor a = aligned_nhwc(small), b = aligned_nhwc(big),
               parts = scratch(small, bytes_of_few_channels_gradient(s, call.processors));
  Maybe keep;
  if (forward_out) keep = aligned_nhwc(*forward_out);
  const Derivative d = {keep ? keep->data_ptr() : nullptr, forward_slope};
  check(few_channels_gradient(type_of(small, "small"), s, a.data_ptr(), b.data_ptr(), grad_is_big, d,
                              weight.mutable_data_ptr<float>(), with_shift ? shift.mutable_data_ptr<float>() : nullptr,
                              parts.data_ptr(), call.processors, call.stream));
  return {weight, shift};
}

}  // namespace ganzoo::cuda
