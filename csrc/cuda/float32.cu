#include "products.cuh"

namespace ganzoo::cuda {
template cudaError_t launch_convolution<float, 3>(const PartsOfConvolution&, cudaStream_t);
template cudaError_t launch_gradient<float, 3>(const PartsOfGradient&, cudaStream_t);
}  // namespace ganzoo::cuda
