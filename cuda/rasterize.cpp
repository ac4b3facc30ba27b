// Free splats: world-space means, quaternions and scales to pictures, and back. Also the life of frames.
#include <algorithm>
#include <mutex>

#include "project_cpu.h"
#include "api.h"

namespace gs {

Scratch& local_scratch() {
  static thread_local Scratch scratch;
  return scratch;
}

Buffer<Row>& row_buffer(Scratch& s, int b) {
  while ((int)s.view_rows.size() <= b) s.view_rows.push_back(std::make_unique<Buffer<Row>>());
  return *s.view_rows[b];
}

namespace {

std::mutex frames_lock;
std::vector<Frame*> spare_frames;
constexpr size_t kSpareFrames = 4;

struct Arrays { const float *means, *quats, *scales, *opacities, *colors; };

GS_INLINE Quaternion<VF> quaternion_of(const VF q[4]) { return normalized(q[0], q[1], q[2], q[3]); }

GS_INLINE Gaussians load_gaussians(const Arrays& a, bool normals, size_t first, int n, VF q[4], VF scale[3]) {
  VF mean[3], color[3], opacity[1];
  load_columns<3>(a.means + first * 3, 3, n, mean);
  load_columns<4>(a.quats + first * 4, 4, n, q);
  load_columns<3>(a.scales + first * 3, 3, n, scale);
  load_columns<1>(a.opacities + first, 1, n, opacity);
  load_columns<3>(a.colors + first * 3, 3, n, color);
  const VI valid = vmax(vmax(fabs2(q[0]), fabs2(q[1])), vmax(fabs2(q[2]), fabs2(q[3]))) > kMinQuaternion;
  const VI finite = is_finite(q[0]) & is_finite(q[1]) & is_finite(q[2]) & is_finite(q[3]);
  const M3<VF> turn = rotation(quaternion_of(q));
  const V3<VF> size = {scale[0], scale[1], scale[2]};
  Gaussians s = {{mean[0], mean[1], mean[2]}, scale_columns(turn, size), opacity[0], {color[0], color[1], color[2]}, valid & finite};
  if (normals) show_axis(s, shortest_axis(turn, size));
  return s;
}

struct FreeGrads { float *means, *quats, *scales, *opacities, *colors; };

void store_gradients(const FreeGrads& out, bool normals, size_t first, int n, const GaussianGrad& g, const VF q[4], const VF scale[3]) {
  if (out.means) store_columns<3>(out.means + first * 3, 3, n, &g.mean.x);
  if (out.opacities) store_columns<1>(out.opacities + first, 1, n, &g.opacity);
  if (out.colors) store_columns<3>(out.colors + first * 3, 3, n, &g.color.x);
  if (!out.quats && !out.scales) return;
  const Quaternion<VF> unit = quaternion_of(q);
  const M3<VF> r = rotation(unit);
  if (out.scales) {
    const V3<VF> gs = masked(g.seen, column_dots(r, g.shape));
    store_columns<3>(out.scales + first * 3, 3, n, &gs.x);
  }
  if (out.quats) {
    const V3<VF> size = {scale[0], scale[1], scale[2]};
    M3<VF> g_turn = scale_columns(g.shape, size);
    if (normals) shortest_axis_vjp(size, g.axis, g_turn);
    VF gq[4];
    rotation_vjp(unit, g_turn, gq);
    for (VF& x : gq) x = masked(g.seen, x);
    store_columns<4>(out.quats + first * 4, 4, n, gq);
  }
}

}  // namespace
}  // namespace gs

using namespace gs;

AV_API int av_lanes() { return kLanes; }

AV_API void* av_frame_new() {
  std::lock_guard<std::mutex> lock(frames_lock);
  if (spare_frames.empty()) return new (std::nothrow) Frame();
  Frame* f = spare_frames.back();
  spare_frames.pop_back();
  return f;
}

AV_API void av_frame_free(void* frame) {
  std::lock_guard<std::mutex> lock(frames_lock);
  if (spare_frames.size() < kSpareFrames) spare_frames.push_back(static_cast<Frame*>(frame));
  else delete static_cast<Frame*>(frame);
}

AV_API long long av_frame_pruned(void* frame, int batch) {
  long long total = 0;
  for (int b = 0; b < batch; b++) total += static_cast<Frame*>(frame)->view(b).pruned;
  return total;
}

// background_kind: 0 black, 1 one colour [3] for all, 2 [B, 3, H, W]. `normals`: draw these instead of colours.
AV_API int av_rasterize_forward(void* frame, int threads, int batch, int count, int width, int height, int normals, const float* means,
                                const float* quats, const float* scales, const float* opacities, const float* colors,
                                const float* intrinsics, const float* camera_from_world, const float* background,
                                int background_kind, float* color, float* alpha, float* depth) {
  return guarded([&] {
    Scratch& scratch = local_scratch();
    for (int b = 0; b < batch; b++) {
      View& v = static_cast<Frame*>(frame)->view(b);
      if (!begin_view(v, count, width, height, normals != 0, intrinsics + 4 * b, camera_from_world + 16 * b)) return (int)kBadCamera;
      const Arrays a = {means, quats, scales, opacities, colors};
      const size_t base = (size_t)b * count;
      project_all(v, threads, [&](int i, int n) {
        VF q[4], scale[3];
        return load_gaussians(a, v.normals, base + i, n, q, scale);
      });
      bin_splats(v, scratch, threads);
      const size_t picture = (size_t)3 * width * height;
      const Background behind = {background_kind == 2 ? background + b * picture : background, background_kind == 2};
      blend_forward(v, image_of(b, width, height, color, alpha, depth), behind, threads);
    }
    return (int)kOk;
  });
}

// Gradient outputs may be null. g_intrinsics and g_camera are given together or not at all.
AV_API int av_rasterize_backward(void* frame, int threads, int batch, const float* means, const float* quats,
                                 const float* scales, const float* opacities, const float* colors, float* color,
                                 float* alpha, float* depth, const float* g_color, const float* g_alpha,
                                 const float* g_depth, float* g_means, float* g_quats, float* g_scales, float* g_opacities,
                                 float* g_colors, float* g_intrinsics, float* g_camera) {
  return guarded([&] {
    Scratch& scratch = local_scratch();
    for (int b = 0; b < batch; b++) {
      View& v = static_cast<Frame*>(frame)->view(b);
      const int count = (int)v.count, chunks = chunks_of(count);
      Row* rows = row_buffer(scratch, 0).reserve(v.instances + 1);
      blend_backward(v, rows, image_of(b, v.width, v.height, color, alpha, depth),
                     image_grad_of(b, v.width, v.height, g_color, g_alpha, g_depth), threads);
      float* partial = scratch.partial.reserve((size_t)chunks * kCameraTerms + 1);
      const Arrays a = {means, quats, scales, opacities, colors};
      const FreeGrads out = {g_means, g_quats, g_scales, g_opacities, g_colors};
      const size_t base = (size_t)b * count;
      parallel(threads, chunks, [&](int chunk, int) {
        const int end = std::min(count, (chunk + 1) * kChunk);
        VF camera[kCameraTerms] = {};
        for (int i = chunk * kChunk; i < end; i += kLanes) {
          const int n = std::min(kLanes, end - i);
          VF q[4], scale[3];
          const Gaussians s = load_gaussians(a, v.normals, base + i, n, q, scale);
          const GaussianGrad g = project_lanes_vjp(v, rows, s, i, n, g_camera ? camera : nullptr);
          store_gradients(out, v.normals, base + i, n, g, q, scale);
        }
        for (int k = 0; k < kCameraTerms; k++) partial[chunk * kCameraTerms + k] = sum(camera[k]);
      });
      if (g_camera) finish_camera(partial, chunks, g_intrinsics + 4 * b, g_camera + 16 * b);
    }
    return (int)kOk;
  });
}
