// C functions that `ganzoo.ops.cuda_library` calls through ctypes: the tf32 switch, and what the binary was built for.
#include "tensors.h"

extern "C" {
__attribute__((visibility("default"))) void ganzoo_cuda_allow_tf32(int allow) { ganzoo::cuda::tf32 = allow != 0; }
#ifndef GANZOO_EMULATE
// Never called: keeps digest and architectures in the binary, whose bytes are searched before it is loaded.
__attribute__((visibility("default"))) const char* ganzoo_cuda_sources() { return GANZOO_SOURCES; }
__attribute__((visibility("default"))) const char* ganzoo_cuda_architectures() { return GANZOO_ARCHITECTURES; }
__attribute__((visibility("default"))) int ganzoo_cuda_toolkit() { return CUDART_VERSION; }
#endif
}
