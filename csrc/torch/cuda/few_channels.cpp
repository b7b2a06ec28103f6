// Layers whose big image has 1 to 4 channels on CUDA tensors: tanh in the convolution, and gradients that include those
// of the activation; the schemas are in ../cpu/few_channels.cpp. Without an activation, see convolution.cpp.
#include "few_channels.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "tensors.h"

namespace {

using namespace ganzoo::cuda;

FewChannels checked(const Tensor& x, int64_t n, int64_t h, int64_t w, int64_t cs, int64_t H, int64_t W, int64_t cb) {
  check_sizes(n, h, w, cs, H, W, cb);
  STD_TORCH_CHECK(cb <= kMaxFewChannels, "ganzoo: the big image must have 1 to ", kMaxFewChannels,
                  " channels, but has ", cb);
  STD_TORCH_CHECK(has_few_channels(type_of(x, "input"), cs, cb),
                  "ganzoo: on a GPU this needs float16 or bfloat16, and as the small image's channels a multiple of 16 up "
                  "to ", kMaxSmallChannels, ", but there are ", cs);
  return {int(n), int(h), int(w), int(cs), int(H), int(W), int(cb)};
}

void check_weight(const Tensor& weight, const Tensor& x) {
  check(weight, "weight", 4, x);
  STD_TORCH_CHECK(weight.size(2) == 4 && weight.size(3) == 4, "ganzoo: weight must be [*, *, 4, 4]");
  STD_TORCH_CHECK(weight.scalar_type() == ScalarType::Float || weight.scalar_type() == x.scalar_type(),
                  "ganzoo: weight must be float32 or of the input's dtype");
}

Tensor conv_transpose4x4s2_tanh(Tensor x, Tensor weight, Maybe shift, int64_t height, int64_t width) {
  check(x, "input", 4, x);
  check_weight(weight, x);
  const int64_t cs = weight.size(0), cb = weight.size(1);
  STD_TORCH_CHECK(x.size(1) == cs, "ganzoo: weight is for ", cs, " input channels, but there are ", x.size(1));
  const FewChannels s = checked(x, x.size(0), x.size(2), x.size(3), cs, height, width, cb);
  Maybe keep;
  return few_channels(true, s, x, {}, 1, weight, {nullptr, channel(shift, "shift", cb, x, keep), true, 1});
}

// `out` is the result of the activation, `grad` its gradient.
void check_gradient(const Tensor& grad, const Tensor& out) {
  check(grad, "grad", 4, grad);
  check(out, "out", 4, grad);
  check_same_type(out, "out", grad);
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(grad.size(i) == out.size(i), "ganzoo: grad must have the shape of out");
}

Tensor few_channels_input_grad(Tensor grad, Tensor out, Tensor weight, bool transposed, double slope, int64_t height,
                               int64_t width) {
  check_gradient(grad, out);
  check_weight(weight, grad);
  const int64_t cs = weight.size(0), cb = weight.size(1);
  STD_TORCH_CHECK(grad.size(1) == (transposed ? cb : cs), "ganzoo: weight is for ", transposed ? cb : cs,
                  " output channels, but there are ", grad.size(1));
  const FewChannels s = transposed ? checked(grad, grad.size(0), height, width, cs, grad.size(2), grad.size(3), cb)
                                   : checked(grad, grad.size(0), grad.size(2), grad.size(3), cs, height, width, cb);
  return few_channels(!transposed, s, grad, out, static_cast<float>(slope), weight, {nullptr, nullptr, false, 1});
}

std::tuple<Tensor, Tensor> few_channels_weight_grad(Tensor grad, Tensor out, Tensor x, bool transposed, double slope) {
  check_gradient(grad, out);
  check(x, "input", 4, grad);
  check_same_type(x, "input", grad);
  const Tensor &small = transposed ? x : grad, &big = transposed ? grad : x;
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: grad and input must be of one batch");
  const FewChannels s = checked(small, small.size(0), small.size(2), small.size(3), small.size(1), big.size(2),
                                big.size(3), big.size(1));
  return few_channels_gradients(s, small, big, transposed, out, static_cast<float>(slope), true);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ganzoo, GANZOO_DEVICE, m) {
  m.impl("conv_transpose4x4s2_tanh", TORCH_BOX(&conv_transpose4x4s2_tanh));
  m.impl("few_channels_input_grad", TORCH_BOX(&few_channels_input_grad));
  m.impl("few_channels_weight_grad", TORCH_BOX(&few_channels_weight_grad));
}
