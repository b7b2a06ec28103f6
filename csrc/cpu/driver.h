// The operations on plain NHWC arrays: work is cut into items that depend on the shapes alone, so results are the same
// bits for any number of threads.
#pragma once
#include <cstdint>
#include <functional>

#include "kernels.h"

namespace ganzoo {

using Body = std::function<void(int64_t begin, int64_t end)>;
// Runs body(begin, end) over parts of 0..items, on as many threads as the caller has. What ops.cpp gives is torch's.
struct Parallel {
  void (*start)(int64_t items, const Body& body);
  int64_t threads;
  void operator()(int64_t items, const Body& body) const { start(items, body); }
};

struct Shape {
  int64_t n, h, w, cs;  // the small image
  int64_t H, W, cb;     // the big one
};

// What happens to a sum on its way out: out = act(scale * sum + shift), act(v) = v > 0 ? v : slope * v.
struct Epilogue {
  const float *scale, *shift;  // per output channel, or null
  float slope;
  float *mean, *var;  // of the output over its pixels, biased, or null
};

// Whether a convolution of this shape, or its weight gradient, is to be computed by Winograd's scheme.
bool takes_winograd(const Shape& s);
int64_t floats_of_packed(bool up, int64_t cs, int64_t cb);
// `weight` is (cs, cb, 4, 4) with any strides; the panels are [block of 32 outputs][class][tap][cin][32].
void pack(bool up, const float* weight, const int64_t strides[4], int64_t cs, int64_t cb, float* packed,
          Parallel run);

// up: small -> big, the transposed convolution; otherwise big -> small. k4, s2, p1.
void convolve(bool up, bool winograd, const Shape& s, const float* x, const float* packed, const Epilogue& e,
              float* out, Parallel run);
// weight (cs, 4, 4, cb) = sum over pixels of small x big: the gradient of both convolutions.
void weight_gradient(bool winograd, const Shape& s, const float* small, const float* big, float* out, Parallel run);

// Rows that an image of h x w pixels on the small side gives the panels of Winograd's inner points.
int64_t winograd_rows(int64_t h, int64_t w);
// The same by Winograd's scheme; place[kernel row * 4 + column] is where this tap comes in the panels.
void convolve_winograd(bool up, const Shape& s, const float* x, const float* packed, const int* place,
                       const Epilogue& e, float* out, Parallel run);
void winograd_weight_gradient(const Shape& s, const float* small, const float* big, float* out, Parallel run);

// The same for big images of 1 to kNarrow channels, in whose forward pass out = act(sum + shift), shift null or of the
// output's channels. `weight` is (cs, cb, 4, 4) with any strides. With `activated`, the results of act in that pass, x is
// the gradient of these results, and out is the sum alone.
struct Narrowed {
  const float* weight;
  int64_t strides[4];
  const float *shift, *activated;
  Activation act;
};
void narrow_convolve(bool up, const Shape& s, const float* x, const Narrowed& e, float* out, Parallel run);
// weight (cs, 4, 4, cb) = sum over pixels of small x big, and shift, of one of them; `of_big` says which: that one is the
// gradient of `activated` (or of the sum where that is null). shift may be null.
void narrow_gradient(const Shape& s, bool of_big, const float* small, const float* big, const float* activated,
                     const Activation& act, float* weight, float* shift, Parallel run);

// c [m, n], row after row, = a [m, k] b [k, n] + bias [n] (or null). a and b have any strides.
void multiply(const float* a, const int64_t a_strides[2], const float* b, const int64_t b_strides[2], const float* bias,
              int64_t m, int64_t n, int64_t k, float* c, Parallel run);

void channel_statistics(const float* y, int64_t pixels, int64_t c, float* mean, float* var, Parallel run);

struct BatchNorm {
  const float *mean, *var, *gamma, *beta;  // gamma, beta: or null
  double eps;
  float slope;
};

// out = act((y - mean) / sqrt(var + eps) * gamma + beta)
void norm_act(const float* y, int64_t pixels, int64_t c, const BatchNorm& norm, float* out, Parallel run);
// The gradients of norm_act where mean and var are those of y itself (Ioffe & Szegedy 2015).
void norm_act_backward(const float* grad, const float* y, int64_t pixels, int64_t c, const BatchNorm& norm, float* dy,
                       float* dgamma, float* dbeta, Parallel run);

}  // namespace ganzoo
