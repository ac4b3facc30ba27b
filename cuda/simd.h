// SIMD vectors of floats as compiler vector types: 8 lanes with AVX2, else 4 (SSE2, NEON). Include before gs_*.h.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
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
typedef int32_t F4i __attribute__((vector_size(16)));

#define GS_INLINE inline __attribute__((always_inline))

GS_INLINE VF load(const float* p) { VF v; std::memcpy(&v, p, sizeof v); return v; }
GS_INLINE void store(float* p, VF v) { std::memcpy(p, &v, sizeof v); }
GS_INLINE F4 load4(const float* p) { F4 v; std::memcpy(&v, p, sizeof v); return v; }
GS_INLINE void store4(float* p, F4 v) { std::memcpy(p, &v, sizeof v); }
// The first n <= 4 of them.
GS_INLINE F4 get4(const float* p, int n) {
  if (n == 4) return load4(p);
  F4 v{};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
}
GS_INLINE void put4(float* p, F4 v, int n) {
  if (n == 4) return store4(p, v);
  for (int i = 0; i < n; i++) p[i] = v[i];
}
#if defined(__AVX2__)
GS_INLINE VF broadcast(float x) { return VF{x, x, x, x, x, x, x, x}; }
#else
GS_INLINE VF broadcast(float x) { return VF{x, x, x, x}; }
#endif
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
  const __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 b = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

// Lane i is sum(v[i]).
GS_INLINE VF sums(const VF v[kLanes]) {
#if defined(__AVX2__)
  VF half[2];
  for (int i = 0; i < 2; i++) {
    const VF a = _mm256_unpacklo_ps(v[4 * i], v[4 * i + 1]) + _mm256_unpackhi_ps(v[4 * i], v[4 * i + 1]);
    const VF b = _mm256_unpacklo_ps(v[4 * i + 2], v[4 * i + 3]) + _mm256_unpackhi_ps(v[4 * i + 2], v[4 * i + 3]);
    half[i] = _mm256_shuffle_ps(a, b, 0x44) + _mm256_shuffle_ps(a, b, 0xee);
  }
  return _mm256_permute2f128_ps(half[0], half[1], 0x20) + _mm256_permute2f128_ps(half[0], half[1], 0x31);
#else
  return VF{sum(v[0]), sum(v[1]), sum(v[2]), sum(v[3])};
#endif
}

GS_INLINE bool any(VI m) {
#if defined(__AVX2__)
  return _mm256_movemask_ps((VF)m) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps((VF)m) != 0;
#else
  return (m[0] | m[1] | m[2] | m[3]) != 0;
#endif
}
// Bits of all lanes together.
GS_INLINE uint32_t join(VI v) {
#if defined(__AVX2__)
  const __m128i a = _mm_or_si128(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  const __m128i b = _mm_or_si128(a, _mm_shuffle_epi32(a, 0x4e));
  return (uint32_t)_mm_cvtsi128_si32(_mm_or_si128(b, _mm_shuffle_epi32(b, 0xb1)));
#else
  return (uint32_t)(v[0] | v[1] | v[2] | v[3]);
#endif
}
GS_INLINE VI truncate(VF x) { return __builtin_convertvector(x, VI); }

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

// Lane i of the result is lane at[i] of v.
GS_INLINE VF permute(VF v, VI at) {
#if defined(__AVX2__)
  return _mm256_permutevar8x32_ps(v, (__m256i)at);
#else
  return VF{v[at[0]], v[at[1]], v[at[2]], v[at[3]]};
#endif
}
// kLanes triples that lie one after the other, as three vectors, and back. A vector's place p of the q-th load holds
// column (q kLanes + p) % 3: what belongs to one column fills different places, since 3 does not divide kLanes.
struct Triples {
  VI from[3], to[3], is[3][3];  // order of a column's lanes in memory and back; which places of load q belong to column c
  GS_INLINE Triples() : from{}, to{}, is{} {
    for (int c = 0; c < 3; c++)
      for (int i = 0; i < kLanes; i++) {
        from[c][i] = (3 * i + c) % kLanes;
        to[c][(3 * i + c) % kLanes] = i;
        for (int q = 0; q < 3; q++) is[q][c][i] = (q * kLanes + i) % 3 == c ? -1 : 0;
      }
  }
};
GS_INLINE void load_triples(const float* from, VF out[3]) {
  const Triples k;
  const VF v[3] = {load(from), load(from + kLanes), load(from + 2 * kLanes)};
  for (int c = 0; c < 3; c++) out[c] = permute(select(k.is[0][c], v[0], select(k.is[1][c], v[1], v[2])), k.from[c]);
}
GS_INLINE void store_triples(float* to, const VF v[3]) {
  const Triples k;
  VF p[3];
  for (int c = 0; c < 3; c++) p[c] = permute(v[c], k.to[c]);
  for (int q = 0; q < 3; q++) store(to + q * kLanes, select(k.is[q][0], p[0], select(k.is[q][1], p[1], p[2])));
}

// Writes four vectors as kLanes rows of four.
GS_INLINE void store_block(float* to, int stride, const VF v[4]) {
#if defined(__AVX2__)
  const VF a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
  const VF c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
  const VF r[4] = {_mm256_shuffle_ps(a, c, 0x44), _mm256_shuffle_ps(a, c, 0xee), _mm256_shuffle_ps(b, d, 0x44),
                   _mm256_shuffle_ps(b, d, 0xee)};
  for (int i = 0; i < 4; i++) {
    _mm_storeu_ps(to + i * stride, _mm256_castps256_ps128(r[i]));
    _mm_storeu_ps(to + (i + 4) * stride, _mm256_extractf128_ps(r[i], 1));
  }
#else
  for (int i = 0; i < kLanes; i++) store4(to + i * stride, F4{v[0][i], v[1][i], v[2][i], v[3][i]});
#endif
}

// 2^x, relative error 2e-7: the fraction by a minimax polynomial, the integer part in the exponent. The sum with
// 1.5 * 2^23 rounds to an integer in the low mantissa bits, so these files must never be built with -ffast-math.
template <class F> GS_INLINE F exp2_fraction(F f) {
  // Pairs of terms side by side: a chain of six would keep the processor waiting.
  const F ff = f * f, high = f * 1.326472730e-3f + 9.671512991e-3f, middle = f * 5.550733581e-2f + 2.402224243e-1f;
  return (high * ff + middle) * ff + (f * 6.931470037e-1f + 1.0f);
}
GS_INLINE VF exp2_parts(VF x) {
  const float magic = 12582912.0f;
  const VF shifted = x + magic;
  return (VF)((VI)exp2_fraction(x - (shifted - magic)) + ((VI)shifted << 23));
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
