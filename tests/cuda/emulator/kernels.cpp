// The project's kernels, unchanged, behind a C interface for the tests.
#include "cuda.h"
#include "kernels.cu"

using namespace gs::gpu;

namespace {

void body_of(Kernel kernel, const void* params) {
  const Raster& r = *static_cast<const Raster*>(params);
  const Bases& b = *static_cast<const Bases*>(params);
  const Loss& l = *static_cast<const Loss*>(params);
  const Adam& a = *static_cast<const Adam*>(params);
  switch (kernel) {
    case kPrepare: return av_prepare(r);
    case kProjectBound: return av_project_bound(r);
    case kProjectFree: return av_project_free(r);
    case kAllocate: return av_allocate(r);
    case kScatter: return av_scatter(r);
    case kBlend: return av_blend(r);
    case kBlendBackward: return av_blend_backward(r);
    case kBlendBackwardDepth: return av_blend_backward_depth(r);
    case kProjectBoundBackward: return av_project_bound_backward(r);
    case kProjectBoundBackwardNormals: return av_project_bound_backward_normals(r);
    case kProjectFreeBackward: return av_project_free_backward(r);
    case kCameraFinish: return av_camera_finish(r);
    case kVertexGather: return av_vertex_gather(r);
    case kVertexFinish: return av_vertex_finish(r);
    case kCombine: return av_combine(b);
    case kCombineBackward: return av_combine_backward(b);
    case kCombineFinish: return av_combine_finish(b);
    case kLoss: return av_loss(l);
    case kLossReduce: return av_loss_reduce(l);
    case kLossBackward: return av_loss_backward(l);
    case kAdamTick: return av_adam_tick(a);
    case kAdam: return av_adam(a);
    default: return;
  }
}

template <class P> const char* start(Kernel kernel, const P* p, unsigned order) {
  const Launch l = launch_of(kernel, *p);
  return emulator::run({l.grid_x, l.grid_y, l.grid_z}, l.threads, order, [&] { body_of(kernel, p); });
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

// Any kernel by its number, with the grid that params.h gives it.
API const char* emu_raster(int kernel, const Raster* p, unsigned order) { return start((Kernel)kernel, p, order); }
API const char* emu_bases(int kernel, const Bases* p, unsigned order) { return start((Kernel)kernel, p, order); }
API const char* emu_loss(int kernel, const Loss* p, unsigned order) { return start((Kernel)kernel, p, order); }
API const char* emu_adam(int kernel, const Adam* p, unsigned order) { return start((Kernel)kernel, p, order); }

// Any kernel by its name, with a grid of the caller's: what cuLaunchKernel does. Null, or what went wrong.
API const char* emu_launch(const char* name, unsigned x, unsigned y, unsigned z, unsigned threads, const void* params, unsigned order) {
  for (int k = 0; k < kKernels; k++)
    if (!std::strcmp(name, kKernelNames[k])) return emulator::run({x, y, z}, threads, order, [&] { body_of((Kernel)k, params); });
  return "no such kernel";
}

API unsigned long long emu_work(Raster* p, void* memory, int backward) { return assign_work(*p, memory, backward != 0); }
API unsigned emu_combine_blocks(const Bases* p) { return combine_blocks(*p); }
API unsigned emu_loss_blocks(const Loss* p) { return loss_blocks(*p); }
API const char* emu_kernel_name(int kernel) { return kKernelNames[kernel]; }
API int emu_struct_size(int which) {
  const int sizes[] = {sizeof(Raster), sizeof(Bases), sizeof(Loss), sizeof(Adam), sizeof(AdamTensor), sizeof(RasterWork)};
  return sizes[which];
}

// Kernels with planted faults, to see that they are found.
namespace {

void barrier_in_a_branch() {
  if (threadIdx.x < 40) __syncthreads();
  else __syncwarp();
}
void barrier_on_both_sides() {
  if (threadIdx.x < 32) __syncthreads();
  else
    __syncthreads();
}
void leaves_before_a_barrier() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}
void shuffle_in_a_branch() {
  if (threadIdx.x & 1) (void)__shfl_sync(0xffffffffu, 1.0f, 0);
}

void neighbours(float* out, bool barrier) {
  GS_SHARED float values[64];
  values[threadIdx.x] = (float)threadIdx.x;
  if (barrier) __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

}  // namespace

API const char* emu_planted(int which, float* out, unsigned order) {
  void (*const bodies[])() = {barrier_in_a_branch, barrier_on_both_sides, leaves_before_a_barrier, shuffle_in_a_branch};
  if (which < 4) return emulator::run({1, 1, 1}, 64, order, bodies[which]);
  return emulator::run({1, 1, 1}, 64, order, [&] { neighbours(out, which == 5); });
}
