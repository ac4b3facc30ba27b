// From a Gaussian in the world to its footprint on the screen, and the adjoint of that.
//
// A Gaussian has mean p and covariance M M^T. The perspective map is linearised at the mean (EWA splatting,
// Zwicker et al. 2001), a low-pass of kLowPass px^2 is added, and the opacity is scaled by the square root of the
// ratio of the determinants so that thin splats do not grow brighter (Mip-Splatting, Yu et al. 2024).
// With T the 2x3 matrix J W M, the sharp determinant is |t0 x t1|^2: it never suffers from cancellation.
#pragma once
#include "gs_base.h"

namespace gs {

struct Camera {
  float fx, fy, cx, cy;
  float r[9], t[3];                  // camera_from_world
  float u_min, u_max, v_min, v_max;  // x/z and y/z at which the Jacobian is held
};

GS_HD Camera make_camera(const float* intrinsics, const float* camera_from_world, int width, int height) {
  Camera c;
  c.fx = intrinsics[0]; c.fy = intrinsics[1]; c.cx = intrinsics[2]; c.cy = intrinsics[3];
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) c.r[3 * i + j] = camera_from_world[4 * i + j];
    c.t[i] = camera_from_world[4 * i + 3];
  }
  const float mx = kFrustumMargin * 0.5f * width / c.fx, my = kFrustumMargin * 0.5f * height / c.fy;
  c.u_min = -c.cx / c.fx - mx; c.u_max = (width - c.cx) / c.fx + mx;
  c.v_min = -c.cy / c.fy - my; c.v_max = (height - c.cy) / c.fy + my;
  return c;
}

// exponent = a/2 (dx + k dy)^2 + d/2 dy^2 about (mx, my): a sum of squares, never negative.
template <class F> struct Footprint { F mx, my, a, k, d, opacity_factor, depth; };

template <class F> struct Projection {
  V3<F> point;          // camera coordinates
  F iz, u, v, uc, vc;   // 1/z, x/z, y/z, and both held to the frustum
  M3<F> m;              // M in camera coordinates
  V3<F> t0, t1, normal; // rows of T, and their cross product
  F var_x, cov, var_y;  // blurred
  F det, det_blurred, ratio;
  Footprint<F> out;
};

template <class F> GS_HD V3<F> rotate(const Camera& c, const V3<F>& p) {
  return {c.r[0] * p.x + c.r[1] * p.y + c.r[2] * p.z, c.r[3] * p.x + c.r[4] * p.y + c.r[5] * p.z,
          c.r[6] * p.x + c.r[7] * p.y + c.r[8] * p.z};
}
template <class F> GS_HD V3<F> rotate_back(const Camera& c, const V3<F>& p) {
  return {c.r[0] * p.x + c.r[3] * p.y + c.r[6] * p.z, c.r[1] * p.x + c.r[4] * p.y + c.r[7] * p.z,
          c.r[2] * p.x + c.r[5] * p.y + c.r[8] * p.z};
}
template <class F> GS_HD M3<F> rotate(const Camera& c, const M3<F>& m) {
  return {m.r0 * constant<F>(c.r[0]) + m.r1 * constant<F>(c.r[1]) + m.r2 * constant<F>(c.r[2]),
          m.r0 * constant<F>(c.r[3]) + m.r1 * constant<F>(c.r[4]) + m.r2 * constant<F>(c.r[5]),
          m.r0 * constant<F>(c.r[6]) + m.r1 * constant<F>(c.r[7]) + m.r2 * constant<F>(c.r[8])};
}
template <class F> GS_HD M3<F> rotate_back(const Camera& c, const M3<F>& m) {
  return {m.r0 * constant<F>(c.r[0]) + m.r1 * constant<F>(c.r[3]) + m.r2 * constant<F>(c.r[6]),
          m.r0 * constant<F>(c.r[1]) + m.r1 * constant<F>(c.r[4]) + m.r2 * constant<F>(c.r[7]),
          m.r0 * constant<F>(c.r[2]) + m.r1 * constant<F>(c.r[5]) + m.r2 * constant<F>(c.r[8])};
}

template <class F> GS_HD Projection<F> project(const Camera& c, const V3<F>& mean, const M3<F>& shape) {
  Projection<F> p;
  p.point = rotate(c, mean);
  p.point = {p.point.x + c.t[0], p.point.y + c.t[1], p.point.z + c.t[2]};
  p.iz = 1.0f / p.point.z;
  p.u = p.point.x * p.iz;
  p.v = p.point.y * p.iz;
  p.uc = fmin2(fmax2(p.u, constant<F>(c.u_min)), constant<F>(c.u_max));
  p.vc = fmin2(fmax2(p.v, constant<F>(c.v_min)), constant<F>(c.v_max));
  p.m = rotate(c, shape);
  p.t0 = (p.m.r0 - p.m.r2 * p.uc) * (c.fx * p.iz);
  p.t1 = (p.m.r1 - p.m.r2 * p.vc) * (c.fy * p.iz);
  p.normal = cross(p.t0, p.t1);
  p.var_x = dot(p.t0, p.t0) + kLowPass;
  p.cov = dot(p.t0, p.t1);
  p.var_y = dot(p.t1, p.t1) + kLowPass;
  p.det = dot(p.normal, p.normal);
  p.det_blurred = p.det + (p.var_x + p.var_y) * kLowPass - kLowPass * kLowPass;
  p.ratio = p.det / p.det_blurred;
  const F iy = 1.0f / p.var_y;
  p.out = {c.fx * p.u + c.cx, c.fy * p.v + c.cy, p.var_y / p.det_blurred, -p.cov * iy, iy,
           fsqrt(fmax2(p.ratio, constant<F>(kMinRatio))), p.point.z};
  return p;
}

// Whether a direction at the projected point looks away from the camera: a splat's normal is its shortest axis, turned.
template <class F> GS_HD auto faces_away(const Camera& c, const Projection<F>& p, const V3<F>& way) {
  return dot(rotate(c, way), p.point) > 0.0f;
}

// Gradients with respect to the camera-space point and shape, and the intrinsics.
template <class F> struct ProjectionGrad { V3<F> point; M3<F> m; F fx, fy, cx, cy; };

template <class F> GS_HD ProjectionGrad<F> project_vjp(const Camera& c, const Projection<F>& p, const Footprint<F>& g) {
  const F i_det = 1.0f / p.det_blurred, iy = p.out.d;
  // opacity_factor = sqrt(det / det_blurred)
  const F g_ratio = select(p.ratio > kMinRatio, 0.5f * g.opacity_factor / p.out.opacity_factor, F{});
  const F g_blurred = -(g_ratio * p.ratio + g.a * p.out.a) * i_det;
  const F g_det = g_ratio * i_det + g_blurred;
  const F g_var_x = kLowPass * g_blurred;
  const F g_var_y = g_var_x + g.a * i_det - (g.k * p.out.k + g.d * iy) * iy;
  const F g_cov = -g.k * iy;
  const V3<F> n2 = p.normal * (2.0f * g_det);
  const V3<F> g_t0 = p.t0 * (2.0f * g_var_x) + p.t1 * g_cov + cross(p.t1, n2);
  const V3<F> g_t1 = p.t1 * (2.0f * g_var_y) + p.t0 * g_cov + cross(n2, p.t0);
  const F h0 = c.fx * p.iz, h1 = c.fy * p.iz;
  ProjectionGrad<F> o;
  o.m.r0 = g_t0 * h0;
  o.m.r1 = g_t1 * h1;
  o.m.r2 = (o.m.r0 * p.uc + o.m.r1 * p.vc) * constant<F>(-1.0f);
  const F g_h0 = dot(g_t0, p.m.r0 - p.m.r2 * p.uc), g_h1 = dot(g_t1, p.m.r1 - p.m.r2 * p.vc);
  const F g_uc = -dot(o.m.r0, p.m.r2), g_vc = -dot(o.m.r1, p.m.r2);
  const F g_u = c.fx * g.mx + select(p.u == p.uc, g_uc, F{});
  const F g_v = c.fy * g.my + select(p.v == p.vc, g_vc, F{});
  const F g_iz = c.fx * g_h0 + c.fy * g_h1 + g_u * p.point.x + g_v * p.point.y;
  o.point = {g_u * p.iz, g_v * p.iz, g.depth - g_iz * p.iz * p.iz};
  o.fx = g_h0 * p.iz + g.mx * p.u;
  o.fy = g_h1 * p.iz + g.my * p.v;
  o.cx = g.mx;
  o.cy = g.my;
  return o;
}

}  // namespace gs
