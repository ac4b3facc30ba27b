// Splats bound to a deforming surface: local parameters to a Gaussian in the world, and the adjoint.
//
// t and s are the surface's tangent vectors at the splat, interpolated between vertices; they turn and stretch with
// the surface. Columns of the frame: t^, n^ x t^, n^ with n = t x s. The splat's place grows with sqrt|n|; its shape is
// drawn out as the surface is, in the frame's axes by
//     along  shear   0
//     0      across  0          with along = |t|, shear = s . t^, across = |n| / |t|.
//     0      0       sqrt|n|
#pragma once
#include "gs_base.h"

namespace gs {

template <class F> struct Local { V3<F> mean; F quaternion[4]; V3<F> log_scale; F extent; V3<F> shift, turn; };

template <class F> struct Bound {
  V3<F> t, s, n, e0, e1, e2;    // tangents, normal, frame columns
  F i_t, i_n, area, stretch, size;
  F along, shear, across;       // what draws its shape out
  Quaternion<F> q, dq;
  M3<F> rotation_q, rotation_dq, frame, own;  // own: the shape before it is drawn out
  V3<F> at, sigma, factor;      // mean + shift; exp(log_scale) * extent; exp(log_scale)
  V3<F> mean;                   // out: world
  M3<F> shape;                  // out: world covariance is shape shape^T
};

// The splat's shortest axis in the world.
template <class F> GS_HD V3<F> axis_of(const Bound<F>& b) {
  return mul(b.frame, shortest_axis(mul(b.rotation_q, b.rotation_dq), b.factor));
}

template <class F> GS_HD auto has_frame(const Bound<F>& b) { return (b.area > kMinArea) & (dot(b.t, b.t) > kMinArea * kMinArea); }

template <class F> GS_HD F held_stretch(F v) { return fmin2(fmax2(v, constant<F>(kMinStretch)), constant<F>(kMaxStretch)); }

template <class F> GS_HD Bound<F> bind(const Local<F>& l, const V3<F>& p, const V3<F>& t, const V3<F>& s) {
  Bound<F> b;
  b.t = t; b.s = s;
  b.n = cross(t, s);
  b.area = fsqrt(dot(b.n, b.n));
  const auto fine = has_frame(b);
  const F one = constant<F>(1.0f), zero = F{};
  b.i_t = 1.0f / fsqrt(select(fine, dot(t, t), one));
  b.i_n = 1.0f / select(fine, b.area, one);
  b.e0 = select(fine, t * b.i_t, V3<F>{one, zero, zero});
  b.e2 = select(fine, b.n * b.i_n, V3<F>{zero, zero, one});
  b.e1 = cross(b.e2, b.e0);
  b.frame = {{b.e0.x, b.e1.x, b.e2.x}, {b.e0.y, b.e1.y, b.e2.y}, {b.e0.z, b.e1.z, b.e2.z}};
  b.stretch = held_stretch(fsqrt(b.area));
  b.along = select(fine, held_stretch(fsqrt(dot(t, t))), b.stretch);
  b.across = select(fine, held_stretch(b.area * b.i_t), b.stretch);
  b.shear = select(fine, fmin2(fmax2(dot(s, b.e0), constant<F>(-kMaxStretch)), constant<F>(kMaxStretch)), zero);
  b.size = l.extent * b.stretch;
  b.at = l.mean + l.shift;
  b.mean = p + mul(b.frame, b.at * b.size);
  b.q = normalized(l.quaternion[0], l.quaternion[1], l.quaternion[2], l.quaternion[3]);
  b.dq = normalized(one, 0.5f * l.turn.x, 0.5f * l.turn.y, 0.5f * l.turn.z);
  b.rotation_q = rotation(b.q);
  b.rotation_dq = rotation(b.dq);
  b.factor = {fexp(l.log_scale.x), fexp(l.log_scale.y), fexp(l.log_scale.z)};
  b.sigma = b.factor * l.extent;
  b.own = scale_columns(mul(b.rotation_q, b.rotation_dq), b.sigma);
  b.shape = mul(b.frame, M3<F>{b.own.r0 * b.along + b.own.r1 * b.shear, b.own.r1 * b.across, b.own.r2 * b.stretch});
  return b;
}

template <class F> GS_HD auto is_free(F stretch) { return (stretch > kMinStretch) & (stretch < kMaxStretch); }

template <class F> struct LocalGrad { V3<F> mean; F quaternion[4]; V3<F> log_scale, turn, p, t, s; };

// g_axis, where it is given, is the gradient of axis_of.
template <class F>
GS_HD LocalGrad<F> bind_vjp(const Local<F>& l, const Bound<F>& b, const V3<F>& g_mean, const M3<F>& g_shape, const V3<F>* g_axis = nullptr) {
  LocalGrad<F> o;
  o.p = g_mean;
  const V3<F> g_offset = mul_t(b.frame, g_mean);
  o.mean = g_offset * b.size;
  const M3<F> g_local = mul_at(b.frame, g_shape), g_drawn = mul_bt(g_local, b.own);  // of what draws it out
  const M3<F> g_own = {g_local.r0 * b.along, g_local.r0 * b.shear + g_local.r1 * b.across, g_local.r2 * b.stretch};
  o.log_scale = column_dots(b.own, g_own);
  M3<F> g_turned = scale_columns(g_own, b.sigma);
  if (g_axis) shortest_axis_vjp(b.factor, mul_t(b.frame, *g_axis), g_turned);
  rotation_vjp(b.q, mul_bt(g_turned, b.rotation_dq), o.quaternion);
  F g_dq[4];
  rotation_vjp(b.dq, mul_at(b.rotation_q, g_turned), g_dq);
  o.turn = {0.5f * g_dq[1], 0.5f * g_dq[2], 0.5f * g_dq[3]};
  // Between their limits stretch is sqrt(area), along |t|, across area / |t|, and shear s . t^.
  const auto fine = has_frame(b);
  const F none = {}, length = 1.0f / b.i_t, share = dot(b.s, b.e0);
  const F g_stretch = dot(g_offset, b.at) * l.extent + g_drawn.r2.z;
  const F g_along = select(is_free(length), g_drawn.r0.x, none);
  const F g_across = select(is_free(b.area * b.i_t), g_drawn.r1.y, none);
  const F g_shear = select((share > -kMaxStretch) & (share < kMaxStretch), g_drawn.r0.y, none);
  const F g_area = select(is_free(b.stretch), 0.5f * g_stretch / b.stretch, none) + g_across * b.i_t;
  const F g_length = g_along - g_across * b.area * b.i_t * b.i_t;
  // frame
  const auto back = [&](const V3<F>& g) { return V3<F>{g.x * b.along + g.y * b.shear, g.y * b.across, g.z * b.stretch}; };
  M3<F> g_frame = mul(b.frame, M3<F>{back(g_drawn.r0), back(g_drawn.r1), back(g_drawn.r2)});
  add_outer(g_frame, g_mean, b.at * b.size);
  if (g_axis) add_outer(g_frame, *g_axis, shortest_axis(mul(b.rotation_q, b.rotation_dq), b.factor));
  const M3<F> c = transpose(g_frame);
  const V3<F> g_e0 = c.r0 + cross(c.r1, b.e2) + b.s * g_shear, g_e2 = c.r2 + cross(b.e0, c.r1);
  const V3<F> g_n = (g_e2 - b.e2 * dot(b.e2, g_e2)) * b.i_n + b.e2 * g_area;
  const V3<F> zero = {F{}, F{}, F{}};
  o.t = select(fine, (g_e0 - b.e0 * dot(b.e0, g_e0)) * b.i_t + b.e0 * g_length + cross(b.s, g_n), zero);
  o.s = select(fine, b.e0 * g_shear + cross(g_n, b.t), zero);
  return o;
}

}  // namespace gs
