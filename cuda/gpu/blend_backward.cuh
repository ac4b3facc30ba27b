// Adjoint of blending, front to back from the finished picture: nothing is kept per pixel by the forward pass.
//
// A splat's gradient needs, of v = alpha dL/dalpha, the sums over the pixels of v {1, x, y, x^2, xy, y^2}. A warp owns
// 8x4 pixels and the bits of a lane are the bits of its pixel's coordinates, so all six are combinations of the
// Walsh-Hadamard coefficients of v whose index has at most two bits: 5 shuffles and 5 multiply-adds give these 16 at
// once, one a lane, where summing six products takes a dozen shuffles and twice as many selections. They are turned
// into moments about the splat once per (splat, warp). Coordinates are taken from the warp's centre, so that few digits
// are lost by moving the origin.
//
// The block adds its warps' sums in order, and every (splat, tile) pair gets a row of its own. No atomic ever adds
// floats: two runs give the same bits.
#pragma once
#include "blend.cuh"

namespace gs {
namespace gpu {

constexpr u32 kBatch = 32;                 // splats between two barriers
constexpr u32 kMomentLanes = 0x0117177fu;  // lanes with at most two bits: 0-6, 8-10, 12, 16-18, 20, 24
constexpr u32 kMoments = 16, kCell = kMoments + 4 + 1;  // the odd size keeps neighbours in different banks

struct BackwardShared {
  Splat splats[2][kBatch];
  u32 rows[2][kBatch];
  float sums[kBatch][kWarps][kCell];
  u32 wrote[kWarps];
};

// What a lane contributes to every sum over its warp.
struct Lane {
  float sign[5];      // -1 where the bit is set
  u32 upper, middle;  // not 0 where bit 4, bit 3 is set
  u32 slot;           // where its result goes in a cell; kCell: nowhere
};

GS_DEVICE Lane lane_of(u32 lane) {
  Lane o;
  for (u32 bit = 0; bit < 5; bit++) {
    o.sign[bit] = lane >> bit & 1 ? -1.0f : 1.0f;
    hide_origin(o.sign[bit]);  // a register is cheaper than working it out again for every splat
  }
  o.upper = lane & 16;
  o.middle = lane & 8;
  hide_origin(o.upper);
  hide_origin(o.middle);
  const u32 below = kMomentLanes & ((1u << lane) - 1);
  o.slot = kMomentLanes >> lane & 1 ? (u32)__popc(below) : (lane & 7) == 7 ? kMoments + (lane >> 3) : kCell;
  hide_origin(o.slot);
  return o;
}

// Walsh-Hadamard transform over the warp: lane k gets the sum over lanes i of v_i (-1)^(number of bits in i and k).
GS_DEVICE float walsh(float v, const Lane& lane) {
#pragma unroll
  for (i32 bit = 0; bit < 5; bit++) v = fma(v, lane.sign[bit], __shfl_xor_sync(kAll, v, 1 << bit));
  return v;
}

// Sums of four values over the warp; lanes 8 i to 8 i + 7 get the i-th.
GS_DEVICE float sum_four(float r, float g, float b, float z, const Lane& lane) {
  const float first = (lane.upper ? b : r) + __shfl_xor_sync(kAll, lane.upper ? r : b, 16);
  const float second = (lane.upper ? z : g) + __shfl_xor_sync(kAll, lane.upper ? g : z, 16);
  float sum = (lane.middle ? second : first) + __shfl_xor_sync(kAll, lane.middle ? first : second, 8);
#pragma unroll
  for (i32 step = 4; step; step >>= 1) sum += __shfl_xor_sync(kAll, sum, step);
  return sum;
}

// From one warp's sums, as lane_of ordered them, to v {1, u, u^2, y, u y, y^2} about the splat's centre and the colours.
GS_DEVICE void centred_sums(const float* w, const Splat& s, float left, float top, float out[10]) {
  const float x = -0.5f * w[1] - w[2] - 2.0f * w[4], y = -0.5f * w[7] - w[11];
  const float xx = 5.25f * w[0] + w[3] + 2.0f * w[5] + 4.0f * w[6], yy = 1.25f * w[0] + w[15];
  const float xy = 0.25f * w[8] + 0.5f * w[9] + w[10] + 0.5f * w[12] + w[13] + 2.0f * w[14];
  const float k = s.place.w, y0 = top + 2.0f - s.place.y, u0 = (left + 4.0f - s.place.x) + k * y0;
  const float u = x + k * y, uy = xy + k * yy, uu = xx + k * (xy + uy);
  out[0] = w[0];
  out[1] = u + u0 * w[0];
  out[2] = uu + u0 * (2.0f * u + u0 * w[0]);
  out[3] = y + y0 * w[0];
  out[4] = uy + u0 * y + y0 * out[1];
  out[5] = yy + y0 * (2.0f * y + y0 * w[0]);
  for (u32 c = 0; c < 4; c++) out[6 + c] = w[kMoments + c];
}

// A pixel's gradient. `rest` is the sum over the splats still to come of weight times (colour . gradient), plus what
// the transmittance that is left is worth.
struct RayGrad { float through, rest, r, g, b, z; };

GS_DEVICE RayGrad load_gradient(const Raster& p, u32 b, const Pixel& at) {
  RayGrad o = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  if (!at.inside) return o;
  const u64 plane = (u64)(u32)p.width * (u32)p.height, i = (u64)(u32)at.y * (u32)p.width + (u32)at.x;
  o.through = 1.0f;
  const float alpha = p.alpha[(u64)b * plane + i];
  if (p.g_color) {
    const float *g = p.g_color + (u64)b * 3 * plane + i, *color = p.color + (u64)b * 3 * plane + i;
    o.r = g[0];
    o.g = g[plane];
    o.b = g[2 * plane];
    o.rest = o.r * color[0] + o.g * color[plane] + o.b * color[2 * plane];
  }
  if (p.g_alpha) o.rest -= (1.0f - alpha) * p.g_alpha[(u64)b * plane + i];
  if (p.g_depth) {  // depth = sum(w z) / alpha
    o.z = alpha > 0.0f ? p.g_depth[(u64)b * plane + i] / alpha : 0.0f;
    o.rest += o.z * p.depth[(u64)b * plane + i];
  }
  return o;
}

// One pixel's share of a splat's gradient: v = alpha dL/dalpha, and the weight of its colour.
struct Share { float v, w; };

template <bool kDepth> GS_DEVICE Share pixel_share(const Splat& s, float x, float y, RayGrad& ray) {
  Offset o;
  const float a0 = alpha_at(s.place, s.weight, x, y, o), a = held_alpha(a0, ray.through), w = mul(a, ray.through);
  float worth = ray.r * s.color.x + ray.g * s.color.y + ray.b * s.color.z;
  if (kDepth) worth += ray.z * s.weight.w;
  const float gain = w * worth;
  ray.rest -= gain;
  ray.through = sub(ray.through, w);
  const float v = gain - ray.rest * (a * reciprocal_fast(1.0f - a));
  return {a0 <= kAlphaMax ? v : 0.0f, w};  // v is 0 where a is; there is none where alpha is capped
}

// From sums over the pixels to the gradient of mx, my, a, k, d, opacity, r, g, b, z.
GS_DEVICE void write_row(float* row, const Splat& s, const float* sum) {
  const float a = s.place.z * (-2.0f / kLog2e), d = s.weight.x * (-2.0f / kLog2e), k = s.place.w;
  const float su = sum[1] * a, sy = sum[3] * d;
  store4(row, su, k * su + sy, -0.5f * sum[2], -a * sum[4]);
  store4(row + 4, -0.5f * sum[5], sum[0] / s.weight.y, sum[6], sum[7]);
  store4(row + 8, sum[8], sum[9], 0.0f, 0.0f);
}

// One warp's sums of the splats of a batch.
template <bool kDepth>
GS_DEVICE void warp_sums(BackwardShared& shared, u32 buffer, u32 n, const Pixel& at, const Lane& lane, RayGrad& ray) {
  const u32 index = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const float x = (float)at.x + 0.5f, y = (float)at.y + 0.5f;
  const Splat* const splats = shared.splats[0];
  u32 first = buffer * kBatch, cell = warp * kCell + lane.slot;
  hide_origin(first);
  hide_origin(cell);
  const bool active = !__all_sync(kAll, ray.through < kTransmittanceStop);
  const u32 hits = __ballot_sync(kAll, active && index < n && meets_warp(splats[first + index].place, splats[first + index].weight, at));
  u32 without = 0;
  float* const sums = &shared.sums[0][0][0];
  for (u32 left = hits; left; left &= left - 1) {
    const u32 j = (u32)__ffs((i32)left) - 1;
    const Share share = pixel_share<kDepth>(splats[first + j], x, y, ray);
    if (!__any_sync(kAll, share.w > 0.0f)) {
      without |= 1u << j;
      continue;
    }
    const float moment = walsh(share.v, lane), z = kDepth ? share.w * ray.z : 0.0f;
    const float color = sum_four(share.w * ray.r, share.w * ray.g, share.w * ray.b, z, lane);
    if (lane.slot < kCell) sums[j * (kWarps * kCell) + cell] = lane.slot < kMoments ? moment : color;
  }
  if (index == 0) shared.wrote[warp] = hits & ~without;
}

// Adds the warps' sums of each splat of a batch, eight threads to a splat, and writes the rows.
GS_DEVICE void finish_batch(const Raster& p, BackwardShared& shared, u32 buffer, u32 n, float* rows) {
  const u32 warp = threadIdx.x & 7, j = threadIdx.x >> 3;
  const Splat& s = shared.splats[buffer][j];
  float sum[10];
  for (i32 k = 0; k < 10; k++) sum[k] = 0.0f;
  if (j < n && shared.wrote[warp] >> j & 1) {
    const float left = (float)((i32)(blockIdx.x % (u32)p.tiles_x) * kTileSize + (i32)(warp & 1) * 8);
    const float top = (float)((i32)(blockIdx.x / (u32)p.tiles_x) * kTileSize + (i32)(warp >> 1) * 4);
    centred_sums(shared.sums[j][warp], s, left, top, sum);
  }
#pragma unroll
  for (i32 k = 0; k < 10; k++)
#pragma unroll
    for (i32 step = 1; step < kWarps; step <<= 1) sum[k] += __shfl_xor_sync(kAll, sum[k], step);
  if (j < n && warp == 0) write_row(rows + (u64)shared.rows[buffer][j] * kRowFloats, s, sum);
}

// One warp brings a batch into shared memory.
GS_DEVICE void load_batch(const Raster& p, BackwardShared& shared, const u64* entries, u32 base, u32 count) {
  const u32 batch = base / kBatch, index = threadIdx.x & 31;
  if (threadIdx.x >> 5 != batch % kWarps || base + index >= count) return;
  const u64 entry = entries[base + index];
  const float* record = p.work.splats + ((u64)blockIdx.y * (u32)p.count + splat_of(entry)) * kRowFloats;
  shared.splats[batch & 1][index] = {load4(record), load4(record + 4), load4(record + 8)};
  shared.rows[batch & 1][index] = row_of(entry);
}

template <bool kDepth> GS_DEVICE void backward_tile(const Raster& p, BackwardShared& shared) {
  const u32 b = blockIdx.y;
  const List list = tile_list(p, b, blockIdx.x);
  if (!list.count) return;
  const Pixel at = pixel_of(p, blockIdx.x);
  const Lane lane = lane_of(threadIdx.x & 31);
  const u64* entries = p.work.keys + (u64)b * p.capacity + list.start;
  float* rows = p.work.rows + (u64)b * p.capacity * kRowFloats;
  RayGrad ray = load_gradient(p, b, at);
  load_batch(p, shared, entries, 0, list.count);
  u32 base = 0;
  for (; base < list.count; base += kBatch) {
    if (__syncthreads_and(ray.through < kTransmittanceStop)) break;
    const u32 n = least(kBatch, list.count - base), buffer = base / kBatch & 1;
    warp_sums<kDepth>(shared, buffer, n, at, lane, ray);
    load_batch(p, shared, entries, base + kBatch, list.count);
    __syncthreads();
    finish_batch(p, shared, buffer, n, rows);
  }
  for (u32 i = base + threadIdx.x; i < list.count; i += kThreads) {  // behind what any pixel let through
    float* row = rows + (u64)row_of(entries[i]) * kRowFloats;
    for (i32 k = 0; k < kRowFloats; k += 4) store4(row + k, 0.0f, 0.0f, 0.0f, 0.0f);
  }
}

GS_KERNEL(256, 4) av_blend_backward(GS_PARAMETER(Raster) p) {
  GS_SHARED BackwardShared shared;
  backward_tile<false>(p, shared);
}

GS_KERNEL(256, 4) av_blend_backward_depth(GS_PARAMETER(Raster) p) {
  GS_SHARED BackwardShared shared;
  backward_tile<true>(p, shared);
}

}  // namespace gpu
}  // namespace gs
