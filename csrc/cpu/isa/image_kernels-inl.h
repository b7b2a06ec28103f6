// The kernels for images of one type, for the instruction set being compiled.
#pragma once
#include "../batch_norm/batch_norm-inl.h"
#include "../few_channels/few_channels-inl.h"
#include "../few_channels/weight_gradient-inl.h"
#include "../winograd/products-inl.h"
#include "../winograd/transforms-inl.h"
#include "kernels.h"
#include "vector-inl.h"

namespace ganzoo {
namespace ISA {
namespace {

constexpr Layout kGradientLayout = kBfloat16 ? Layout::kImagePairs : Layout::kFloats;

constexpr ImageKernels kImageKernels = {
    scatter<SmallSide, kLayout>,
    scatter<BigSide, kLayout>,
    scatter<SmallSide, kGradientLayout>,
    scatter<BigSide, kGradientLayout>,
    gather<SmallSide>,
    gather<BigSide>,
    multiply_transposed,
    multiply_strided,
    multiply_gradient,
    join_gradient,
    statistics,
    norm_act,
    norm_act_sums,
    norm_act_backward,
    few_channels_transposed,
    few_channels_strided,
    few_channels_weight_gradient,
};

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
