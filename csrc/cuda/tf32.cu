#include "products.cuh"

namespace ganzoo::cuda {
template cudaError_t launch_convolution<float, 1>(const PartsOfConvolution&, cudaStream_t);
template cudaError_t launch_gradient<float, 1>(const PartsOfGradient&, cudaStream_t);
}  // namespace ganzoo::cuda
