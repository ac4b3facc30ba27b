// First half of a forward pass: surface frames, binding, projection, and counting of tiles. A thread takes one splat
// of one view.
#pragma once
#include "lists.cuh"
#include "gs_project.h"
#include "gs_bind.h"

namespace gs {
namespace gpu {

// A Gaussian in the world. `valid` is false where the parameters have no meaning.
struct Gaussian { V3<float> mean; M3<float> shape; float opacity; V3<float> color; bool valid; };

GS_DEVICE V3<float> load3(const float* p) { return {p[0], p[1], p[2]}; }
GS_DEVICE void store3(float* p, const V3<float>& v) { p[0] = v.x; p[1] = v.y; p[2] = v.z; }

GS_DEVICE bool usable_quaternion(const float q[4]) {
  return fmaxf(fmaxf(fabsf(q[0]), fabsf(q[1])), fmaxf(fabsf(q[2]), fabsf(q[3]))) > kMinQuaternion && finite(q[0]) && finite(q[1]) &&
         finite(q[2]) && finite(q[3]);
}

GS_DEVICE bool usable_color(const V3<float>& c) { return fabsf(c.x) <= kMaxColor && fabsf(c.y) <= kMaxColor && fabsf(c.z) <= kMaxColor; }

// Puts an axis in the place of the colour, for a view of normals; what the colour would have pruned stays pruned.
GS_DEVICE void show_axis(Gaussian& s, const V3<float>& axis) {
  s.valid = s.valid && usable_color(s.color);
  s.color = axis;
}

GS_DEVICE Camera load_camera(const Raster& p, u32 b) { return *reinterpret_cast<const Camera*>(p.work.cameras + (u64)b * kCameraFloats); }
static_assert(sizeof(Camera) == kCameraFloats * sizeof(float), "params.h and gs_project.h must agree");

// Position and tangent vectors of vertex v; rows sum to zero: differences keep the digits of a head far from the origin.
GS_DEVICE void vertex_row(const Raster& p, u32 b, u32 v) {
  const float* vertices = p.bound.vertices + (u64)b * (u32)p.vertices * 3;
  const V3<float> own = load3(vertices + (u64)v * 3);
  V3<float> t = {0.0f, 0.0f, 0.0f}, s = t;
  for (i32 e = p.surface.forward.start[v]; e < p.surface.forward.start[v + 1]; e++) {
    const V3<float> d = load3(vertices + (u64)(u32)p.surface.forward.index[e] * 3) - own;
    t = t + d * p.surface.forward.t[e];
    s = s + d * p.surface.forward.s[e];
  }
  float* row = p.work.vertex_rows + ((u64)b * (u32)p.vertices + v) * kRowFloats;
  store4(row, own.x, own.y, own.z, t.x);
  store4(row + 4, t.y, t.z, s.x, s.y);
  store4(row + 8, s.z, 0.0f, 0.0f, 0.0f);
}

// Empties the counters, sets up the cameras, and computes the vertices' rows.
GS_KERNEL(256, 1) av_prepare(GS_PARAMETER(Raster) p) {
  const u32 b = blockIdx.y, i = blockIdx.x * kThreads + threadIdx.x, tiles = (u32)(p.tiles_x * p.tiles_y);
  if (i < tiles) p.work.tile_count[(u64)b * tiles + i] = 0;
  if (i == 0) {
    const float *intrinsics = p.intrinsics + (u64)b * 4, *pose = p.camera_from_world + (u64)b * 16;
    bool fine = intrinsics[0] > 0.0f && intrinsics[1] > 0.0f;
    for (i32 k = 0; k < 4; k++) fine = fine && finite(intrinsics[k]);
    for (i32 k = 0; k < 12; k++) fine = fine && finite(pose[k]);
    Camera c = make_camera(intrinsics, pose, p.width, p.height);
    if (!fine) {
      atomicOr(&p.status[kFlags], kBadCameraFlag);
      for (i32 k = 0; k < 9; k++) c.r[k] = 0.0f;
      c.t[0] = c.t[1] = c.t[2] = -1.0f;  // everything lies behind it: only the background is seen
    }
    *reinterpret_cast<Camera*>(p.work.cameras + (u64)b * kCameraFloats) = c;
    p.pruned[b] = 0;
  }
  if (p.bound.mean && i < (u32)p.vertices) vertex_row(p, b, i);
}

// Local parameters, tangents and place of splat i in view b.
struct BoundSplat { Local<float> local; V3<float> color, position, t, s; float opacity; bool valid; };

GS_DEVICE void load_delta(const Raster& p, u32 b, u32 i, BoundSplat& o, bool usable) {
  o.local.shift = o.local.turn = {0.0f, 0.0f, 0.0f};
  o.color = load3(p.bound.color + (u64)i * 3);
  o.valid = usable;
  if (!p.bound.delta) return;
  const float* d = p.bound.delta + ((u64)b * (u32)p.count + i) * 9;
  o.local.shift = load3(d);
  o.local.turn = load3(d + 3);
  o.color = o.color + load3(d + 6);
  o.valid = usable && finite(o.local.turn.x) && finite(o.local.turn.y) && finite(o.local.turn.z);
}

GS_DEVICE void load_surface(const Raster& p, u32 b, u32 i, BoundSplat& o) {
  float sum[9] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  for (i32 k = 0; k < 3; k++) {
    const float w = p.surface.barycentric[(u64)i * 3 + k];
    const float* row = p.work.vertex_rows + ((u64)b * (u32)p.vertices + (u32)p.surface.corner[(u64)i * 3 + k]) * kRowFloats;
    const float4 q0 = load4(row), q1 = load4(row + 4);
    const float all[9] = {q0.x, q0.y, q0.z, q0.w, q1.x, q1.y, q1.z, q1.w, row[8]};
    for (i32 c = 0; c < 9; c++) sum[c] += all[c] * w;
  }
  o.position = {sum[0], sum[1], sum[2]};
  o.t = {sum[3], sum[4], sum[5]};
  o.s = {sum[6], sum[7], sum[8]};
}

// What the views of a batch share; returns whether the quaternion means anything.
GS_DEVICE bool load_shared(const Raster& p, u32 i, BoundSplat& o) {
  o.local.mean = load3(p.bound.mean + (u64)i * 3);
  o.local.log_scale = load3(p.bound.log_scale + (u64)i * 3);
  for (i32 k = 0; k < 4; k++) o.local.quaternion[k] = p.bound.quaternion[(u64)i * 4 + k];
  o.local.extent = p.surface.extent[i];
  o.opacity = 1.0f / (1.0f + fexp(-p.bound.logit_opacity[i]));
  return usable_quaternion(o.local.quaternion);
}

struct FreeSplat { Gaussian gaussian; Quaternion<float> unit; V3<float> scale; };

GS_DEVICE FreeSplat load_free(const Raster& p, u64 at) {
  FreeSplat o;
  const float* v = p.free.quats + at * 4;
  const float q[4] = {v[0], v[1], v[2], v[3]};
  o.unit = normalized(q[0], q[1], q[2], q[3]);
  o.scale = load3(p.free.scales + at * 3);
  o.gaussian = {load3(p.free.means + at * 3), scale_columns(rotation(o.unit), o.scale), p.free.opacities[at], load3(p.free.colors + at * 3),
                usable_quaternion(q)};
  if (p.normals) show_axis(o.gaussian, shortest_axis(rotation(o.unit), o.scale));
  return o;
}

// Writes the record of splat i of view b and counts its tiles. Every thread of the block must come.
GS_DEVICE void project_splat(const Raster& p, u32 b, u32 i, bool here, const Gaussian& g, u32* scratch) {
  const u64 at = (u64)b * (u32)p.count + i;
  Ellipse e = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  Box box = {0, 0, -1, -1};
  bool pruned = false;
  if (here) {
    const Camera camera = load_camera(p, b);
    const Projection<float> q = project(camera, g.mean, g.shape);
    const Footprint<float>& f = q.out;
    const float opacity = g.opacity * f.opacity_factor;
    const bool beyond = f.depth < kNear || f.depth > kFar;
    const bool sane = g.valid && finite(f.mx) && finite(f.my) && finite(f.depth) && q.var_x <= kMaxVariance && q.var_y <= kMaxVariance &&
                      finite(opacity) && usable_color(g.color);
    pruned = !sane && !(beyond && finite(f.depth));  // what is behind or far away is fine, but not at infinity
    const float cut = log2_fast(fmaxf(opacity * 255.0f, 1e-30f)) + 1e-3f, reach = fmaxf(cut, 0.0f) * (2.0f / kLog2e);
    const float ex = fsqrt(reach * q.var_x) + 1e-3f, ey = fsqrt(reach * q.var_y) + 1e-3f;
    const bool visible = sane && !beyond && opacity >= kAlphaMin && f.mx + ex > 0.5f && f.mx - ex < (float)p.width - 0.5f && f.my + ey > 0.5f &&
                         f.my - ey < (float)p.height - 0.5f;
    e = {f.mx, f.my, -0.5f * kLog2e * f.a, f.k, -0.5f * kLog2e * f.d, cut};
    if (visible) {
      constexpr float kPerTile = 1.0f / kTileSize;
      box.x0 = max(0, floor_int(sub(f.mx, ex) * kPerTile));
      box.x1 = min(p.tiles_x - 1, floor_int(add(f.mx, ex) * kPerTile));
      box.y0 = max(0, floor_int(sub(f.my, ey) * kPerTile));
      box.y1 = min(p.tiles_y - 1, floor_int(add(f.my, ey) * kPerTile));
    }
    float* record = p.work.splats + at * kRowFloats;
    store4(record, e.mx, e.my, e.ha, e.k);
    store4(record + 4, e.hd, opacity, e.cut, f.depth);
    const float sign = p.normals && faces_away(camera, q, g.color) ? -1.0f : 1.0f;
    store4(record + 8, g.color.x * sign, g.color.y * sign, g.color.z * sign, 0.0f);
    p.work.depth[at] = visible ? __float_as_uint(f.depth) : kHidden;
  }
  u32 span[2], total;
  const u32 count = count_tiles(e, box, p.work.tile_count + (u64)b * (u32)(p.tiles_x * p.tiles_y), p.tiles_x, span);
  const u32 before = block_prefix(count, scratch, total);
  if (here) {
    p.work.span[at * 2] = span[0];
    p.work.span[at * 2 + 1] = span[1];
    p.work.first_row[at] = before;
  }
  if (threadIdx.x == 0) p.work.block_rows[(u64)b * (splat_blocks(p) + 1) + blockIdx.x] = total;
  const u32 bad = (u32)__popc(__ballot_sync(kAll, pruned));
  if ((threadIdx.x & 31) == 0 && bad) atomicAdd(&p.pruned[b], bad);
}

GS_KERNEL(256, 2) av_project_bound(GS_PARAMETER(Raster) p) {
  GS_SHARED u32 scratch[kWarps];
  const u32 b = blockIdx.y, i = blockIdx.x * kThreads + threadIdx.x;
  const bool here = i < (u32)p.count;
  Gaussian g = {};
  if (here) {
    BoundSplat s;
    load_delta(p, b, i, s, load_shared(p, i, s));
    load_surface(p, b, i, s);
    const gs::Bound<float> at = bind(s.local, s.position, s.t, s.s);
    g = {at.mean, at.shape, s.opacity, s.color, s.valid};
    if (p.normals) show_axis(g, axis_of(at));
  }
  project_splat(p, b, i, here, g, scratch);
}

GS_KERNEL(256, 2) av_project_free(GS_PARAMETER(Raster) p) {
  GS_SHARED u32 scratch[kWarps];
  const u32 b = blockIdx.y, i = blockIdx.x * kThreads + threadIdx.x;
  const bool here = i < (u32)p.count;
  Gaussian g = {};
  if (here) g = load_free(p, (u64)b * (u32)p.count + i).gaussian;
  project_splat(p, b, i, here, g, scratch);
}

}  // namespace gpu
}  // namespace gs
