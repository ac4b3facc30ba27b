// The few functions of NVIDIA's driver that the launcher needs, found in libcuda.so.1 when it is first asked for.
// Declared here from the driver's public interface, so that neither headers nor libraries of CUDA are needed to build.
#pragma once
#include <cstddef>

namespace gs {
namespace cuda {

using Result = int;       // CUresult; 0 is success
using Library = void*;    // CUlibrary
using Kernel = void*;     // CUkernel, which cuLaunchKernel takes for a CUfunction
using Context = void*;    // CUcontext
using Stream = void*;     // CUstream

constexpr Result kInvalidContext = 201;

struct Driver {
  Result (*init)(unsigned);
  Result (*version)(int*);
  Result (*error_name)(Result, const char**);
  Result (*error_string)(Result, const char**);
  Result (*device)(int*, int);
  Result (*retain)(Context*, int);
  Result (*current)(Context*);
  Result (*push)(Context);
  Result (*pop)(Context*);
  Result (*load)(Library*, const void*, int*, void**, unsigned, int*, void**, unsigned);
  Result (*unload)(Library);
  Result (*kernel)(Kernel*, Library, const char*);
  Result (*launch)(Kernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void**, void**);
};

// The driver, or null with the reason in `message`. Looks again at each call until it is found.
const Driver* driver(char* message, size_t size);

}  // namespace cuda
}  // namespace gs
