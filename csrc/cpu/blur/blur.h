// Arguments of the filter [1, 3, 3, 1]. Rows are filtered vertically into a row of working memory, and from there
// horizontally, so that an image is read and written once.
#pragma once
#include <cstdint>

#include "../api.h"

namespace ganzoo {

// An item is a row of the result.
struct BlurRows : Blur {
  // Working memory of a thread: a row between two margins of zeros, and a row of zeros.
  int64_t margin() const { return padding * c; }
  int64_t scratch() const { return 2 * (margin() + w * c); }
};

}  // namespace ganzoo
