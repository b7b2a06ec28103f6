// The CUDA operations on device pointers and a stream, without torch. Every function enqueues work and returns the
// error of doing so; none waits or allocates, and results are the same bits every time.
#pragma once
#include <cstdint>

#ifdef GANZOO_EMULATE
#include "emulator.h"
#else
#include <cuda_runtime_api.h>
#endif

#include "indexing.h"

namespace ganzoo::cuda {

// The type of the factors; sums are always float32. kFloat32 computes each product as three of tf32.
enum class Type { kFloat32, kTf32, kFloat16, kBFloat16 };

inline int bytes_of(Type type) { return type == Type::kFloat16 || type == Type::kBFloat16 ? 2 : 4; }

inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

struct Epilogue {
  const float *scale, *shift;  // out = act(scale * sum + shift), act(v) = v > 0 ? v : slope * v; or null
  float slope;
  float *mean, *var;  // of the sums over the output's pixels, biased; or null
};

// Packs a (cs, cb, 4, 4) weight, float32 or of `type`, with any strides, into the layout that the convolution reads.
int64_t bytes_of_packed(Type type, const Convolution& f);
cudaError_t pack(Type type, const Convolution& f, const void* weight, bool weight_is_float32, const int64_t strides[4],
                 void* packed, cudaStream_t stream);

// `scratch`: bytes_of_statistics(f) bytes if e.mean is not null.
int64_t bytes_of_statistics(const Convolution& f);
cudaError_t convolve(Type type, const Convolution& f, const void* x, const void* packed, const Epilogue& e, void* out,
                     void* scratch, int processors, cudaStream_t stream);

// out: (cs, 4, 4, cb) in float32. `scratch`: bytes_of_splits(...) bytes, possibly 0.
int64_t bytes_of_splits(Type type, const Gradient& g, int processors);
cudaError_t weight_gradient(Type type, const Gradient& g, const void* small, const void* big, float* out, void* scratch,
                            int processors, cudaStream_t stream);

// ---- passes over [pixels, channels] ---------------------------------------------------------------------------------

struct BatchNorm {
  const float *mean, *var, *gamma, *beta;  // gamma, beta: or null
  float eps, slope;
};

int64_t bytes_of_sums(int64_t pixels, int channels);  // scratch of channel_statistics and norm_act_backward

cudaError_t channel_statistics(Type type, const void* y, int64_t pixels, int channels, float* mean, float* var,
                               void* scratch, cudaStream_t stream);
// running += momentum (batch's - running), the variance times `correction`.
cudaError_t update_running(int channels, const float* mean, const float* var, float momentum, float correction,
                           float* running_mean, float* running_var, cudaStream_t stream);
// out = act((y - mean) / sqrt(var + eps) * gamma + beta)
cudaError_t norm_act(Type type, const void* y, int64_t pixels, int channels, const BatchNorm& norm, void* out,
                     cudaStream_t stream);
// The gradients of norm_act if mean and var are the statistics of y (Ioffe & Szegedy 2015).
cudaError_t norm_act_backward(Type type, const void* grad, const void* y, int64_t pixels, int channels,
                              const BatchNorm& norm, void* dy, float* dgamma, float* dbeta, void* scratch,
                              cudaStream_t stream);

// Whether the kernels for Hopper may be used: yes, unless a test or a benchmark forbids them.
void allow_hopper(bool allow);

// ---- matrix products, compiled for one type each (float32.cu, tf32.cu, float16.cu, bfloat16.cu) ---------------------

struct ConvolutionLaunch {
  Convolution f;
  const void *x, *packed;
  void* out;
  Epilogue e;
  float *mean, *m2;
  int columns;  // of a tile: 128 or 64
};

struct GradientLaunch {
  Gradient g;
  const void *small, *big;
  float* out;
  int columns, splits, stages_of_split;
};

template <class T, int kProducts>
cudaError_t launch_convolution(const ConvolutionLaunch& parts, cudaStream_t stream);
template <class T, int kProducts>
cudaError_t launch_gradient(const GradientLaunch& parts, cudaStream_t stream);

// ---- the same products on Hopper (hopper.cu) ------------------------------------------------------------------------

// Whether they can be computed there, on the current device.
bool hopper_takes(Type type, const Convolution& f);
bool hopper_takes(Type type, const Gradient& g);

// How a product is divided: `splits` blocks of a cluster (one or two) share k, and `parts` clusters, whose sums are then added.
struct HopperPlan {
  int rows_of_groups;  // 2: tiles of 128 x 128 sums, 1: of 64 x 256
  int splits, parts, stages;  // stages: of the ring in shared memory
  int columns;                // pixels of one block of statistics
};

HopperPlan plan_hopper(const Convolution& f, int processors);
HopperPlan plan_hopper(const Gradient& g, int processors);
cudaError_t launch_hopper(Type type, const HopperPlan& plan, const ConvolutionLaunch& parts, cudaStream_t stream);
cudaError_t launch_hopper(Type type, const HopperPlan& plan, const GradientLaunch& parts, cudaStream_t stream);

}  // namespace ganzoo::cuda
