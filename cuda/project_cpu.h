// Projection of many Gaussians on a CPU, kLanes at a time; shared by free and bound splats.
#pragma once
#include <atomic>

#include "frame.h"

namespace gs {

constexpr int kChunk = 256;  // splats a task; sums over a chunk are added in order, whatever the thread
constexpr int kCameraTerms = 16;

inline int chunks_of(int count) { return (count + kChunk - 1) / kChunk; }

// kLanes Gaussians in the world. `valid` is false where the parameters have no meaning.
struct Gaussians { V3<VF> mean; M3<VF> shape; VF opacity; V3<VF> color; VI valid; };
struct GaussianGrad { V3<VF> mean; M3<VF> shape; VF opacity; V3<VF> color, axis; VI seen; };

GS_INLINE VI usable_color(const V3<VF>& c) {
  return (fabs2(c.x) <= kMaxColor) & (fabs2(c.y) <= kMaxColor) & (fabs2(c.z) <= kMaxColor);
}
// Puts an axis in the place of the colour, for a view of normals; what the colour would have pruned stays pruned.
GS_INLINE void show_axis(Gaussians& s, const V3<VF>& axis) {
  s.valid &= usable_color(s.color);
  s.color = axis;
}

// Rows of C floats to vectors and back; lanes past n repeat the last row and are not stored. Reads only the rows.
template <int C> GS_INLINE void load_columns(const float* from, int stride, int n, VF* out) {
  if (n == kLanes && stride == C && C == 1) return (void)(out[0] = load(from));
  if (n == kLanes && stride == C && C == 3) return load_triples(from, out);
  const float* row[kLanes];
  for (int l = 0; l < kLanes; l++) row[l] = from + (size_t)(l < n ? l : n - 1) * stride;
  int c = 0;
  if constexpr (C >= 4) {
    for (; c + 4 <= C; c += 4) load_block(row, c, out + c);
    if (C % 4) {  // the last four columns again, overlapping
      VF last[4];
      load_block(row, C - 4, last);
      for (; c < C; c++) out[c] = last[c - (C - 4)];
    }
  } else {
    for (; c < C; c++) out[c] = load_lanes(row, c);
  }
}
template <int C> GS_INLINE void store_columns(float* to, int stride, int n, const VF* v) {
  if (n == kLanes && stride == C && C == 1) return store(to, v[0]);
  if (n == kLanes && stride == C && C == 3) return store_triples(to, v);
  if constexpr (C >= 4) {
    if (n == kLanes) {
      for (int c = 0; c + 4 <= C; c += 4) store_block(to + c, stride, v + c);
      if (C % 4) store_block(to + C - 4, stride, v + C - 4);
      return;
    }
  }
  alignas(32) float columns[C][kLanes];
  for (int c = 0; c < C; c++) gs::store(columns[c], v[c]);
  for (int l = 0; l < n; l++)
    for (int c = 0; c < C; c++) to[(size_t)l * stride + c] = columns[c][l];
}

// Writes payloads and depth keys of splats [i, i + n); returns how many were pruned as not finite or degenerate.
inline int project_lanes(View& v, const Gaussians& s, int i, int n) {
  const Projection<VF> p = project(v.camera, s.mean, s.shape);
  const Footprint<VF>& f = p.out;
  const VF opacity = s.opacity * f.opacity_factor;
  const VI beyond = (f.depth < kNear) | (f.depth > kFar);
  const VI sane = s.valid & is_finite(f.mx) & is_finite(f.my) & is_finite(f.depth) & (p.var_x <= kMaxVariance) & (p.var_y <= kMaxVariance) &
                  is_finite(opacity) & usable_color(s.color);
  const VF cut = log2_rough(vmax(opacity * 255.0f, broadcast(1e-30f))) + 1e-3f;
  const VF reach = vmax(cut, VF{}) * (2.0f / kLog2e);
  const VF ex = fsqrt(reach * p.var_x) + 1e-3f, ey = fsqrt(reach * p.var_y) + 1e-3f;
  const VI visible = sane & ~beyond & (opacity >= kAlphaMin) & (f.mx + ex > 0.5f) & (f.mx - ex < v.width - 0.5f) &
                     (f.my + ey > 0.5f) & (f.my - ey < v.height - 0.5f);
  const VI pruned = ~sane & ~(beyond & is_finite(f.depth));  // what is behind or far away is fine, but not at infinity
  const VF half = broadcast(-0.5f * kLog2e), ha = half * f.a, hd = half * f.d;
  const float px = 1.0f / kTile;  // pixels' centres lie at half-integers
  const VI x0 = truncate(vmax(f.mx - ex + 0.5f, VF{}) * px), y0 = truncate(vmax(f.my - ey + 0.5f, VF{}) * px);
  const VI x1 = truncate(vmin(f.mx + ex - 0.5f, broadcast(v.width - 1.0f)) * px);
  const VI y1 = truncate(vmin(f.my + ey - 0.5f, broadcast(v.height - 1.0f)) * px);
  V3<VF> c = s.color;
  if (v.normals) c = select(faces_away(v.camera, p, c), c * broadcast(-1.0f), c);
  const VF payload[16] = {f.mx, f.my, ha, f.k, hd, opacity, c.x, c.y, c.z, f.depth, cut, -1.0f / ha,
                          (VF)(x0 | x1 << 16), (VF)(y0 | y1 << 16), VF{}, VF{}};
  for (int c = 0; c < 16; c += 4) store_block(&v.splats[i].mx + c, 16, payload + c);  // there is room for whole vectors
  const VI keys = ((VI)f.depth & visible) | ~visible;
  std::memcpy(&v.depth[i], &keys, sizeof keys);
  int count = 0;
  if (any(pruned))
    for (int l = 0; l < n; l++) count += pruned[l] ? 1 : 0;
  return count;
}

// Sum of the gradient rows of splats [i, i + n), turned into kLanes-wide vectors.
GS_INLINE VI gather_rows(const View& v, const Row* rows, int i, int n, VF g[12]) {
  alignas(32) float sums[kLanes][12];
  VI seen{};
  for (int l = 0; l < n; l++) {
    const uint32_t begin = v.first_row[i + l], end = v.first_row[i + l + 1];
    F4 a{}, b{}, c{};
    for (uint32_t r = begin; r < end; r++) {
      const float* row = &rows[r].u;
      a += load4(row);
      b += load4(row + 4);
      c += load4(row + 8);
    }
    store4(sums[l], a);
    store4(sums[l] + 4, b);
    store4(sums[l] + 8, c);
    seen[l] = end > begin ? -1 : 0;
  }
  load_columns<10>(sums[0], 12, n, g);
  return seen;
}

GS_INLINE V3<VF> masked(VI m, const V3<VF>& v) { return {masked(m, v.x), masked(m, v.y), masked(m, v.z)}; }

// Gradient of splats [i, i + n) from their rows; adds to the camera's sums unless these are null. `axis` has a value
// in views of normals alone.
inline GaussianGrad project_lanes_vjp(const View& v, const Row* rows, const Gaussians& s, int i, int n, VF* camera) {
  VF g[12];
  GaussianGrad o;
  const VI seen = o.seen = gather_rows(v, rows, i, n, g);
  const Projection<VF> p = project(v.camera, s.mean, s.shape);
  const VF by_x = p.out.a * g[0], by_y = p.out.k * by_x + p.out.d * g[1];
  const VF by_factor = g[5] / p.out.opacity_factor, by_opacity = g[5] / s.opacity;
  const Footprint<VF> gf = {by_x, by_y, -0.5f * g[2], -p.out.a * g[3], -0.5f * g[4], by_factor, g[9]};
  const ProjectionGrad<VF> q = project_vjp(v.camera, p, gf);
  const V3<VF> g_point = masked(seen, q.point);
  const M3<VF> g_m = {masked(seen, q.m.r0), masked(seen, q.m.r1), masked(seen, q.m.r2)};
  o.mean = rotate_back(v.camera, g_point);
  o.shape = rotate_back(v.camera, g_m);
  o.opacity = masked(seen, by_opacity);
  o.color = masked(seen, V3<VF>{g[6], g[7], g[8]});
  if (v.normals) {
    o.axis = select(faces_away(v.camera, p, s.color), o.color * broadcast(-1.0f), o.color);
    o.color = {VF{}, VF{}, VF{}};
  }
  if (camera) {
    const V3<VF> rows_of[3] = {mul(s.shape, g_m.r0), mul(s.shape, g_m.r1), mul(s.shape, g_m.r2)};
    const VF point[3] = {g_point.x, g_point.y, g_point.z};
    const VF intrinsics[4] = {q.fx, q.fy, q.cx, q.cy};
    for (int k = 0; k < 4; k++) camera[k] += masked(seen, intrinsics[k]);
    for (int k = 0; k < 3; k++) {
      camera[4 + 3 * k] += masked(seen, point[k] * s.mean.x + rows_of[k].x);
      camera[5 + 3 * k] += masked(seen, point[k] * s.mean.y + rows_of[k].y);
      camera[6 + 3 * k] += masked(seen, point[k] * s.mean.z + rows_of[k].z);
      camera[13 + k] += point[k];
    }
  }
  return o;
}

// Sets a view up for `count` splats; false if the camera is not finite or has no focal length.
inline bool begin_view(View& v, int count, int width, int height, bool normals, const float* intrinsics,
                       const float* camera_from_world) {
  for (int i = 0; i < 4; i++) if (!(intrinsics[i] - intrinsics[i] == 0.0f)) return false;
  for (int i = 0; i < 12; i++) if (!(camera_from_world[i] - camera_from_world[i] == 0.0f)) return false;
  if (!(intrinsics[0] > 0.0f) || !(intrinsics[1] > 0.0f)) return false;
  v.normals = normals;
  v.width = width;
  v.height = height;
  v.tiles_x = (width + kTile - 1) / kTile;
  v.tiles_y = (height + kTile - 1) / kTile;
  v.count = (uint32_t)count;
  v.camera = make_camera(intrinsics, camera_from_world, width, height);
  v.splats.reserve((size_t)count + kLanes);
  v.depth.reserve((size_t)count + kLanes);
  return true;
}

// Fills splats [0, count) of a view from load(first, n) -> Gaussians.
template <class Load> void project_all(View& v, int threads, const Load& load_gaussians) {
  std::atomic<uint32_t> pruned{0};
  parallel(threads, chunks_of((int)v.count), [&](int chunk, int) {
    const int end = std::min<int>((int)v.count, (chunk + 1) * kChunk);
    int bad = 0;
    for (int i = chunk * kChunk; i < end; i += kLanes) {
      const int n = std::min(kLanes, end - i);
      bad += project_lanes(v, load_gaussians(i, n), i, n);
    }
    pruned += (uint32_t)bad;
  });
  v.pruned = pruned;
}

// Adds the chunks' camera sums in order: partial is [chunks, kCameraTerms].
inline void finish_camera(const float* partial, int chunks, float* g_intrinsics, float* g_camera) {
  double total[kCameraTerms] = {0};
  for (int c = 0; c < chunks; c++)
    for (int k = 0; k < kCameraTerms; k++) total[k] += partial[(size_t)c * kCameraTerms + k];
  if (g_intrinsics) for (int k = 0; k < 4; k++) g_intrinsics[k] = (float)total[k];
  if (!g_camera) return;
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) g_camera[4 * i + j] = (float)total[4 + 3 * i + j];
    g_camera[4 * i + 3] = (float)total[13 + i];
  }
  for (int j = 0; j < 4; j++) g_camera[12 + j] = 0.0f;
}

inline Image image_of(int b, int width, int height, float* color, float* alpha, float* depth) {
  const size_t plane = (size_t)width * height;
  return {color + b * 3 * plane, alpha + b * plane, depth + b * plane};
}
inline ImageGrad image_grad_of(int b, int width, int height, const float* color, const float* alpha, const float* depth) {
  const size_t plane = (size_t)width * height;
  return {color ? color + b * 3 * plane : nullptr, alpha ? alpha + b * plane : nullptr, depth ? depth + b * plane : nullptr};
}

}  // namespace gs
