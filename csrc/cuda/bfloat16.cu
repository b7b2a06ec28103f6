#include "products.cuh"

namespace ganzoo::cuda {
template cudaError_t launch_convolution<bfloat16, 1>(const PartsOfConvolution&, cudaStream_t);
template cudaError_t launch_gradient<bfloat16, 1>(const PartsOfGradient&, cudaStream_t);
}  // namespace ganzoo::cuda
