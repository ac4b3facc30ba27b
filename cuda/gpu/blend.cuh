// Sorts a tile's list and blends it front to back. A block takes a 16x16 tile of a view, a warp 8x4 pixels of it, a
// lane one pixel. Each warp looks at 32 splats at a time and takes only those whose footprint meets its pixels.
//
// Everything is float32: at the sizes this is made for the kernels are bound by instructions and latency, not by
// memory, so halves would cost digits (colours lose 5e-4) and gain little.
#pragma once
#include "lists.cuh"
#include "sort.cuh"

namespace gs {
namespace gpu {

// Where a thread's pixel lies.
struct Pixel {
  i32 x, y;       // px
  i32 left, top;  // of the warp's 8x4 pixels
  bool inside;
};

GS_DEVICE Pixel pixel_of(const Raster& p, u32 tile) {
  const i32 warp = (i32)(threadIdx.x >> 5), lane = (i32)(threadIdx.x & 31);
  Pixel o;
  o.left = (i32)(tile % (u32)p.tiles_x) * kTileSize + (warp & 1) * 8;
  o.top = (i32)(tile / (u32)p.tiles_x) * kTileSize + (warp >> 1) * 4;
  o.x = o.left + (lane & 7);
  o.y = o.top + (lane >> 3);
  o.inside = o.x < p.width && o.y < p.height;
  return o;
}

// A splat as the blending loops read it from shared memory, split so that every read is 16 bytes wide.
struct Splat {
  float4 place;   // mx, my, ha, k
  float4 weight;  // hd, opacity, cut, z
  float4 color;   // r, g, b, -
};

GS_DEVICE bool meets_warp(const float4& place, const float4& weight, const Pixel& at) {
  const Ellipse e = {place.x, place.y, place.z, place.w, weight.x, weight.z};
  const float left = (float)at.left + 0.5f, top = (float)at.top + 0.5f;
  return !(least_exponent(e, left, top, left + 7.0f, top + 3.0f) > e.cut);
}

// Offsets from a splat's centre, and its alpha before the cap. Both passes must agree on every bit.
struct Offset { float u, dy; };
GS_DEVICE float alpha_at(const float4& place, const float4& weight, float x, float y, Offset& o) {
  const float dx = sub(x, place.x);
  o.dy = sub(y, place.y);
  o.u = fma(place.w, o.dy, dx);
  return mul(weight.y, exp2_fast(fma(mul(place.z, o.u), o.u, mul(mul(weight.x, o.dy), o.dy))));
}

GS_DEVICE float held_alpha(float a0, float through) {
  return a0 >= kAlphaMin && through >= kTransmittanceStop ? fminf(a0, kAlphaMax) : 0.0f;
}

struct BlendShared {
  u64 keys[kSortShared];
  union {
    u64 other[kSortShared];
    Splat splats[kThreads];  // once the list is sorted
  };
};

// Sorted entries: the splat below, its gradient row above.
GS_DEVICE u32 splat_of(u64 entry) { return (u32)entry; }
GS_DEVICE u32 row_of(u64 entry) { return (u32)(entry >> 32); }

// Sorts the list and leaves (splat, row) in its place.
GS_DEVICE void sort_list(const Raster& p, u32 b, const List& list, BlendShared& shared) {
  const u64 at = (u64)b * p.capacity;
  u64* mine = p.work.keys + at + list.start;
  const u32* row_splat = p.work.row_splat + at;
  const u64* sorted = mine;
  if (list.count <= kSortShared) sorted = sort_piece(mine, list.count, shared.keys, shared.other);
  else sort_long(mine, p.work.keys2 + at + list.start, list.count, shared.keys, shared.other);
  for (u32 i = threadIdx.x; i < list.count; i += kThreads) {
    const u32 row = (u32)sorted[i];
    mine[i] = (u64)row << 32 | row_splat[row];
  }
  __syncthreads();
}

struct Ray { float through, r, g, b, z; };

GS_DEVICE void add_splat(Ray& ray, float a0, const float4& color, float z) {
  const float w = mul(held_alpha(a0, ray.through), ray.through);
  ray.r += w * color.x;
  ray.g += w * color.y;
  ray.b += w * color.z;
  ray.z += w * z;
  ray.through = sub(ray.through, w);
}

GS_DEVICE void write_pixel(const Raster& p, u32 b, const Pixel& at, const Ray& ray) {
  const u64 plane = (u64)(u32)p.width * (u32)p.height, i = (u64)(u32)at.y * (u32)p.width + (u32)at.x;
  float behind[3] = {0.0f, 0.0f, 0.0f};
  if (p.background_kind == kOneColor)
    for (i32 c = 0; c < 3; c++) behind[c] = p.background[c];
  if (p.background_kind == kPicture)
    for (i32 c = 0; c < 3; c++) behind[c] = p.background[((u64)b * 3 + (u32)c) * plane + i];
  float* color = p.color + (u64)b * 3 * plane + i;
  color[0] = ray.r + ray.through * behind[0];
  color[plane] = ray.g + ray.through * behind[1];
  color[2 * plane] = ray.b + ray.through * behind[2];
  const float alpha = 1.0f - ray.through;
  p.alpha[(u64)b * plane + i] = alpha;
  p.depth[(u64)b * plane + i] = alpha > 0.0f ? ray.z / alpha : 0.0f;
}

// The splats of mask in turn, two at a time: the second's alpha is under way while the first is blended.
GS_DEVICE void blend_marked(const Splat* splats, u32 mask, float x, float y, Ray& ray) {
  while (mask) {
    const Splat& s = splats[__ffs((i32)mask) - 1];
    mask &= mask - 1;
    const bool two = mask != 0;
    const Splat& n = two ? splats[__ffs((i32)mask) - 1] : s;
    mask &= mask - 1;
    Offset o;
    const float a0 = alpha_at(s.place, s.weight, x, y, o), a1 = alpha_at(n.place, n.weight, x, y, o);
    add_splat(ray, a0, s.color, s.weight.w);
    if (two) add_splat(ray, a1, n.color, n.weight.w);
  }
}

GS_KERNEL(256, 4) av_blend(GS_PARAMETER(Raster) p) {
  GS_SHARED BlendShared shared;
  const u32 b = blockIdx.y, tid = threadIdx.x, lane = tid & 31;
  const Pixel at = pixel_of(p, blockIdx.x);
  const List list = tile_list(p, b, blockIdx.x);
  if (list.count) sort_list(p, b, list, shared);
  const u64* entries = p.work.keys + (u64)b * p.capacity + list.start;
  const float x = (float)at.x + 0.5f, y = (float)at.y + 0.5f;
  Ray ray = {at.inside ? 1.0f : 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  for (u32 base = 0; base < list.count; base += kThreads) {
    if (__syncthreads_and(ray.through < kTransmittanceStop)) break;
    if (base + tid < list.count) {
      const float* record = p.work.splats + ((u64)b * (u32)p.count + splat_of(entries[base + tid])) * kRowFloats;
      shared.splats[tid] = {load4(record), load4(record + 4), load4(record + 8)};
    }
    __syncthreads();
    const u32 n = least(kThreads, list.count - base);
    for (u32 group = 0; group < n; group += 32) {
      if (__all_sync(kAll, ray.through < kTransmittanceStop)) break;
      const bool hit = group + lane < n && meets_warp(shared.splats[group + lane].place, shared.splats[group + lane].weight, at);
      blend_marked(shared.splats + group, __ballot_sync(kAll, hit), x, y, ray);
    }
  }
  if (at.inside) write_pixel(p, b, at, ray);
}

}  // namespace gpu
}  // namespace gs
