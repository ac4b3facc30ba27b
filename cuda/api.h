// The C interface that avatars/raster/native.py loads. Arrays are C-contiguous float32 or int32. No function throws.
#pragma once
#include <new>

#define AV_API extern "C" __attribute__((visibility("default")))

namespace gs {

enum Status { kOk = 0, kOutOfMemory = 1, kBadCamera = 2 };

template <class Body> int guarded(Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
}

}  // namespace gs
