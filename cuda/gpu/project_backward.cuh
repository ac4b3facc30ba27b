// Second half of a backward pass: from the splats' gradient rows to parameters, cameras and vertices. Every sum has one
// order: rows of a splat, then views, then splats of a block, then blocks.
#pragma once
#include "project.cuh"

namespace gs {
namespace gpu {

// Gradient of a Gaussian in the world; zero where it was not drawn. In a view of normals `color` is that of the axis.
struct GaussianGrad { V3<float> mean; M3<float> shape; float opacity; V3<float> color; bool seen; };

// Sum of the gradient rows of splat i of view b: mx, my, a, k, d, opacity, r, g, b, z.
GS_DEVICE bool gather_rows(const Raster& p, u32 b, u32 i, float g[10]) {
  for (i32 k = 0; k < 10; k++) g[k] = 0.0f;
  const u32 total = view_rows(p, b);
  if (total > p.capacity) return false;
  const u32 begin = first_row(p, b, i), end = i + 1 < (u32)p.count ? first_row(p, b, i + 1) : total;
  const float* row = p.work.rows + ((u64)b * p.capacity + begin) * kRowFloats;
  for (u32 r = begin; r < end; r++, row += kRowFloats) {
    const float4 q0 = load4(row), q1 = load4(row + 4), q2 = load4(row + 8);
    g[0] += q0.x; g[1] += q0.y; g[2] += q0.z; g[3] += q0.w;
    g[4] += q1.x; g[5] += q1.y; g[6] += q1.z; g[7] += q1.w;
    g[8] += q2.x; g[9] += q2.y;
  }
  return end > begin;
}

// From the sums of a splat's rows to its Gaussian; `camera` gets its share of the gradient of fx, fy, cx, cy, the pose's
// rotation and translation.
GS_DEVICE GaussianGrad project_splat_vjp(const Raster& p, u32 b, bool normals, const Gaussian& s, const float g[10], float camera[kCameraSums]) {
  GaussianGrad o = {};
  o.seen = true;
  const Camera c = load_camera(p, b);
  const Projection<float> q = project(c, s.mean, s.shape);
  const Footprint<float> footprint = {g[0], g[1], g[2], g[3], g[4], g[5] * s.opacity, g[9]};
  const ProjectionGrad<float> v = project_vjp(c, q, footprint);
  o.mean = rotate_back(c, v.point);
  o.shape = rotate_back(c, v.m);
  o.opacity = g[5] * q.out.opacity_factor;
  const float sign = normals && faces_away(c, q, s.color) ? -1.0f : 1.0f;
  o.color = {g[6] * sign, g[7] * sign, g[8] * sign};
  const V3<float> turned[3] = {gs::mul(s.shape, v.m.r0), gs::mul(s.shape, v.m.r1), gs::mul(s.shape, v.m.r2)};
  const float point[3] = {v.point.x, v.point.y, v.point.z};
  camera[0] = v.fx;
  camera[1] = v.fy;
  camera[2] = v.cx;
  camera[3] = v.cy;
  for (i32 k = 0; k < 3; k++) {
    camera[4 + 3 * k] = point[k] * s.mean.x + turned[k].x;
    camera[5 + 3 * k] = point[k] * s.mean.y + turned[k].y;
    camera[6 + 3 * k] = point[k] * s.mean.z + turned[k].z;
    camera[13 + k] = point[k];
  }
  return o;
}

// Adds one view's camera terms over the warps [first, first + warps) and writes them. Every thread must come.
GS_DEVICE void sum_camera(const float camera[kCameraSums], float (*scratch)[kCameraSums], u32 first, u32 warps, bool write, float* to) {
  const u32 lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (i32 k = 0; k < kCameraSums; k++) {
    const float sum = warp_sum(camera[k]);
    if (lane == 0) scratch[warp][k] = sum;
  }
  __syncthreads();
  if (warp == first && lane < kCameraSums && write) {
    float sum = 0.0f;
    for (u32 w = first; w < first + warps; w++) sum += scratch[w][lane];
    to[lane] = sum;
  }
  __syncthreads();
}

constexpr i32 kLocalSums = 14;  // mean, quaternion, log-scale, logit-opacity, colour: summed over the views

GS_DEVICE void store_sums(const BoundGrad& o, u32 i, const float* t) {
  if (o.mean) store3(o.mean + (u64)i * 3, {t[0], t[1], t[2]});
  if (o.quaternion)
    for (i32 k = 0; k < 4; k++) o.quaternion[(u64)i * 4 + k] = t[3 + k];
  if (o.log_scale) store3(o.log_scale + (u64)i * 3, {t[7], t[8], t[9]});
  if (o.logit_opacity) o.logit_opacity[i] = t[10];
  if (o.color) store3(o.color + (u64)i * 3, {t[11], t[12], t[13]});
}

// What bind was given, as if it came from somewhere else: the compiler must bind again for the adjoint instead of
// keeping sixty numbers in registers while it projects.
GS_DEVICE void forget(BoundSplat& s) {
  float* const known[26] = {&s.local.mean.x,  &s.local.mean.y,  &s.local.mean.z,  &s.local.quaternion[0], &s.local.quaternion[1], &s.local.quaternion[2],
                            &s.local.quaternion[3], &s.local.log_scale.x, &s.local.log_scale.y, &s.local.log_scale.z, &s.local.extent,
                            &s.local.shift.x, &s.local.shift.y, &s.local.shift.z, &s.local.turn.x,  &s.local.turn.y, &s.local.turn.z,
                            &s.t.x,           &s.t.y,           &s.t.z,           &s.s.x,           &s.s.y,          &s.s.z,
                            &s.position.x,    &s.position.y,    &s.position.z};
#pragma unroll
  for (i32 k = 0; k < 26; k++) hide_origin(*known[k]);
}

// Back through the projection of one splat of one view.
template <bool kNormals>
GS_DEVICE GaussianGrad bound_splat_vjp(const Raster& p, u32 b, u32 i, BoundSplat& s, bool usable, float camera[kCameraSums]) {
  float g[10];
  if (!gather_rows(p, b, i, g)) return {};
  load_delta(p, b, i, s, usable);
  load_surface(p, b, i, s);
  const gs::Bound<float> at = bind(s.local, s.position, s.t, s.s);
  return project_splat_vjp(p, b, kNormals, {at.mean, at.shape, s.opacity, kNormals ? axis_of(at) : s.color, s.valid}, g, camera);
}

// Back through its binding; adds to `total`.
template <bool kNormals>
GS_DEVICE void bind_splat_vjp(const Raster& p, u32 b, u32 i, BoundSplat& s, const GaussianGrad& g, float* total) {
  LocalGrad<float> l = {};
  const V3<float> color = kNormals ? V3<float>{0.0f, 0.0f, 0.0f} : g.color;
  if (g.seen) {
    forget(s);
    l = bind_vjp(s.local, bind(s.local, s.position, s.t, s.s), g.mean, g.shape, kNormals ? &g.color : nullptr);
    const float all[kLocalSums] = {l.mean.x,          l.mean.y,     l.mean.z,      l.quaternion[0], l.quaternion[1],
                                   l.quaternion[2],   l.quaternion[3], l.log_scale.x, l.log_scale.y, l.log_scale.z,
                                   g.opacity * s.opacity * (1.0f - s.opacity), color.x, color.y, color.z};
    for (i32 k = 0; k < kLocalSums; k++) total[k] += all[k];
  }
  const u64 at_view = (u64)b * (u32)p.count + i;
  if (p.g_bound.delta) {
    float* d = p.g_bound.delta + at_view * 9;
    store3(d, l.mean);
    store3(d + 3, l.turn);
    store3(d + 6, color);
  }
  if (p.g_bound.vertices) {
    float* row = p.work.surface_rows + at_view * kRowFloats;
    store4(row, l.p.x, l.p.y, l.p.z, l.t.x);
    store4(row + 4, l.t.y, l.t.z, l.s.x, l.s.y);
    store4(row + 8, l.s.z, 0.0f, 0.0f, 0.0f);
  }
}

GS_DEVICE u32 groups_of(i32 batch) { return batch >= 8 ? 8u : batch >= 4 ? 4u : batch >= 2 ? 2u : 1u; }

// A block takes 256 / groups splats; each of its groups takes every groups-th view of them.
struct BoundShared {
  float camera[kWarps][kCameraSums];
  float totals[kThreads][kLocalSums + 1];
};

template <bool kNormals> GS_DEVICE void bound_backward(const Raster& p, BoundShared& shared) {
  const u32 groups = groups_of(p.batch), splats = kThreads / groups, group = threadIdx.x / splats;
  const u32 i = blockIdx.x * splats + threadIdx.x % splats, warps = splats / 32;
  const bool here = i < (u32)p.count;
  float* const total = shared.totals[threadIdx.x];  // not in registers: bind_vjp needs every one
  float camera[kCameraSums];
  for (i32 k = 0; k < kLocalSums; k++) total[k] = 0.0f;
  BoundSplat s = {};
  const bool usable = here && load_shared(p, i, s);
  for (u32 first = 0; first < (u32)p.batch; first += groups) {
    const u32 b = first + group;
    const bool active = b < (u32)p.batch;
    for (i32 k = 0; k < kCameraSums; k++) camera[k] = 0.0f;
    GaussianGrad g = {};
    if (here && active) g = bound_splat_vjp<kNormals>(p, b, i, s, usable, camera);
    if (p.g_camera)
      sum_camera(camera, shared.camera, group * warps, warps, active,
                 p.work.camera_partial + ((u64)(active ? b : 0) * gridDim.x + blockIdx.x) * kCameraSums);
    if (here && active) bind_splat_vjp<kNormals>(p, b, i, s, g, total);
  }
  if (groups > 1) {
    __syncthreads();
    if (group == 0)
      for (u32 other = 1; other < groups; other++)
        for (i32 k = 0; k < kLocalSums; k++) total[k] += shared.totals[other * splats + threadIdx.x][k];
  }
  if (here && group == 0) store_sums(p.g_bound, i, total);
}

GS_KERNEL(256, 2) av_project_bound_backward(GS_PARAMETER(Raster) p) {
  GS_SHARED BoundShared shared;
  bound_backward<false>(p, shared);
}

// Of a view of normals: their gradient takes more registers.
GS_KERNEL(256, 1) av_project_bound_backward_normals(GS_PARAMETER(Raster) p) {
  GS_SHARED BoundShared shared;
  bound_backward<true>(p, shared);
}

GS_KERNEL(256, 2) av_project_free_backward(GS_PARAMETER(Raster) p) {
  GS_SHARED float scratch[kWarps][kCameraSums];
  const u32 b = blockIdx.y, i = blockIdx.x * kThreads + threadIdx.x;
  float camera[kCameraSums];
  for (i32 k = 0; k < kCameraSums; k++) camera[k] = 0.0f;
  if (i < (u32)p.count) {
    const u64 at = (u64)b * (u32)p.count + i;
    const FreeSplat s = load_free(p, at);
    float rows[10];
    GaussianGrad g = {};
    if (gather_rows(p, b, i, rows)) g = project_splat_vjp(p, b, p.normals != 0, s.gaussian, rows, camera);
    const FreeGrad& out = p.g_free;
    if (out.means) store3(out.means + at * 3, g.mean);
    if (out.opacities) out.opacities[at] = g.opacity;
    if (out.colors) store3(out.colors + at * 3, p.normals ? V3<float>{0.0f, 0.0f, 0.0f} : g.color);
    V3<float> scale = {0.0f, 0.0f, 0.0f};
    float quat[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (g.seen) {
      scale = column_dots(rotation(s.unit), g.shape);
      M3<float> turn = scale_columns(g.shape, s.scale);
      if (p.normals) shortest_axis_vjp(s.scale, g.color, turn);
      rotation_vjp(s.unit, turn, quat);
    }
    if (out.scales) store3(out.scales + at * 3, scale);
    if (out.quats)
      for (i32 k = 0; k < 4; k++) out.quats[at * 4 + k] = quat[k];
  }
  if (p.g_camera)
    sum_camera(camera, scratch, 0, kWarps, true, p.work.camera_partial + ((u64)b * gridDim.x + blockIdx.x) * kCameraSums);
}

// Adds the blocks' camera terms; a warp takes one term of a view.
GS_KERNEL(512, 1) av_camera_finish(GS_PARAMETER(Raster) p) {
  const u32 b = blockIdx.x, term = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const u32 per_block = p.bound.mean ? kThreads / groups_of(p.batch) : (u32)kThreads;
  const u32 blocks = p.count <= 0 ? 1u : ((u32)p.count + per_block - 1) / per_block;
  double sum = 0.0;
  for (u32 k = lane; k < blocks; k += 32) sum += (double)p.work.camera_partial[((u64)b * blocks + k) * kCameraSums + term];
  sum = warp_sum(sum);
  if (lane) return;
  float* pose = p.g_camera + (u64)b * 16;
  if (term < 4) p.g_intrinsics[(u64)b * 4 + term] = (float)sum;
  else if (term < 13) pose[4 * ((term - 4) / 3) + (term - 4) % 3] = (float)sum;
  else pose[4 * (term - 13) + 3] = (float)sum;
  if (term < 4) pose[12 + term] = 0.0f;
}

// Gathers at each vertex what its splats' surface rows ask for; three threads take a row.
GS_KERNEL(192, 1) av_vertex_gather(GS_PARAMETER(Raster) p) {
  const u32 b = blockIdx.y, v = blockIdx.x * 64 + threadIdx.x / 3, part = threadIdx.x % 3 * 4;
  if (v >= (u32)p.vertices) return;
  const float* rows = p.work.surface_rows + (u64)b * (u32)p.count * kRowFloats + part;
  float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (i32 e = p.surface.use_start[v]; e < p.surface.use_start[v + 1]; e++) {
    const u32 use = (u32)p.surface.use[e];
    const float w = p.surface.barycentric[use];
    const float4 row = load4(rows + (u64)(use / 3) * kRowFloats);
    sum.x += row.x * w;
    sum.y += row.y * w;
    sum.z += row.z * w;
    sum.w += row.w * w;
  }
  store4(p.work.corner_rows + ((u64)b * (u32)p.vertices + v) * kRowFloats + part, sum.x, sum.y, sum.z, sum.w);
}

// Runs the tangent operators backwards.
GS_KERNEL(256, 1) av_vertex_finish(GS_PARAMETER(Raster) p) {
  const u32 b = blockIdx.y, v = blockIdx.x * kThreads + threadIdx.x;
  if (v >= (u32)p.vertices) return;
  const float* rows = p.work.corner_rows + (u64)b * (u32)p.vertices * kRowFloats;
  V3<float> g = load3(rows + (u64)v * kRowFloats);
  for (i32 e = p.surface.transposed.start[v]; e < p.surface.transposed.start[v + 1]; e++) {
    const float* row = rows + (u64)(u32)p.surface.transposed.index[e] * kRowFloats;
    g = g + load3(row + 3) * p.surface.transposed.t[e] + load3(row + 6) * p.surface.transposed.s[e];
  }
  store3(p.g_bound.vertices + ((u64)b * (u32)p.vertices + v) * 3, g);
}

}  // namespace gpu
}  // namespace gs
