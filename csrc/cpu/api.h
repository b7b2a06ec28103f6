// The CPU operations on plain arrays: images NHWC of float32 or bfloat16, everything else float32, no torch.
//
// A "small" image is [n, h, w, cs] and a "big" one [n, H, W, cb] with H in {2h, 2h + 1} and W in {2w, 2w + 1}. All
// convolutions have a 4 x 4 kernel, stride 2 and padding 1; a weight is (cs, cb, 4, 4), which is the layout both of
// ConvTranspose2d (small -> big) and of Conv2d (big -> small).
//
// Work is cut into items that depend on shapes alone, so results are the same bits for any number of threads.
// Preconditions (positive sizes, no overlap of inputs and outputs) are the caller's to check.
#pragma once
#include <cstdint>
#include <functional>

namespace ganzoo {

using Body = std::function<void(int64_t begin, int64_t end)>;

// The caller's thread pool: execute() calls body(begin, end) for ranges that cover 0 .. items, possibly in parallel.
struct Parallel {
  void (*execute)(int64_t items, const Body& body);
  int64_t threads;
  void operator()(int64_t items, const Body& body) const { execute(items, body); }
};

inline void run_serially(int64_t items, const Body& body) { body(0, items); }
constexpr Parallel kOneThread = {run_serially, 1};

// Of the numbers of images. With bfloat16, sums and statistics are float32, and only results that are images are rounded.
enum class Type { kFloat32, kBfloat16 };
bool has_bfloat16();  // whether the instruction set in use has products of bfloat16; without, kFloat32 is the only type

inline const void* at(Type type, const void* numbers, int64_t index) {
  return static_cast<const char*>(numbers) + index * (type == Type::kFloat32 ? 4 : 2);
}
inline void* at(Type type, void* numbers, int64_t index) {
  return const_cast<void*>(at(type, static_cast<const void*>(numbers), index));
}

struct Shape {
  int64_t n, h, w, cs;  // the small image
  int64_t H, W, cb;     // the big image; n is shared
};

// ---- convolutions ---------------------------------------------------------------------------------------------------

// Applied to each sum before it is stored: out = act(scale * sum + shift), act(v) = v > 0 ? v : slope * v.
struct Epilogue {
  const float *scale, *shift;  // [output channels], or null (1 and 0)
  float slope;
  // [output channels]: mean and biased variance of the sums over all pixels; or null. Only without scale and shift and
  // with a slope of 1: Winograd's scheme would take them of the output, the direct sum before the epilogue.
  float *mean, *var;
};

// Whether Winograd's scheme is expected to be faster than the direct sum for this shape.
bool winograd_is_faster(const Shape& s);

// Number of floats that pack() writes.
int64_t packed_size(bool transposed, int64_t cs, int64_t cb);
// Packs a (cs, cb, 4, 4) weight of any strides into panels [block of kBlock outputs][phase][tap][cin][kBlock].
void pack(bool transposed, const float* weight, const int64_t strides[4], int64_t cs, int64_t cb, float* packed,
          Parallel run);

// transposed: small -> big; otherwise big -> small. `packed` is packed for the same direction. The direct sum of bfloat16
// images is computed in float32.
void convolve(Type type, bool transposed, bool winograd, const Shape& s, const void* x, const float* packed,
              const Epilogue& e, void* out, Parallel run);

// The gradient of either convolution with respect to its weight, (cs, 4, 4, cb): the sum over pixels of small x big.
void weight_gradient(Type type, bool winograd, const Shape& s, const void* small, const void* big, float* out,
                     Parallel run);

// ---- convolutions with kernel 3 or 4 and stride 1 -----------------------------------------------------------------------

struct ShapeStride1 {
  int kernel, padding;
  int64_t n, h, w, cin, cout;
  // x is [n, h, w, in_pitch] and the result [n, out_h, out_w, out_pitch], of which the first cin and cout channels are
  // meant: a grouped convolution is one for each group.
  int64_t in_pitch = cin, out_pitch = cout;

  int64_t out_h() const { return h + 2 * padding - kernel + 1; }
  int64_t out_w() const { return w + 2 * padding - kernel + 1; }
};

// Number of floats that pack_stride1() writes.
int64_t packed_size_stride1(int kernel, int64_t cin, int64_t cout);
// Packs a weight of any strides (output channel, input channel, row, column) for convolve_stride1. `transposed`: for the
// input gradient, which convolves the output's gradient, so that cin is the weight's number of output channels.
void pack_stride1(int kernel, bool transposed, const float* weight, const int64_t strides[4], int64_t cin, int64_t cout,
                  float* packed, Parallel run);
// out = act(scale * sum + shift + residual); residual is [n, out_h, out_w, out_pitch], or null (0).
void convolve_stride1(const ShapeStride1& s, const float* x, const float* packed, const Epilogue& e,
                      const float* residual, float* out, Parallel run);
// The gradient with respect to the weight, (cout, kernel, kernel, cin).
void weight_gradient_stride1(const ShapeStride1& s, const float* x, const float* grad, float* out, Parallel run);

// ---- convolutions with kernel 1 --------------------------------------------------------------------------------------

// What happens to a value: it is multiplied by the derivative of a leaky ReLU with this slope, at `values`; without them
// the leaky ReLU is applied to the value itself, and a slope of 1 means no change.
struct Signs {
  const float* values;
  float slope;
};

// out [pixels, cout] = out_signs(act(in_signs(x) weight + shift + residual)); shift and residual can be null (0).
struct Pointwise {
  int64_t pixels, cin, cout;
  const float *x, *weight;  // [pixels, cin]
  int64_t weight_in, weight_out;  // strides of the weight: input channel, output channel
  const float *shift, *residual;  // [cout], [pixels, cout]
  float slope;                    // act(v) = v > 0 ? v : slope * v
  Signs in_signs, out_signs;
  float* out;
};

void convolve1x1(const Pointwise& layer, Parallel run);

struct PointwiseGradient {
  int64_t pixels, cin, cout;
  const float *x, *grad;  // [pixels, cin], [pixels, cout]
  Signs x_signs, grad_signs;
  float* out;
  int64_t out_in, out_out;  // strides of the result: input channel, output channel
};

// The gradient with respect to the weight: the sum over pixels of grad_signs(grad) x x_signs(x).
void weight_gradient1x1(const PointwiseGradient& layer, Parallel run);

// The same, and `input` in the same pass: a layer of the same x as layer.grad, and in_signs as layer.grad_signs.
void gradients1x1(const PointwiseGradient& layer, const Pointwise& input, Parallel run);

// ---- the filter [1, 3, 3, 1] in both directions ----------------------------------------------------------------------

struct Blur {
  int64_t n, h, w, c, padding;
  float gain;  // the sum of the filter
  const float* x;
  float* out;  // [n, out_h, out_w, c]
  int64_t out_h() const { return h + 2 * padding - 3; }
  int64_t out_w() const { return w + 2 * padding - 3; }
};

void blur(const Blur& images, Parallel run);

// ---- convolutions whose big image has few channels ------------------------------------------------------------------

constexpr int kMaxFewChannels = 4;  // channels of the big image up to which the few_channels functions apply

struct Activation {
  bool tanh;    // if false: v > 0 ? v : slope * v
  float slope;
};

// Forward pass (`forward_out` null): out = act(sum + shift). Backward pass: `forward_out` is the output of act in the
// forward pass, x the gradient with respect to it; x is multiplied by the derivative of act, and out is the sum alone.
struct FewChannelsLayer {
  const float* weight;  // (cs, cb, 4, 4)
  int64_t strides[4];   // of the weight, any
  const float* shift;       // [output channels], or null
  const void* forward_out;
  Activation act;
};

void few_channels_convolve(Type type, bool transposed, const Shape& s, const void* x, const FewChannelsLayer& layer,
                           void* out, Parallel run);

// The gradients with respect to the weight, (cs, 4, 4, cb), and to the shift (may be null). The image that
// `grad_is_big` selects is the gradient with respect to `forward_out` (or to the sum, if that is null); the other is
// the layer's input.
void few_channels_weight_gradient(Type type, const Shape& s, bool grad_is_big, const void* small, const void* big,
                                  const void* forward_out, const Activation& act, float* weight, float* shift,
                                  Parallel run);

// ---- matrix product -------------------------------------------------------------------------------------------------

// c [m, n], contiguous, = a [m, k] b [k, n] + bias [n] (or null). a and b have any strides.
void gemm(const float* a, const int64_t a_strides[2], const float* b, const int64_t b_strides[2], const float* bias,
          int64_t m, int64_t n, int64_t k, float* c, Parallel run);

// ---- batch normalization over [pixels, channels] --------------------------------------------------------------------

// Mean and biased variance of each channel; pixels > 0.
void channel_statistics(Type type, const void* y, int64_t pixels, int64_t c, float* mean, float* var, Parallel run);

struct BatchNorm {
  const float *mean, *var;    // [c]
  const float *gamma, *beta;  // [sets, c], each for as many consecutive pixels; or null (1 and 0)
  double eps;
  float slope;       // of the activation: v > 0 ? v : slope * v
  int64_t sets = 1;  // divides the number of pixels; the number of images in a conditional batch norm
};

// out = act((y - mean) / sqrt(var + eps) * gamma + beta)
void norm_act(Type type, const void* y, int64_t pixels, int64_t c, const BatchNorm& norm, void* out, Parallel run);
// The gradients of norm_act if mean and var are the statistics of y (Ioffe & Szegedy 2015). dgamma, dbeta: [sets, c].
void norm_act_backward(Type type, const void* grad, const void* y, int64_t pixels, int64_t c, const BatchNorm& norm,
                       void* dy, float* dgamma, float* dbeta, Parallel run);

// ---- instruction set ------------------------------------------------------------------------------------------------

const char* instruction_set();  // "avx512", "avx2" or "generic": the one in use
// Uses the named instruction set from now on, or the best one if name is null or empty; false, and no change, if this
// processor lacks it.
bool select_instruction_set(const char* name);
// Runs `rounds` of fused multiply-adds in registers; returns the number of floating-point operations. For measuring the
// peak that kernels are compared with.
double fma_loop(int64_t rounds);

}  // namespace ganzoo
