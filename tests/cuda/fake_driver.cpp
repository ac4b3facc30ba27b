// A driver for tests: libcuda.so.1 as the launcher knows it, whose kernels are the emulated ones of emulator/ and whose
// device memory is the host's. It notes what is launched, and refuses what it is told to refuse.
#include <cstring>
#include <string>
#include <vector>

extern "C" const char* emu_launch(const char* name, unsigned x, unsigned y, unsigned z, unsigned threads, const void* params, unsigned order);

#define API extern "C" __attribute__((visibility("default")))

namespace {

std::string noted, wrong;
int refuse_launch = 0;
int context;
bool is_current = true;

}  // namespace

API int cuInit(unsigned) { return 0; }
API int cuDriverGetVersion(int* version) { return *version = 12080, 0; }
API int cuGetErrorName(int status, const char** name) { return *name = status ? "CUDA_ERROR_TEST" : "CUDA_SUCCESS", 0; }
API int cuGetErrorString(int status, const char** words) { return *words = status ? "a planted error" : "no error", 0; }
API int cuDeviceGet(int* handle, int ordinal) { return *handle = ordinal, ordinal == 0 ? 0 : 101; }
API int cuDevicePrimaryCtxRetain(void** out, int) { return *out = &context, 0; }
API int cuCtxGetCurrent(void** out) { return *out = is_current ? &context : nullptr, 0; }
API int cuCtxPushCurrent_v2(void*) { return noted += "push ", 0; }
API int cuCtxPopCurrent_v2(void**) { return noted += "pop ", 0; }
API int cuLibraryLoadData(void** library, const void* image, int*, void**, unsigned, int*, void**, unsigned) {
  if (std::strcmp(static_cast<const char*>(image), "machine code")) return 200;
  return *library = &context, 0;
}
API int cuLibraryUnload(void*) { return 0; }
API int cuLibraryGetKernel(void** kernel, void*, const char* name) { return *kernel = const_cast<char*>(name), 0; }
API int cuLaunchKernel(void* kernel, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz, unsigned,
                       void* stream, void** params, void**) {
  if (refuse_launch) return refuse_launch;
  if (ty != 1 || tz != 1 || !x || !y || !z) return 1;
  noted += std::string(static_cast<const char*>(kernel)) + (stream ? "@stream " : " ");
  if (const char* error = emu_launch(static_cast<const char*>(kernel), x, y, z, tx, params[0], 0)) wrong = error;
  return 0;
}

// What was called since the last time, what a kernel did wrong, and what to refuse from now on.
API void fake_take(char* calls, int size, char* error, int error_size) {
  std::strncpy(calls, noted.c_str(), (size_t)size - 1);
  std::strncpy(error, wrong.c_str(), (size_t)error_size - 1);
  noted.clear();
  wrong.clear();
}
API void fake_refuse(int status) { refuse_launch = status; }
API void fake_current(int yes) { is_current = yes != 0; }
