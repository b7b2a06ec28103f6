// Four lanes: SSE2 on any x86-64, NEON on arm64, whatever the compiler makes of it elsewhere.
#include "kernels.h"

#define ISA generic
#define ISA_NAME "generic"
#define KERNELS kGeneric
#define LANES 4
#if defined(__aarch64__)
#define REGISTERS 32
#define PIXELS 8
#else
#define REGISTERS 16
#define PIXELS 4
#endif
#define FIRST_HALVES 0, 4, 1, 5
#define SECOND_HALVES 2, 6, 3, 7
#include "kernels.inc"
