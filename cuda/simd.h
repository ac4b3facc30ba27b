// SIMD vectors of floats as compiler vector types: 8 lanes with AVX2, else 4 (SSE2, NEON). Include before gs_*.h.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace gs {

#if defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float VF __attribute__((vector_size(4 * kLanes)));
typedef int32_t VI __attribute__((vector_size(4 * kLanes)));
typedef float F4 __attribute__((vector_size(16)));

#define GS_INLINE inline __attribute__((always_inline))

GS_INLINE VF load(const float* p) { VF v; std::memcpy(&v, p, sizeof v); return v; }
GS_INLINE void store(float* p, VF v) { std::memcpy(p, &v, sizeof v); }
GS_INLINE F4 load4(const float* p) { F4 v; std::memcpy(&v, p, sizeof v); return v; }
GS_INLINE void store4(float* p, F4 v) { std::memcpy(p, &v, sizeof v); }
GS_INLINE VF broadcast(float x) { return VF{} + x; }
GS_INLINE VF masked(VI m, VF v) { return (VF)((VI)v & m); }
GS_INLINE VF select(VI m, VF a, VF b) { return (VF)(((VI)a & m) | ((VI)b & ~m)); }

#if defined(__AVX2__)
GS_INLINE VF fsqrt(VF x) { return _mm256_sqrt_ps(x); }
GS_INLINE VF vmin(VF a, VF b) { return _mm256_min_ps(a, b); }
GS_INLINE VF vmax(VF a, VF b) { return _mm256_max_ps(a, b); }
#elif defined(__SSE2__)
GS_INLINE VF fsqrt(VF x) { return _mm_sqrt_ps(x); }
GS_INLINE VF vmin(VF a, VF b) { return _mm_min_ps(a, b); }
GS_INLINE VF vmax(VF a, VF b) { return _mm_max_ps(a, b); }
#else
GS_INLINE VF fsqrt(VF x) { VF r; for (int i = 0; i < kLanes; i++) r[i] = __builtin_sqrtf(x[i]); return r; }
GS_INLINE VF vmin(VF a, VF b) { return select(a < b, a, b); }
GS_INLINE VF vmax(VF a, VF b) { return select(a > b, a, b); }
#endif

GS_INLINE VF fmin2(VF a, VF b) { return vmin(a, b); }
GS_INLINE VF fmax2(VF a, VF b) { return vmax(a, b); }
GS_INLINE VF fabs2(VF x) { return (VF)((VI)x & 0x7fffffff); }

GS_INLINE float sum(VF v) {
#if defined(__AVX2__)
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

// Column c of kLanes rows, without going through memory.
GS_INLINE VF load_lanes(const float* const row[kLanes], int c) {
#if defined(__AVX2__)
  return VF{row[0][c], row[1][c], row[2][c], row[3][c], row[4][c], row[5][c], row[6][c], row[7][c]};
#else
  return VF{row[0][c], row[1][c], row[2][c], row[3][c]};
#endif
}

// Columns c .. c + 3 of kLanes rows.
GS_INLINE void load_block(const float* const row[kLanes], int c, VF out[4]) {
#if defined(__AVX2__)
  VF r[4];
  for (int i = 0; i < 4; i++)
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i] + c)), _mm_loadu_ps(row[i + 4] + c), 1);
  const VF a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
  const VF d = _mm256_unpacklo_ps(r[2], r[3]), e = _mm256_unpackhi_ps(r[2], r[3]);
  out[0] = _mm256_shuffle_ps(a, d, 0x44);
  out[1] = _mm256_shuffle_ps(a, d, 0xee);
  out[2] = _mm256_shuffle_ps(b, e, 0x44);
  out[3] = _mm256_shuffle_ps(b, e, 0xee);
#else
  for (int k = 0; k < 4; k++) out[k] = load_lanes(row, c + k);
#endif
}

// 2^x, relative error 2e-7: the fraction by a minimax polynomial, the integer part in the exponent. The sum with
// 1.5 * 2^23 rounds to an integer in the low mantissa bits, so these files must never be built with -ffast-math.
GS_INLINE VF exp2_parts(VF x) {
  const float magic = 12582912.0f;
  const VF shifted = x + magic;
  const VF f = x - (shifted - magic);
  VF p = f * 1.326472730e-3f + 9.671512991e-3f;
  p = p * f + 5.550733581e-2f;
  p = p * f + 2.402224243e-1f;
  p = p * f + 6.931470037e-1f;
  p = p * f + 1.0f;
  return (VF)((VI)p + ((VI)shifted << 23));
}
// For x <= 0; never above 1, and 2^-120 below -120.
GS_INLINE VF exp2_negative(VF x) { return exp2_parts(vmax(x, broadcast(-120.0f))); }

// e^x of any x: 0 below -87, infinite above 88.
GS_INLINE VF fexp(VF x) {
  const VF t = x * 1.44269504088896341f;
  const VF held = vmin(vmax(t, broadcast(-126.0f)), broadcast(126.9f));
  VF r = exp2_parts(held);
  r = select(t > 126.9f, broadcast(__builtin_inff()), r);
  r = select(t < -126.0f, VF{}, r);
  return select(x == x, r, x);
}

// log2 of a positive normal number, absolute error 2e-4: for culling only.
GS_INLINE VF log2_rough(VF x) {
  const VI bits = (VI)x;
  const VI e = (bits >> 23) - 127;
  const VF m = (VF)((bits & 0x007fffff) | 0x3f800000);
  VF p = m * -7.915297e-2f + 6.2883506e-1f;
  p = p * m - 2.0811116e0f;
  p = p * m + 4.0284312e0f;
  p = p * m - 2.4967979e0f;
  return __builtin_convertvector(e, VF) + p;
}

}  // namespace gs
