// Adam (Kingma & Ba 2015) on any number of tensors in one launch. The step's number lies on the device, so that a
// captured graph can be replayed; while the flags of an overflow stand, nothing changes.
#pragma once
#include "device.cuh"

namespace gs {
namespace gpu {

struct Moments { float b1, b2, c1, c2, eps; };

GS_DEVICE Moments moments_of(float beta1, float beta2, float eps, const float* corrections) {
  return {beta1, beta2, corrections[0], corrections[1], eps};
}

// Updates m and v and returns the new parameter.
GS_DEVICE float adam_step(const Moments& k, float param, float& m, float& v, float g, float lr) {
  m = m * k.b1 + g * (1.0f - k.b1);
  v = v * k.b2 + g * g * (1.0f - k.b2);
  return param - lr * (m * k.c1) / (fsqrt(v * k.c2) + k.eps);
}

GS_DEVICE double whole_power(double x, i32 n) {
  double result = 1.0;
  for (; n > 0; n >>= 1, x *= x)
    if (n & 1) result *= x;
  return result;
}

GS_KERNEL(32, 1) av_adam_tick(GS_PARAMETER(Adam) p) {
  if (threadIdx.x || (p.skip && *p.skip)) return;
  const i32 step = p.counter ? ++*p.counter : p.step;
  p.corrections[0] = (float)(1.0 / (1.0 - whole_power((double)p.beta1, step)));
  p.corrections[1] = (float)(1.0 / (1.0 - whole_power((double)p.beta2, step)));
}

GS_KERNEL(256, 1) av_adam(GS_PARAMETER(Adam) p) {
  if ((i32)blockIdx.y >= p.tensors || (p.skip && *p.skip)) return;
  const AdamTensor& t = p.tensor[blockIdx.y];
  const Moments k = moments_of(p.beta1, p.beta2, p.eps, p.corrections);
  const u64 total = (u64)t.n * (u32)t.columns, stride = (u64)gridDim.x * kThreads;
  if (!total) return;
  const u32 columns = (u32)t.columns, further = (u32)(stride % columns);
  u64 i = (u64)blockIdx.x * kThreads + threadIdx.x;
  for (u32 column = (u32)(i % columns); i < total; i += stride) {
    t.param[i] = adam_step(k, t.param[i], t.m[i], t.v[i], t.grad[i], t.lr[column]);
    column += further;
    if (column >= columns) column -= columns;
  }
}

}  // namespace gpu
}  // namespace gs
