// The filter [1, 3, 3, 1] in both directions: work items.
#include "blur.h"

#include <cstdint>

#include "../isa/kernels.h"
#include "../workspace.h"

namespace ganzoo {

void blur(const Blur& images, Parallel run) {
  const BlurRows f = {images};
  const Kernels& isa = kernels();
  run(f.n * f.out_h(), [&](int64_t begin, int64_t end) {
    isa.blur(f, begin, end, workspace<Scratch::kThread>(f.scratch()));
  });
}

}  // namespace ganzoo
