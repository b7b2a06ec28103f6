// The matrix product of fully connected layers on CPU tensors.
#include <torch/csrc/stable/library.h>

#include "tensors.h"

namespace {

using namespace ganzoo::tensors;

Tensor matmul(Tensor a, Tensor b, Maybe bias) {
  check(a, "the left matrix", 2);
  check(b, "the right matrix", 2);
  STD_TORCH_CHECK(a.size(1) == b.size(0), "ganzoo: a matrix of ", a.size(1), " columns cannot be multiplied by one of ",
                  b.size(0), " rows");
  const int64_t m = a.size(0), n = b.size(1), k = a.size(1), sizes[] = {m, n};
  STD_TORCH_CHECK(fits({m, n}) && fits({m, k}) && fits({k, n}), "ganzoo: the matrices are too large");
  const int64_t a_strides[] = {a.stride(0), a.stride(1)}, b_strides[] = {b.stride(0), b.stride(1)};
  Maybe keep;
  const float* shift = channel(bias, "bias", n, keep);
  Tensor c = torch::stable::new_empty(a, {sizes, 2}, ScalarType::Float);
  if (m > 0 && n > 0)
    ganzoo::gemm(a.const_data_ptr<float>(), a_strides, b.const_data_ptr<float>(), b_strides, shift, m, n, k,
                     c.mutable_data_ptr<float>(), threads());
  return c;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) { m.def("matmul(Tensor a, Tensor b, Tensor? bias) -> Tensor"); }

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) { m.impl("matmul", TORCH_BOX(&matmul)); }
