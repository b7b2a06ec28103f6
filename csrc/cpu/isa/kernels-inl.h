// Defines the table of kernels of the instruction set being compiled. Included once, by that set's source file.
#pragma once
#include <cstdint>

#include "../blur/blur-inl.h"
#include "../conv1x1/conv1x1-inl.h"
#include "../convolution/convolution-inl.h"
#include "../convolution/pack-inl.h"
#include "../convolution/weight_gradient-inl.h"
#include "../gemm/gemm-inl.h"
#include "../stride1/few_channels-inl.h"
#include "../stride1/stride1-inl.h"
#include "image_kernels-inl.h"
#include "kernels.h"
#include "vector-inl.h"

namespace ganzoo {
namespace ISA {
namespace {

// As many independent chains of multiply-adds as hide the latency of one and fit the registers.
double fma_loop(int64_t rounds) {
  constexpr int kChains = kRegisters == 32 ? 16 : 10;
  Vec acc[kChains], sum = {};
  const Vec factor = broadcast(0.999f), term = broadcast(0.001f);
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) acc[i] = broadcast(0.1f * i);
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * factor + term;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum += acc[i];
  volatile float sink = sum[0];  // keeps the loop from being optimized away
  (void)sink;
  return 2.0 * kChains * kLanes * rounds;
}

}  // namespace
}  // namespace ISA

const Kernels KERNELS = {
    ISA_NAME,
    ISA::kImageKernels,
    ISA::convolve,
    ISA::pack,
    ISA::weight_gradient,
    ISA::conv1x1,
    ISA::conv1x1_gradient,
    {ISA::stride1_kernels<3>(), ISA::stride1_kernels<4>()},
    ISA::conv3x3_expand,
    ISA::conv3x3_reduce,
    ISA::conv3x3_few_gradient,
    ISA::blur,
    ISA::pack_panel,
    ISA::gemm,
    ISA::fma_loop,
};

}  // namespace ganzoo
