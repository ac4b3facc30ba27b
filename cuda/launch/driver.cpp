#include "driver.h"

#include <dlfcn.h>

#include <cstdio>
#include <mutex>

namespace gs {
namespace cuda {

namespace {

std::mutex lock;
Driver table;
bool ready = false;

template <class F> bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

const char* missing(void* h) {
  if (!find(h, "cuInit", table.init)) return "cuInit";
  if (!find(h, "cuDriverGetVersion", table.version)) return "cuDriverGetVersion";
  if (!find(h, "cuGetErrorName", table.error_name)) return "cuGetErrorName";
  if (!find(h, "cuGetErrorString", table.error_string)) return "cuGetErrorString";
  if (!find(h, "cuDeviceGet", table.device)) return "cuDeviceGet";
  if (!find(h, "cuDevicePrimaryCtxRetain", table.retain)) return "cuDevicePrimaryCtxRetain";
  if (!find(h, "cuCtxGetCurrent", table.current)) return "cuCtxGetCurrent";
  if (!find(h, "cuCtxPushCurrent_v2", table.push)) return "cuCtxPushCurrent_v2";
  if (!find(h, "cuCtxPopCurrent_v2", table.pop)) return "cuCtxPopCurrent_v2";
  if (!find(h, "cuLibraryLoadData", table.load)) return "cuLibraryLoadData (drivers from 525 on have it)";
  if (!find(h, "cuLibraryUnload", table.unload)) return "cuLibraryUnload";
  if (!find(h, "cuLibraryGetKernel", table.kernel)) return "cuLibraryGetKernel";
  if (!find(h, "cuLaunchKernel", table.launch)) return "cuLaunchKernel";
  return nullptr;
}

}  // namespace

const Driver* driver(char* message, size_t size) {
  std::lock_guard<std::mutex> guard(lock);
  if (ready) return &table;
  void* handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (!handle) {
    std::snprintf(message, size, "%s", dlerror());
    return nullptr;
  }
  if (const char* name = missing(handle)) {
    std::snprintf(message, size, "libcuda.so.1 has no %s", name);
    return nullptr;
  }
  if (const Result status = table.init(0)) {
    const char* words = nullptr;
    table.error_string(status, &words);
    std::snprintf(message, size, "cuInit: %s", words ? words : "unknown error");
    return nullptr;
  }
  ready = true;
  return &table;
}

}  // namespace cuda
}  // namespace gs
