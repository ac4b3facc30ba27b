// Splats bound to a posed mesh: binding, projection and blending in one call, and their adjoint in another.
#include <algorithm>

#include "project_cpu.h"
#include "gs_bind.h"
#include "api.h"

using namespace gs;

namespace {

constexpr int kVertexRow = 12;  // position, t, s and three floats of padding

// Sparse rows [V] over vertices with two coefficients per entry (avatars/splats/binding.py).
struct Operator { const int *start, *index; const float *t, *s; };

struct Mesh {
  int vertices;
  Operator forward, transposed;
  const int *corner;               // [N, 3] vertices of each splat's triangle
  const float *barycentric, *extent;
  const int *use_start, *use;      // for each vertex, 3 * splat + corner in increasing order
};

struct Params { const float *mean, *quaternion, *log_scale, *logit_opacity, *color, *delta; };

// rows[v] = position and tangent vectors of vertex v.
void vertex_rows(const Mesh& m, const float* vertices, float* rows, int threads) {
  parallel(threads, chunks_of(m.vertices), [&](int chunk, int) {
    const int end = std::min(m.vertices, (chunk + 1) * kChunk);
    for (int v = chunk * kChunk; v < end; v++) {
      const float* own = vertices + (size_t)v * 3;
      float t[3] = {0, 0, 0}, s[3] = {0, 0, 0};
      for (int e = m.forward.start[v]; e < m.forward.start[v + 1]; e++) {
        const float* p = vertices + (size_t)m.forward.index[e] * 3;
        for (int k = 0; k < 3; k++) {
          const float d = p[k] - own[k];  // rows sum to zero: differences keep the digits of a head far from the origin
          t[k] += m.forward.t[e] * d;
          s[k] += m.forward.s[e] * d;
        }
      }
      float* row = rows + (size_t)v * kVertexRow;
      for (int k = 0; k < 3; k++) {
        row[k] = own[k];
        row[3 + k] = t[k];
        row[6 + k] = s[k];
        row[9 + k] = 0.0f;
      }
    }
  });
}

struct Surface { V3<VF> p, t, s; };

GS_INLINE Surface load_surface(const Mesh& m, const float* rows, int i, int n) {
  alignas(32) float at[kLanes][kVertexRow];
  for (int l = 0; l < kLanes; l++) {
    const int splat = i + (l < n ? l : n - 1);
    const float* w = m.barycentric + (size_t)splat * 3;
    const int* corner = m.corner + (size_t)splat * 3;
    F4 a{}, b{}, c{};
    for (int k = 0; k < 3; k++) {
      const float* row = rows + (size_t)corner[k] * kVertexRow;
      a += load4(row) * w[k];
      b += load4(row + 4) * w[k];
      c += load4(row + 8) * w[k];
    }
    store4(at[l], a);
    store4(at[l] + 4, b);
    store4(at[l] + 8, c);
  }
  VF v[9];
  load_columns<9>(at[0], kVertexRow, kLanes, v);
  return {{v[0], v[1], v[2]}, {v[3], v[4], v[5]}, {v[6], v[7], v[8]}};
}

// What the views of a batch share, and what each adds (shift, turn, tint come from delta).
struct Splat { Local<VF> local; V3<VF> color; VF opacity; VI valid; };

GS_INLINE Splat load_splat(const Mesh& m, const Params& p, int i, int n) {
  Splat s;
  VF logit[1];
  load_columns<3>(p.mean + (size_t)i * 3, 3, n, &s.local.mean.x);
  load_columns<4>(p.quaternion + (size_t)i * 4, 4, n, s.local.quaternion);
  load_columns<3>(p.log_scale + (size_t)i * 3, 3, n, &s.local.log_scale.x);
  load_columns<3>(p.color + (size_t)i * 3, 3, n, &s.color.x);
  load_columns<1>(p.logit_opacity + i, 1, n, logit);
  load_columns<1>(m.extent + i, 1, n, &s.local.extent);
  s.opacity = 1.0f / (1.0f + fexp(-logit[0]));
  const VF* q = s.local.quaternion;
  s.valid = (vmax(vmax(fabs2(q[0]), fabs2(q[1])), vmax(fabs2(q[2]), fabs2(q[3]))) > kMinQuaternion) & is_finite(q[0]) &
            is_finite(q[1]) & is_finite(q[2]) & is_finite(q[3]);
  return s;
}

// Moves splat s to its place in one view and returns the Gaussians there.
GS_INLINE Gaussians place(const Mesh& m, const Params& p, bool normals, Splat& s, Bound<VF>& bound, const float* rows,
                          size_t view, int count, int i, int n) {
  VF d[9] = {};
  if (p.delta) load_columns<9>(p.delta + (view * count + i) * 9, 9, n, d);
  s.local.shift = {d[0], d[1], d[2]};
  s.local.turn = {d[3], d[4], d[5]};
  const Surface at = load_surface(m, rows, i, n);
  bound = bind(s.local, at.p, at.t, at.s);
  const VI finite = is_finite(d[3]) & is_finite(d[4]) & is_finite(d[5]);
  Gaussians at_view = {bound.mean, bound.shape, s.opacity, {s.color.x + d[6], s.color.y + d[7], s.color.z + d[8]}, s.valid & finite};
  if (normals) show_axis(at_view, axis_of(bound));
  return at_view;
}

struct Grads { float *vertices, *mean, *quaternion, *log_scale, *logit_opacity, *color, *delta, *intrinsics, *camera; };

// Sums over the batch, in order, of one vector of splats.
struct Sums { VF mean[3], quaternion[4], log_scale[3], opacity[1], color[3]; };

GS_INLINE void add(VF* to, const VF* from, int n) { for (int k = 0; k < n; k++) to[k] += from[k]; }

void backward_lanes(Frame& frame, const Mesh& m, const Params& p, const Grads& out, float* surface, const Row* const* rows,
                    VF (*camera)[kCameraTerms], int batch, int count, int i, int n) {
  Splat s = load_splat(m, p, i, n);
  Bound<VF> bound;
  Sums total{};
  for (int b = 0; b < batch; b++) {
    const View& v = *frame.views[b];
    const float* vertex = frame.vertex_rows.data() + (size_t)b * m.vertices * kVertexRow;
    const Gaussians at = place(m, p, v.normals, s, bound, vertex, b, count, i, n);
    const GaussianGrad g = project_lanes_vjp(v, rows[b], at, i, n, camera ? camera[b] : nullptr);
    LocalGrad<VF> l = bind_vjp(s.local, bound, g.mean, g.shape, v.normals ? &g.axis : nullptr);
    VF* all = &l.mean.x;  // mean, quaternion, log_scale, turn, p, t, s lie one after the other
    for (int k = 0; k < 22; k++) all[k] = masked(g.seen, all[k]);
    add(total.mean, &l.mean.x, 3);
    add(total.quaternion, l.quaternion, 4);
    add(total.log_scale, &l.log_scale.x, 3);
    total.opacity[0] += masked(g.seen, g.opacity * s.opacity * (1.0f - s.opacity));
    add(total.color, &g.color.x, 3);
    if (out.delta) {
      const VF d[9] = {l.mean.x, l.mean.y, l.mean.z, l.turn.x, l.turn.y, l.turn.z, g.color.x, g.color.y, g.color.z};
      store_columns<9>(out.delta + ((size_t)b * count + i) * 9, 9, n, d);
    }
    if (surface) store_columns<9>(surface + ((size_t)b * count + i) * kVertexRow, kVertexRow, n, &l.p.x);
  }
  if (out.mean) store_columns<3>(out.mean + (size_t)i * 3, 3, n, total.mean);
  if (out.quaternion) store_columns<4>(out.quaternion + (size_t)i * 4, 4, n, total.quaternion);
  if (out.log_scale) store_columns<3>(out.log_scale + (size_t)i * 3, 3, n, total.log_scale);
  if (out.logit_opacity) store_columns<1>(out.logit_opacity + i, 1, n, total.opacity);
  if (out.color) store_columns<3>(out.color + (size_t)i * 3, 3, n, total.color);
}

// Gathers the splats' surface gradients at the vertices, then runs the tangent operators backwards. Every vertex adds
// its terms in a fixed order.
void vertex_gradient(const Mesh& m, const float* surface, float* corner_rows, float* g_vertices, int threads) {
  const int tasks = chunks_of(m.vertices);
  parallel(threads, tasks, [&](int chunk, int) {
    for (int v = chunk * kChunk; v < std::min(m.vertices, (chunk + 1) * kChunk); v++) {
      F4 a{}, b{}, c{};
      for (int e = m.use_start[v]; e < m.use_start[v + 1]; e++) {
        const float w = m.barycentric[m.use[e]];
        const float* row = surface + (size_t)(m.use[e] / 3) * kVertexRow;
        a += load4(row) * w;
        b += load4(row + 4) * w;
        c += load4(row + 8) * w;
      }
      float* to = corner_rows + (size_t)v * kVertexRow;
      store4(to, a);
      store4(to + 4, b);
      store4(to + 8, c);
    }
  });
  parallel(threads, tasks, [&](int chunk, int) {
    for (int v = chunk * kChunk; v < std::min(m.vertices, (chunk + 1) * kChunk); v++) {
      const float* own = corner_rows + (size_t)v * kVertexRow;
      float g[3] = {own[0], own[1], own[2]};
      for (int e = m.transposed.start[v]; e < m.transposed.start[v + 1]; e++) {
        const float* row = corner_rows + (size_t)m.transposed.index[e] * kVertexRow;
        for (int k = 0; k < 3; k++) g[k] += m.transposed.t[e] * row[3 + k] + m.transposed.s[e] * row[6 + k];
      }
      for (int k = 0; k < 3; k++) g_vertices[(size_t)v * 3 + k] = g[k];
    }
  });
}

}  // namespace

// mesh: operator rows, columns, t, s; the same transposed; corners, barycentric, extent; use_start, use.
AV_API int av_bound_forward(void* frame_, int threads, int batch, int count, int vertex_count, int width, int height,
                            int normals, const Mesh* mesh, const Params* params, const float* vertices, const float* intrinsics,
                            const float* camera_from_world, const float* background, int background_kind, float* color,
                            float* alpha, float* depth) {
  return guarded([&] {
    Frame& frame = *static_cast<Frame*>(frame_);
    Scratch& scratch = local_scratch();
    const size_t picture = (size_t)3 * width * height, row_floats = (size_t)vertex_count * kVertexRow;
    float* rows = frame.vertex_rows.reserve(batch * row_floats + 1);
    for (int b = 0; b < batch; b++) {
      View& v = frame.view(b);
      if (!begin_view(v, count, width, height, normals != 0, intrinsics + 4 * b, camera_from_world + 16 * b)) return (int)kBadCamera;
      float* here = rows + b * row_floats;
      vertex_rows(*mesh, vertices + (size_t)b * vertex_count * 3, here, threads);
      project_all(v, threads, [&](int i, int n) {
        Splat s = load_splat(*mesh, *params, i, n);
        Bound<VF> bound;
        return place(*mesh, *params, v.normals, s, bound, here, b, count, i, n);
      });
      bin_splats(v, scratch, threads);
      const Background behind = {background_kind == 2 ? background + b * picture : background, background_kind == 2};
      blend_forward(v, image_of(b, width, height, color, alpha, depth), behind, threads);
    }
    return (int)kOk;
  });
}

// Gradient outputs in `grads` may be null; intrinsics and camera are given together or not at all.
AV_API int av_bound_backward(void* frame_, int threads, int batch, int count, const Mesh* mesh, const Params* params,
                             float* color, float* alpha, float* depth, const float* g_color, const float* g_alpha,
                             const float* g_depth, const Grads* grads) {
  return guarded([&] {
    Frame& frame = *static_cast<Frame*>(frame_);
    Scratch& scratch = local_scratch();
    const int chunks = chunks_of(count);
    std::vector<const Row*> rows(batch);
    for (int b = 0; b < batch; b++) {
      const View& v = *frame.views[b];
      Row* mine = row_buffer(scratch, b).reserve(v.instances + 1);
      rows[b] = mine;
      blend_backward(v, mine, image_of(b, v.width, v.height, color, alpha, depth),
                     image_grad_of(b, v.width, v.height, g_color, g_alpha, g_depth), threads);
    }
    const bool want_camera = grads->camera != nullptr;
    float* partial = scratch.partial.reserve((size_t)chunks * batch * kCameraTerms + 1);
    float* surface = grads->vertices ? scratch.splat_rows.reserve((size_t)batch * count * kVertexRow + 1) : nullptr;
    struct Camera16 { VF v[kCameraTerms]; };
    std::vector<std::vector<Camera16>> sums(threads, std::vector<Camera16>(want_camera ? batch : 0));
    parallel(threads, chunks, [&](int chunk, int worker) {
      const int end = std::min(count, (chunk + 1) * kChunk);
      VF(*camera)[kCameraTerms] = want_camera ? &sums[worker][0].v : nullptr;
      if (want_camera) std::fill(sums[worker].begin(), sums[worker].end(), Camera16{});
      for (int i = chunk * kChunk; i < end; i += kLanes)
        backward_lanes(frame, *mesh, *params, *grads, surface, rows.data(), camera, batch, count, i, std::min(kLanes, end - i));
      for (int b = 0; want_camera && b < batch; b++)
        for (int k = 0; k < kCameraTerms; k++) partial[((size_t)b * chunks + chunk) * kCameraTerms + k] = sum(camera[b][k]);
    });
    for (int b = 0; want_camera && b < batch; b++)
      finish_camera(partial + (size_t)b * chunks * kCameraTerms, chunks, grads->intrinsics + 4 * b, grads->camera + 16 * b);
    if (!grads->vertices) return (int)kOk;
    float* corner_rows = scratch.corner_rows.reserve((size_t)mesh->vertices * kVertexRow + 1);
    for (int b = 0; b < batch; b++)
      vertex_gradient(*mesh, surface + (size_t)b * count * kVertexRow, corner_rows,
                      grads->vertices + (size_t)b * mesh->vertices * 3, threads);
    return (int)kOk;
  });
}
