// Batch norm with a leaky ReLU on CPU tensors: statistics, forward and backward passes over [pixels, channels].
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Type;

Type check_pixels(const Tensor& y) {
  const Type type = check_image(y, "y");
  STD_TORCH_CHECK(y.numel() > 0, "ganzoo: an empty batch has no statistics");
  return type;
}

std::tuple<Tensor, Tensor> channel_stats(Tensor y) {
  const Type type = check_pixels(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1);
  Tensor mean = vector(in, c), var = vector(in, c);
  ganzoo::channel_statistics(type, in.const_data_ptr(), y.numel() / c, c, mean.mutable_data_ptr<float>(),
                             var.mutable_data_ptr<float>(), threads());
  return {mean, var};
}

// A tensor [c], or [n, c] with a row for each image, or null; `keep` owns its contiguous copy.
const float* rows_of_channels(const Maybe& t, const char* name, int64_t n, int64_t c, Maybe& keep) {
  if (!t || t->dim() != 2) return channel(t, name, c, keep);
  check(*t, name, 2);
  STD_TORCH_CHECK(t->size(0) == n && t->size(1) == c, "ganzoo: ", name, " must be [", c, "] or [", n, ", ", c,
                  "], but is [", t->size(0), ", ", t->size(1), "]");
  keep = torch::stable::contiguous(*t);
  return keep->const_data_ptr<float>();
}

struct Norm {
  Maybe keep[4];
  ganzoo::BatchNorm values;

  Norm(const Tensor& y, const Tensor& mean, const Tensor& var, const Maybe& gamma, const Maybe& beta, double eps,
       double slope) {
    const int64_t n = y.size(0), c = y.size(1);
    STD_TORCH_CHECK(!gamma || !beta || gamma->dim() == beta->dim(), "ganzoo: gamma and beta must have the same shape");
    const Maybe& either = gamma ? gamma : beta;
    values = {channel(mean, "mean", c, keep[0]),
              channel(var, "var", c, keep[1]),
              rows_of_channels(gamma, "gamma", n, c, keep[2]),
              rows_of_channels(beta, "beta", n, c, keep[3]),
              eps,
              static_cast<float>(slope),
              either && either->dim() == 2 ? n : 1};
  }

  // Of the shape of gamma and beta.
  Tensor empty_gradient(const Tensor& y, const Maybe& gamma, const Maybe& beta) const {
    const int64_t sizes[] = {y.size(0), y.size(1)};
    const Maybe& either = gamma ? gamma : beta;
    const bool by_image = either && either->dim() == 2;
    return torch::stable::new_empty(y, {by_image ? sizes : sizes + 1, by_image ? size_t{2} : size_t{1}},
                                    ScalarType::Float);
  }
};

Tensor batch_norm_act(Tensor y, Tensor mean, Tensor var, Maybe gamma, Maybe beta, double eps, double slope) {
  const Type type = check_pixels(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1);
  const Norm norm(y, mean, var, gamma, beta, eps, slope);
  Tensor out = empty_nhwc(type, y.size(0), c, y.size(2), y.size(3));
  ganzoo::norm_act(type, in.const_data_ptr(), y.numel() / c, c, norm.values, out.mutable_data_ptr(), threads());
  return out;
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_act_backward(Tensor grad, Tensor y, Tensor mean, Tensor var, Maybe gamma,
                                                           Maybe beta, double eps, double slope) {
  const Type type = check_pixels(y);
  check_image(grad, "grad", type);
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(grad.size(i) == y.size(i), "ganzoo: grad must have the shape of y");
  const Tensor in = nhwc(y), g = nhwc(grad);
  const int64_t c = y.size(1);
  const Norm norm(y, mean, var, gamma, beta, eps, slope);
  Tensor dy = empty_nhwc(type, y.size(0), c, y.size(2), y.size(3));
  Tensor dgamma = norm.empty_gradient(y, gamma, beta), dbeta = norm.empty_gradient(y, gamma, beta);
  ganzoo::norm_act_backward(type, g.const_data_ptr(), in.const_data_ptr(), y.numel() / c, c, norm.values,
                            dy.mutable_data_ptr(), dgamma.mutable_data_ptr<float>(),
                            dbeta.mutable_data_ptr<float>(), threads());
  return {dy, dgamma, dbeta};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  // the mean and biased variance of each channel
  m.def("channel_stats(Tensor y) -> (Tensor, Tensor)");
  // gamma and beta are [C], or [N, C] for a scale and shift of each image, which only the CPU has
  m.def(
      "batch_norm_act(Tensor y, Tensor mean, Tensor var, Tensor? gamma, Tensor? beta, float eps, float slope) -> "
      "Tensor");
  m.def(
      "batch_norm_act_backward(Tensor grad, Tensor y, Tensor mean, Tensor var, Tensor? gamma, Tensor? beta, float eps, "
      "float slope) -> (Tensor, Tensor, Tensor)");
  // running statistics := theirs + momentum (the batch's - theirs), the variance times `correction`; only the GPU has it,
  // where each operation is a launch
  m.def(
      "update_running_statistics(Tensor mean, Tensor var, Tensor(a!) running_mean, Tensor(b!) running_var, float "
      "momentum, float correction) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("channel_stats", TORCH_BOX(&channel_stats));
  m.impl("batch_norm_act", TORCH_BOX(&batch_norm_act));
  m.impl("batch_norm_act_backward", TORCH_BOX(&batch_norm_act_backward));
}
