#include "launch.cuh"

namespace ganzoo::cuda {
template cudaError_t launch_convolution<float, 3>(const ConvolutionLaunch&, cudaStream_t);
template cudaError_t launch_gradient<float, 3>(const GradientLaunch&, cudaStream_t);
}  // namespace ganzoo::cuda
