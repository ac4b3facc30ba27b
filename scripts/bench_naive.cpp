// What the native backend is measured against: the same pictures and gradients by a plain loop over splats and the
// pixels of their boxes, one thread, no tiles, no vectors. Uses the shared maths with F = float.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gs_project.h"

using namespace gs;

namespace {

struct Splat { Projection<float> p; float opacity, radius_x, radius_y; bool visible; };

struct Scene {
  int count, width, height;
  const float *means, *quats, *scales, *opacities, *colors;
  Camera camera;
  std::vector<Splat> splats;
  std::vector<int> order;

  M3<float> shape(int i, Quaternion<float>& q) const {
    q = normalized(quats[4 * i], quats[4 * i + 1], quats[4 * i + 2], quats[4 * i + 3]);
    return scale_columns(rotation(q), V3<float>{scales[3 * i], scales[3 * i + 1], scales[3 * i + 2]});
  }

  void prepare() {
    splats.resize(count);
    order.clear();
    for (int i = 0; i < count; i++) {
      Quaternion<float> q;
      Splat& s = splats[i];
      s.p = project(camera, V3<float>{means[3 * i], means[3 * i + 1], means[3 * i + 2]}, shape(i, q));
      s.opacity = opacities[i] * s.p.out.opacity_factor;
      s.visible = s.p.out.depth >= kNear && s.opacity >= kAlphaMin;
      if (!s.visible) continue;
      const float reach = 2.0f * std::log(s.opacity / kAlphaMin);
      s.radius_x = std::sqrt(reach * s.p.var_x);
      s.radius_y = std::sqrt(reach * s.p.var_y);
      order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return splats[a].p.out.depth < splats[b].p.out.depth; });
  }

  // Calls visit(pixel, u, dy, alpha, capped) for the pixels where splat i counts.
  template <class Visit> void pixels(const Splat& s, const std::vector<float>& through, Visit&& visit) const {
    const Footprint<float>& f = s.p.out;
    const int x0 = std::max(0, (int)std::floor(f.mx - s.radius_x)), x1 = std::min(width - 1, (int)std::ceil(f.mx + s.radius_x));
    const int y0 = std::max(0, (int)std::floor(f.my - s.radius_y)), y1 = std::min(height - 1, (int)std::ceil(f.my + s.radius_y));
    for (int y = y0; y <= y1; y++)
      for (int x = x0; x <= x1; x++) {
        const float dy = y + 0.5f - f.my, u = x + 0.5f - f.mx + f.k * dy;
        const float raw = s.opacity * std::exp(-0.5f * (f.a * u * u + f.d * dy * dy));
        const int at = y * width + x;
        if (raw < kAlphaMin || through[at] < kTransmittanceStop) continue;
        visit(at, u, dy, std::min(raw, kAlphaMax), raw > kAlphaMax);
      }
  }
};

}  // namespace

extern "C" void naive(int count, int width, int height, const float* means, const float* quats, const float* scales,
                      const float* opacities, const float* colors, const float* intrinsics, const float* pose, float* image,
                      const float* g_image, float* g_means, float* g_quats, float* g_scales, float* g_opacities, float* g_colors) {
  Scene s{count, width, height, means, quats, scales, opacities, colors, make_camera(intrinsics, pose, width, height), {}, {}};
  s.prepare();
  const int n = width * height;
  std::fill(image, image + 3 * n, 0.0f);
  std::vector<float> through(n, 1.0f);
  for (int i : s.order)
    s.pixels(s.splats[i], through, [&](int at, float, float, float alpha, bool) {
      for (int c = 0; c < 3; c++) image[c * n + at] += through[at] * alpha * colors[3 * i + c];
      through[at] *= 1 - alpha;
    });
  if (!g_image) return;
  std::vector<float> rest(n);
  for (int at = 0; at < n; at++) rest[at] = image[at] * g_image[at] + image[n + at] * g_image[n + at] + image[2 * n + at] * g_image[2 * n + at];
  std::fill(through.begin(), through.end(), 1.0f);
  for (int i : s.order) {
    const Splat& p = s.splats[i];
    const Footprint<float>& f = p.p.out;
    Footprint<float> g{};
    float g_opacity = 0, g_color[3] = {0, 0, 0};
    s.pixels(p, through, [&](int at, float u, float dy, float alpha, bool capped) {
      const float w = alpha * through[at];
      float worth = 0;
      for (int c = 0; c < 3; c++) {
        worth += colors[3 * i + c] * g_image[c * n + at];
        g_color[c] += w * g_image[c * n + at];
      }
      rest[at] -= w * worth;
      const float v = capped ? 0.0f : w * worth - rest[at] * alpha / (1 - alpha);
      through[at] -= w;
      g.mx += v * f.a * u;
      g.my += v * (f.a * u * f.k + f.d * dy);
      g.a -= 0.5f * v * u * u;
      g.k -= f.a * v * u * dy;
      g.d -= 0.5f * v * dy * dy;
      g_opacity += v / p.opacity;
    });
    g.opacity_factor = g_opacity * opacities[i];
    const ProjectionGrad<float> q = project_vjp(s.camera, p.p, g);
    const V3<float> g_mean = rotate_back(s.camera, q.point);
    const M3<float> g_shape = rotate_back(s.camera, q.m);
    Quaternion<float> unit;
    s.shape(i, unit);
    const V3<float> scale = {scales[3 * i], scales[3 * i + 1], scales[3 * i + 2]}, g_scale = column_dots(rotation(unit), g_shape);
    rotation_vjp(unit, scale_columns(g_shape, scale), g_quats + 4 * i);
    std::copy_n(&g_mean.x, 3, g_means + 3 * i);
    std::copy_n(&g_scale.x, 3, g_scales + 3 * i);
    std::copy_n(g_color, 3, g_colors + 3 * i);
    g_opacities[i] = g_opacity * f.opacity_factor;
  }
}
