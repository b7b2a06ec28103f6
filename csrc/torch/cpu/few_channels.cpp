// Layers whose big image has 1 to 4 channels, on CPU tensors: the generator's last layer with its tanh, and gradients
// of a convolution fused with those of the activation after it. Without an activation, see convolution.cpp.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Activation;
using ganzoo::Shape;
using ganzoo::Type;

void check_few_channels(int64_t channels) {
  STD_TORCH_CHECK(channels >= 1 && channels <= ganzoo::kMaxFewChannels, "ganzoo: the big image must have 1 to ",
                  ganzoo::kMaxFewChannels, " channels, but has ", channels);
}

Tensor conv_transpose4x4s2_tanh(Tensor x, Tensor weight, Maybe shift, int64_t height, int64_t width) {
  const Type type = check_image(x, "input");
  check_weight(weight);
  check_few_channels(weight.size(1));
  STD_TORCH_CHECK(x.size(1) == weight.size(0), "ganzoo: weight is for ", weight.size(0),
                  " input channels, but there are ", x.size(1));
  const Shape s = {x.size(0), x.size(2), x.size(3), x.size(1), height, width, weight.size(1)};
  check_sizes(s);
  Maybe keep;
  const float* bias = channel(shift, "shift", s.cb, keep);
  return few_channels(type, true, s, x, weight, bias, {}, {true, 1});
}

// `out` is the result of the activation, `grad` its gradient.
Type check_gradient(const Tensor& grad, const Tensor& out) {
  const Type type = check_image(grad, "grad");
  check_image(out, "out", type);
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(grad.size(i) == out.size(i), "ganzoo: grad must have the shape of out");
  return type;
}

Activation activation(bool transposed, double slope) { return {transposed, static_cast<float>(slope)}; }

Tensor few_channels_input_grad(Tensor grad, Tensor out, Tensor weight, bool transposed, double slope, int64_t height,
                               int64_t width) {
  const Type type = check_gradient(grad, out);
  check_weight(weight);
  const int64_t cs = weight.size(0), cb = weight.size(1);
  check_few_channels(cb);
  STD_TORCH_CHECK(grad.size(1) == (transposed ? cb : cs), "ganzoo: weight is for ", transposed ? cb : cs,
                  " output channels, but there are ", grad.size(1));
  const Shape s = transposed ? Shape{grad.size(0), height, width, cs, grad.size(2), grad.size(3), cb}
                             : Shape{grad.size(0), grad.size(2), grad.size(3), cs, height, width, cb};
  check_sizes(s);
  return few_channels(type, !transposed, s, grad, weight, nullptr, out, activation(transposed, slope));
}

std::tuple<Tensor, Tensor> few_channels_weight_grad(Tensor grad, Tensor out, Tensor x, bool transposed, double slope) {
  const Type type = check_gradient(grad, out);
  check_image(x, "input", type);
  const Tensor g = nhwc(grad), o = nhwc(out), in = nhwc(x);
  const Tensor &small = transposed ? in : g, &big = transposed ? g : in;
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: grad and input must be of one batch");
  const Shape s = {small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1)};
  check_sizes(s);
  check_few_channels(s.cb);
  STD_TORCH_CHECK(s.cs > 0, "ganzoo: grad and input must have channels");
  Tensor weight = empty_nhwc(Type::kFloat32, s.cs, s.cb, 4, 4), shift = vector(g, grad.size(1));
  ganzoo::few_channels_weight_gradient(type, s, transposed, small.const_data_ptr(), big.const_data_ptr(),
                                       o.const_data_ptr(), activation(transposed, slope),
                                       weight.mutable_data_ptr<float>(), shift.mutable_data_ptr<float>(), threads());
  return {weight, shift};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("conv_transpose4x4s2_tanh(Tensor x, Tensor weight, Tensor? shift, SymInt height, SymInt width) -> Tensor");
  // gradients of tanh(conv_transpose(x) + shift) if transposed, else of leaky_relu(conv(x) + shift)
  m.def(
      "few_channels_input_grad(Tensor grad, Tensor out, Tensor weight, bool transposed, float slope, SymInt height, "
      "SymInt width) "
      "-> Tensor");
  m.def(
      "few_channels_weight_grad(Tensor grad, Tensor out, Tensor x, bool transposed, float slope) -> (Tensor weight, "
      "Tensor shift)");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("conv_transpose4x4s2_tanh", TORCH_BOX(&conv_transpose4x4s2_tanh));
  m.impl("few_channels_input_grad", TORCH_BOX(&few_channels_input_grad));
  m.impl("few_channels_weight_grad", TORCH_BOX(&few_channels_weight_grad));
}
