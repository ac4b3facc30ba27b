// Launches the kernels of cuda/gpu on a stream of the caller, through the driver alone: no cudart, no torch, no Python.
// Every array, workspaces included, belongs to the caller; no call waits for the device, so all may be captured in a
// graph. The C interface that avatars/raster/cuda_driver.py loads.
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <new>

#include "../gpu/params.h"
#include "driver.h"

#define AV_API extern "C" __attribute__((visibility("default")))

using namespace gs::gpu;
namespace cuda = gs::cuda;

namespace {

// Statuses: 0, a CUresult, or one of these.
enum { kNoDriver = -1, kNoMemory = -2 };

struct Module {
  const cuda::Driver* driver;
  cuda::Library library;
  cuda::Kernel kernels[kKernels];
};

// Makes a device's primary context (torch's) current for one call, if it is not.
class OnDevice {
 public:
  OnDevice(const cuda::Driver& driver, int device) : driver_(driver) {
    constexpr int kMost = 64;
    static std::atomic<cuda::Context> contexts[kMost] = {};
    if (device < 0 || device >= kMost) {
      status = cuda::kInvalidContext;
      return;
    }
    // Retained once and never released: torch holds the same one as long as the process lives.
    cuda::Context context = contexts[device].load(), current = nullptr;
    if (!context) {
      int handle = 0;
      if ((status = driver.device(&handle, device)) || (status = driver.retain(&context, handle))) return;
      contexts[device] = context;
    }
    if ((status = driver.current(&current)) || current == context) return;
    pushed_ = !(status = driver.push(context));
  }
  ~OnDevice() {
    cuda::Context popped = nullptr;
    if (pushed_) driver_.pop(&popped);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  cuda::Result status = 0;

 private:
  const cuda::Driver& driver_;
  bool pushed_ = false;
};

// Launches kernels one after the other until one is refused.
template <class P> class Sequence {
 public:
  Sequence(const Module& module, int device, cuda::Stream stream, const P& params)
      : module_(module), on_(*module.driver, device), stream_(stream), params_(params), status_(on_.status) {}
  Sequence& then(Kernel kernel) {
    if (status_) return *this;
    const Launch at = launch_of(kernel, params_);
    void* arguments[] = {const_cast<P*>(&params_)};
    status_ = module_.driver->launch(module_.kernels[kernel], at.grid_x, at.grid_y, at.grid_z, at.threads, 1, 1, 0,
                                     stream_, arguments, nullptr);
    return *this;
  }
  Sequence& where(bool wanted, Kernel kernel) { return wanted ? then(kernel) : *this; }
  int status() const { return status_; }

 private:
  const Module& module_;
  OnDevice on_;
  cuda::Stream stream_;
  const P& params_;
  cuda::Result status_;
};

const Module& of(const void* module) { return *static_cast<const Module*>(module); }

}  // namespace

// Sizes of Raster, Bases, Loss and Adam, for the caller to compare with its own.
AV_API void av_cuda_layout(int* out) {
  out[0] = sizeof(Raster);
  out[1] = sizeof(Bases);
  out[2] = sizeof(Loss);
  out[3] = sizeof(Adam);
}

// Version of the driver's interface, 12080 for 12.8. On failure kNoDriver and a sentence.
AV_API int av_cuda_driver(int* version, char* message, int size) {
  const cuda::Driver* driver = cuda::driver(message, (size_t)size);
  return driver ? driver->version(version) : kNoDriver;
}

// Loads machine code for the device and finds every kernel in it.
AV_API int av_cuda_load(const void* image, int device, void** module, char* message, int size) {
  const cuda::Driver* driver = cuda::driver(message, (size_t)size);
  if (!driver) return kNoDriver;
  OnDevice on(*driver, device);
  if (on.status) return on.status;
  std::unique_ptr<Module> made(new (std::nothrow) Module{driver, nullptr, {}});
  if (!made) return kNoMemory;
  if (const int status = driver->load(&made->library, image, nullptr, nullptr, 0, nullptr, nullptr, 0)) return status;
  for (int i = 0; i < kKernels; i++)
    if (const int status = driver->kernel(&made->kernels[i], made->library, kKernelNames[i])) {
      std::snprintf(message, (size_t)size, "no kernel %s in the machine code", kKernelNames[i]);
      driver->unload(made->library);
      return status;
    }
  *module = made.release();
  return 0;
}

// The driver's words for a status, into `message`.
AV_API void av_cuda_words(int status, char* message, int size) {
  const cuda::Driver* driver = cuda::driver(message, (size_t)size);
  const char *name = nullptr, *words = nullptr;
  if (!driver) return;
  driver->error_name(status, &name);
  driver->error_string(status, &words);
  std::snprintf(message, (size_t)size, "%s (%s)", words ? words : "unknown error", name ? name : "unknown");
}

// Bytes of workspace: out[0] for a forward pass, kept for its backward pass; out[1] for the backward pass alone.
AV_API void av_cuda_bytes(const Raster* raster, unsigned long long* out) {
  Raster r = *raster;
  out[0] = assign_work(r, nullptr, false);
  out[1] = assign_work(r, nullptr, true) - out[0];
}

AV_API int av_cuda_forward(const void* module, int device, void* stream, Raster* raster, void* work) {
  assign_work(*raster, work, false);
  return Sequence<Raster>(of(module), device, stream, *raster)
      .then(kPrepare)
      .then(raster->bound.mean ? kProjectBound : kProjectFree)
      .then(kAllocate)
      .then(kScatter)
      .then(kBlend)
      .status();
}

// `work` as the forward pass left it, and scratch.
AV_API int av_cuda_backward(const void* module, int device, void* stream, Raster* raster, void* work, void* scratch) {
  const u64 kept = assign_work(*raster, work, false);
  const RasterWork forward = raster->work;
  // The backward buffers lie behind the forward ones; here they have an allocation of their own.
  assign_work(*raster, reinterpret_cast<void*>(reinterpret_cast<u64>(scratch) - kept), true);
  RasterWork both = forward;
  both.rows = raster->work.rows;
  both.surface_rows = raster->work.surface_rows;
  both.corner_rows = raster->work.corner_rows;
  both.camera_partial = raster->work.camera_partial;
  raster->work = both;
  const bool bound = raster->bound.mean != nullptr, vertices = bound && raster->g_bound.vertices;
  return Sequence<Raster>(of(module), device, stream, *raster)
      .then(raster->g_depth ? kBlendBackwardDepth : kBlendBackward)
      .then(!bound ? kProjectFreeBackward : raster->normals ? kProjectBoundBackwardNormals : kProjectBoundBackward)
      .where(raster->g_camera != nullptr, kCameraFinish)
      .where(vertices, kVertexGather)
      .where(vertices, kVertexFinish)
      .status();
}

AV_API int av_cuda_combine(const void* module, int device, void* stream, const Bases* bases) {
  return Sequence<Bases>(of(module), device, stream, *bases).then(kCombine).status();
}

AV_API unsigned long long av_cuda_combine_partial(const Bases* bases) { return bases_partial_floats(*bases); }

// Gradients of the weights and the bases, or a step of Adam on the bases.
AV_API int av_cuda_combine_backward(const void* module, int device, void* stream, const Bases* bases) {
  return Sequence<Bases>(of(module), device, stream, *bases)
      .then(kCombineBackward)
      .where(bases->g_weights != nullptr, kCombineFinish)
      .status();
}

// Elements of Loss.maps and Loss.partial.
AV_API void av_cuda_loss_sizes(const Loss* loss, unsigned long long* out) {
  out[0] = loss_map_floats(*loss);
  out[1] = loss_partial_doubles(*loss);
}

AV_API int av_cuda_loss(const void* module, int device, void* stream, const Loss* loss) {
  return Sequence<Loss>(of(module), device, stream, *loss)
      .then(kLoss)
      .then(kLossReduce)
      .where(loss->grad != nullptr, kLossBackward)
      .status();
}

// The corrections of this step, and then the step on every tensor; with no tensors, the corrections alone.
AV_API int av_cuda_adam(const void* module, int device, void* stream, const Adam* adam) {
  return Sequence<Adam>(of(module), device, stream, *adam).then(kAdamTick).where(adam->tensors > 0, kAdam).status();
}
