// What every kernel file starts from: markers, arithmetic of fixed rounding, and sums over a warp.
//
// The markers are macros because the tests compile the same text for the CPU, with their own GS_KERNEL and GS_SHARED
// and functions named like CUDA's built-in ones (tests/cuda/emulator).
#pragma once

#if !defined(GS_KERNEL)
#define GS_KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define GS_SHARED __shared__
#define GS_DEVICE __device__ __forceinline__
#define GS_PARAMETER(Type) const __grid_constant__ Type
#endif

#include "params.h"
#include "gs_base.h"

namespace gs {
namespace gpu {

static_assert(kTileSize == kTile, "params.h and gs_base.h must agree");

constexpr u32 kAll = 0xffffffffu;
constexpr u32 kHidden = 0xffffffffu;  // depth of a splat that is not drawn
constexpr i32 kWarps = kThreads / 32;

// Two kernels that must take the same decision (which tiles, which pixels) may not leave it to the compiler where
// products and sums are fused: these are never changed.
GS_DEVICE float mul(float a, float b) { return __fmul_rn(a, b); }
GS_DEVICE float add(float a, float b) { return __fadd_rn(a, b); }
GS_DEVICE float sub(float a, float b) { return __fsub_rn(a, b); }
GS_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }

#if defined(__CUDA_ARCH__)
// 2^x, relative error 2^-22; results below 2^-126 are 0.
GS_DEVICE float exp2_fast(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
GS_DEVICE float log2_fast(float x) { float y; asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
GS_DEVICE float reciprocal_fast(float x) { float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }  // 1 ulp
GS_DEVICE void hide_origin(u32& x) { asm volatile("" : "+r"(x)); }
GS_DEVICE void hide_origin(float& x) { asm volatile("" : "+f"(x)); }  // the compiler no longer knows how x came about
#elif defined(__CUDACC__)
__device__ float exp2_fast(float);  // nvcc also reads this text for the host, where no kernel runs
__device__ float log2_fast(float);
__device__ float reciprocal_fast(float);
__device__ void hide_origin(float&);
__device__ void hide_origin(u32&);
#endif

GS_DEVICE i32 floor_int(float x) { return (i32)floorf(x); }
GS_DEVICE u32 least(u32 a, u32 b) { return a < b ? a : b; }
GS_DEVICE bool finite(float x) { return x - x == 0.0f; }

GS_DEVICE float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
GS_DEVICE void store4(float* p, float a, float b, float c, float d) { *reinterpret_cast<float4*>(p) = make_float4(a, b, c, d); }

// Sum over the warp, the same in every lane and from run to run.
template <class T> GS_DEVICE T warp_sum(T x) {
  for (i32 step = 16; step; step >>= 1) x += __shfl_xor_sync(kAll, x, step);
  return x;
}

// Exclusive sum of x over the block's threads; `total` is that of all. `scratch` holds one word per warp and one more.
// Every thread must come; scratch may be used again at once.
template <class T> GS_DEVICE T block_prefix(T x, T* scratch, T& total) {
  const u32 lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  T sum = x;
  for (u32 step = 1; step < 32; step <<= 1) {
    const T below = __shfl_up_sync(kAll, sum, step);
    if (lane >= step) sum += below;
  }
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  T before = 0, all = 0;
  for (u32 w = 0; w < warps; w++) {
    const T part = scratch[w];
    if (w < warp) before += part;
    all += part;
  }
  __syncthreads();
  total = all;
  return before + sum - x;
}

// Sum over the block in a fixed order, valid in thread 0.
template <class T> GS_DEVICE T block_sum(T x, T* scratch) {
  x = warp_sum(x);
  if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = x;
  __syncthreads();
  T total = 0;
  if (threadIdx.x == 0)
    for (u32 w = 0; w < blockDim.x >> 5; w++) total += scratch[w];
  __syncthreads();
  return total;
}

}  // namespace gpu
}  // namespace gs
