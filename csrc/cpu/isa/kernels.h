// The table of kernels of one instruction set.
#pragma once
#include <cstdint>

#include "../batch_norm/batch_norm.h"
#include "../blur/blur.h"
#include "../conv1x1/conv1x1.h"
#include "../stride1/stride1.h"
#include "../convolution/convolution.h"
#include "../few_channels/few_channels.h"
#include "../gemm/gemm.h"
#include "../winograd/winograd.h"

namespace ganzoo {

// `begin` and `end` are a range of work items, whose meaning the argument's header documents.
// Kernels for images of one type: float32, or bfloat16 with sums, parameters and statistics in float32.
struct ImageKernels {
  WinogradPass *scatter_small, *scatter_big, *scatter_small_for_gradient, *scatter_big_for_gradient;
  WinogradPass *gather_small, *gather_big;
  WinogradPass *multiply_transposed, *multiply_strided, *multiply_gradient, *join_gradient;
  void (*statistics)(const BatchNormPass&, int64_t begin, int64_t end);
  void (*norm_act)(const BatchNormPass&, int64_t begin, int64_t end);
  void (*norm_act_sums)(const BatchNormPass&, int64_t begin, int64_t end);
  void (*norm_act_backward)(const BatchNormPass&, int64_t begin, int64_t end);
  void (*few_channels_transposed)(const FewChannels&, int64_t begin, int64_t end, float* scratch);
  void (*few_channels_strided)(const FewChannels&, int64_t begin, int64_t end, float* scratch);
  void (*few_channels_weight_gradient)(const FewChannels&, int64_t begin, int64_t end, float* scratch);
};

struct Kernels {
  const char* name;
  ImageKernels images;
  void (*convolve)(const Convolution&, int64_t begin, int64_t end);
  void (*pack)(const WeightPacking&, int64_t begin, int64_t end);
  void (*weight_gradient)(const WeightGradient&, int64_t begin, int64_t end, float* scratch);
  void (*conv1x1)(const Conv1x1&, int64_t begin, int64_t end, float* scratch);
  void (*conv1x1_gradient)(const Gradient1x1&, int64_t begin, int64_t end, float* scratch);
  Stride1Kernels stride1_kernels[2];  // of kernel 3 and 4
  void (*conv3x3_expand)(const FewConv3x3&, int64_t begin, int64_t end, float* scratch);
  void (*conv3x3_reduce)(const FewConv3x3&, int64_t begin, int64_t end, float* scratch);
  void (*conv3x3_few_gradient)(const FewConv3x3&, int64_t begin, int64_t end, float* scratch);
  void (*blur)(const BlurRows&, int64_t begin, int64_t end, float* scratch);
  void (*pack_panel)(const Matrix& b, int64_t k, int64_t n, int64_t panel, float* to);
  void (*gemm)(const Gemm&, int64_t begin, int64_t end, float* scratch);
  double (*fma_loop)(int64_t rounds);

  const Stride1Kernels& stride1(int kernel) const { return stride1_kernels[kernel - 3]; }
};

extern const Kernels kGeneric;
#if defined(__x86_64__)
extern const Kernels kAvx2, kAvx512;
extern const ImageKernels kAvx512Bfloat16;
#endif

const Kernels& kernels();                       // the instruction set in use, see dispatch.cpp
const ImageKernels& image_kernels(Type type);  // of that instruction set; for bfloat16, only if has_bfloat16()

}  // namespace ganzoo
