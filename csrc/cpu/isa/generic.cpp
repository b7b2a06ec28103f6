// The kernels with vectors of four: SSE2 on x86-64, NEON on arm64, and whatever the compiler makes of them elsewhere.
#include "kernels.h"
#include "kernels-inl.h"
