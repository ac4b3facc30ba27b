// Constants and small vector algebra shared by g++, nvcc and NVRTC. No standard library in here.
//
// Every function is a template on its number type F: float on a GPU, a SIMD vector of floats on a CPU
// (simd.h, included first there), double in tests. A branch is therefore written select(mask, yes, no).
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define GS_HD __host__ __device__ __forceinline__
#else
#define GS_HD inline __attribute__((always_inline))
#endif

namespace gs {

// The picture's definition. avatars/raster/reference.py mirrors these names and values.
constexpr float kLowPass = 0.3f;             // px^2 added to both screen variances
constexpr float kAlphaMin = 1.0f / 255.0f;   // fainter contributions are dropped
constexpr float kAlphaMax = 0.999f;          // alpha is capped here
constexpr float kTransmittanceStop = 1e-4f;  // a pixel that lets less through takes no more splats
constexpr float kNear = 0.01f;               // m; nearer splats are culled
constexpr float kFar = 1e6f;                  // m; farther splats are culled
constexpr float kMaxColor = 1e6f;             // brighter splats are pruned: they would drown their neighbours' digits
constexpr float kFrustumMargin = 0.3f;       // of the image; beyond it the projection's Jacobian is held
constexpr float kMaxVariance = 1e12f;        // px^2; larger footprints are pruned as degenerate
constexpr float kMinRatio = 1e-12f;          // floor of det/det_blurred under the square root
constexpr float kMinQuaternion = 1e-30f;     // largest component; smaller quaternions have no direction
constexpr float kMinArea = 1e-6f;            // |t x s|; flatter frames fall back to the identity
constexpr float kMinStretch = 0.25f, kMaxStretch = 4.0f;
constexpr float kLog2e = 1.44269504088896341f;
constexpr int kTile = 16;

#if defined(__CUDA_ARCH__)
GS_HD float fsqrt(float x) { return sqrtf(x); }
GS_HD float fexp(float x) { return expf(x); }
#else
GS_HD float fsqrt(float x) { return __builtin_sqrtf(x); }
GS_HD float fexp(float x) { return __builtin_expf(x); }
GS_HD double fsqrt(double x) { return __builtin_sqrt(x); }
GS_HD double fexp(double x) { return __builtin_exp(x); }
#endif

GS_HD float select(bool m, float a, float b) { return m ? a : b; }
GS_HD double select(bool m, double a, double b) { return m ? a : b; }

// Comparisons with NaN are false, so fmin(x, y) and fmax(x, y) return y where x is NaN.
template <class F> GS_HD F fmin2(F x, F y) { return select(x < y, x, y); }
template <class F> GS_HD F fmax2(F x, F y) { return select(x > y, x, y); }
template <class F> GS_HD F fabs2(F x) { return fmax2(x, -x); }
template <class F> GS_HD F constant(float c) { return F{} + c; }
template <class F> GS_HD auto is_finite(F x) { return (x - x) == F{}; }

template <class F> struct V3 { F x, y, z; };
template <class F> GS_HD V3<F> operator+(const V3<F>& a, const V3<F>& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
template <class F> GS_HD V3<F> operator-(const V3<F>& a, const V3<F>& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
template <class F> GS_HD V3<F> operator*(const V3<F>& a, F k) { return {a.x * k, a.y * k, a.z * k}; }
template <class F> GS_HD F dot(const V3<F>& a, const V3<F>& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
template <class F> GS_HD V3<F> cross(const V3<F>& a, const V3<F>& b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
template <class F, class M> GS_HD V3<F> select(M m, const V3<F>& a, const V3<F>& b) {
  return {select(m, a.x, b.x), select(m, a.y, b.y), select(m, a.z, b.z)};
}

// 3x3 matrices are three rows.
template <class F> struct M3 { V3<F> r0, r1, r2; };
template <class F> GS_HD V3<F> mul(const M3<F>& m, const V3<F>& v) { return {dot(m.r0, v), dot(m.r1, v), dot(m.r2, v)}; }
template <class F> GS_HD V3<F> mul_t(const M3<F>& m, const V3<F>& v) { return m.r0 * v.x + m.r1 * v.y + m.r2 * v.z; }
template <class F> GS_HD V3<F> row_times(const V3<F>& v, const M3<F>& m) { return mul_t(m, v); }
template <class F> GS_HD M3<F> mul(const M3<F>& a, const M3<F>& b) {
  return {row_times(a.r0, b), row_times(a.r1, b), row_times(a.r2, b)};
}
template <class F> GS_HD M3<F> mul_bt(const M3<F>& a, const M3<F>& b) { return {mul(b, a.r0), mul(b, a.r1), mul(b, a.r2)}; }
template <class F> GS_HD M3<F> transpose(const M3<F>& a) {
  return {{a.r0.x, a.r1.x, a.r2.x}, {a.r0.y, a.r1.y, a.r2.y}, {a.r0.z, a.r1.z, a.r2.z}};
}
template <class F> GS_HD M3<F> mul_at(const M3<F>& a, const M3<F>& b) { return mul(transpose(a), b); }
template <class F> GS_HD M3<F> scale_columns(const M3<F>& a, const V3<F>& s) {
  return {{a.r0.x * s.x, a.r0.y * s.y, a.r0.z * s.z}, {a.r1.x * s.x, a.r1.y * s.y, a.r1.z * s.z}, {a.r2.x * s.x, a.r2.y * s.y, a.r2.z * s.z}};
}
// Dot products of the columns of a and b.
template <class F> GS_HD V3<F> column_dots(const M3<F>& a, const M3<F>& b) {
  return {a.r0.x * b.r0.x + a.r1.x * b.r1.x + a.r2.x * b.r2.x, a.r0.y * b.r0.y + a.r1.y * b.r1.y + a.r2.y * b.r2.y,
          a.r0.z * b.r0.z + a.r1.z * b.r1.z + a.r2.z * b.r2.z};
}
// a += column u times row v.
template <class F> GS_HD void add_outer(M3<F>& a, const V3<F>& u, const V3<F>& v) {
  a.r0 = a.r0 + v * u.x;
  a.r1 = a.r1 + v * u.y;
  a.r2 = a.r2 + v * u.z;
}

// Column of m where |s| is least, the first of equals: the shortest axis of the shape m diag(s).
template <class F> GS_HD V3<F> shortest_axis(const M3<F>& m, const V3<F>& s) {
  const F x = fabs2(s.x), y = fabs2(s.y), z = fabs2(s.z);
  const M3<F> c = transpose(m);
  return select((x <= y) & (x <= z), c.r0, select(y <= z, c.r1, c.r2));
}
// Adds its gradient to that of m.
template <class F> GS_HD void shortest_axis_vjp(const V3<F>& s, const V3<F>& g, M3<F>& g_m) {
  const F x = fabs2(s.x), y = fabs2(s.y), z = fabs2(s.z);
  const F one = constant<F>(1.0f), zero = F{};
  const F by_x = select((x <= y) & (x <= z), one, zero), by_y = select(y <= z, one - by_x, zero);
  add_outer(g_m, g, V3<F>{by_x, by_y, 1.0f - by_x - by_y});
}

// A quaternion wxyz, its unit and what the adjoint needs.
template <class F> struct Quaternion { F w, x, y, z, inverse_norm; };

// Unit quaternion of any non-zero one; the largest component is divided out first, so 1e30 and 1e-20 are fine.
template <class F> GS_HD Quaternion<F> normalized(F w, F x, F y, F z) {
  const F big = fmax2(fmax2(fmax2(fabs2(w), fabs2(x)), fmax2(fabs2(y), fabs2(z))), constant<F>(kMinQuaternion));
  const F k = 1.0f / big;
  const F a = w * k, b = x * k, c = y * k, d = z * k;
  const F i = 1.0f / fsqrt(a * a + b * b + c * c + d * d);
  return {a * i, b * i, c * i, d * i, k * i};
}

template <class F> GS_HD M3<F> rotation(const Quaternion<F>& q) {
  return {{1.0f - 2.0f * (q.y * q.y + q.z * q.z), 2.0f * (q.x * q.y - q.w * q.z), 2.0f * (q.x * q.z + q.w * q.y)},
          {2.0f * (q.x * q.y + q.w * q.z), 1.0f - 2.0f * (q.x * q.x + q.z * q.z), 2.0f * (q.y * q.z - q.w * q.x)},
          {2.0f * (q.x * q.z - q.w * q.y), 2.0f * (q.y * q.z + q.w * q.x), 1.0f - 2.0f * (q.x * q.x + q.y * q.y)}};
}

// Gradient with respect to the quaternion before normalisation, given that of its rotation matrix.
template <class F> GS_HD void rotation_vjp(const Quaternion<F>& q, const M3<F>& g, F out[4]) {
  const F w = 2.0f * (q.x * (g.r2.y - g.r1.z) + q.y * (g.r0.z - g.r2.x) + q.z * (g.r1.x - g.r0.y));
  const F x = 2.0f * (q.y * (g.r0.y + g.r1.x) + q.z * (g.r0.z + g.r2.x) + q.w * (g.r2.y - g.r1.z) - 2.0f * q.x * (g.r1.y + g.r2.z));
  const F y = 2.0f * (q.x * (g.r0.y + g.r1.x) + q.z * (g.r1.z + g.r2.y) + q.w * (g.r0.z - g.r2.x) - 2.0f * q.y * (g.r0.x + g.r2.z));
  const F z = 2.0f * (q.x * (g.r0.z + g.r2.x) + q.y * (g.r1.z + g.r2.y) + q.w * (g.r1.x - g.r0.y) - 2.0f * q.z * (g.r0.x + g.r1.y));
  const F along = w * q.w + x * q.x + y * q.y + z * q.z;
  out[0] = (w - along * q.w) * q.inverse_norm;
  out[1] = (x - along * q.x) * q.inverse_norm;
  out[2] = (y - along * q.y) * q.inverse_norm;
  out[3] = (z - along * q.z) * q.inverse_norm;
}

}  // namespace gs
