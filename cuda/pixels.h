// Vectors of pixels, for the blending loops: as wide as the processor has them, 16 lanes with AVX-512, else kLanes.
#pragma once
#include "simd.h"

namespace gs {

#if defined(__AVX512F__)
constexpr int kPixelLanes = 16;
#else
constexpr int kPixelLanes = kLanes;
#endif
typedef float PF __attribute__((vector_size(4 * kPixelLanes)));
typedef int32_t PI __attribute__((vector_size(4 * kPixelLanes)));

#if defined(__AVX512F__)
GS_INLINE PF spread(float x) { return _mm512_set1_ps(x); }
GS_INLINE PF fsqrt(PF x) { return _mm512_sqrt_ps(x); }
GS_INLINE PF vmin(PF a, PF b) { return _mm512_min_ps(a, b); }
GS_INLINE PF vmax(PF a, PF b) { return _mm512_max_ps(a, b); }
GS_INLINE PF masked(PI m, PF v) { return (PF)((PI)v & m); }
GS_INLINE PF select(PI m, PF a, PF b) { return (PF)(((PI)a & m) | ((PI)b & ~m)); }
GS_INLINE PI truncate(PF x) { return __builtin_convertvector(x, PI); }
GS_INLINE bool any(PI m) { return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0; }
// Halves added: what is left to sum.
GS_INLINE VF fold(PF v) {
  return _mm512_castps512_ps256(v) + _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
}
GS_INLINE uint32_t join(PI v) { return (uint32_t)_mm512_reduce_or_epi32((__m512i)v); }
// Lanes 2 i and 2 i + 1 exchanged; pairs of them exchanged.
GS_INLINE PF swap_lanes(PF v) { return _mm512_permute_ps(v, 0xb1); }
GS_INLINE PF swap_pairs(PF v) { return _mm512_permute_ps(v, 0x4e); }
// Rounding and the power's integer part have instructions of their own here; needs no limit below.
GS_INLINE PF exp2_negative(PF x) {
  const PF whole = _mm512_roundscale_ps(x, 8);
  return _mm512_scalef_ps(exp2_fraction(x - whole), whole);
}
#else
GS_INLINE PF spread(float x) { return broadcast(x); }
GS_INLINE VF fold(PF v) { return v; }
#if defined(__AVX2__)
GS_INLINE PF swap_lanes(PF v) { return _mm256_permute_ps(v, 0xb1); }
GS_INLINE PF swap_pairs(PF v) { return _mm256_permute_ps(v, 0x4e); }
#else
GS_INLINE PF swap_lanes(PF v) { return PF{v[1], v[0], v[3], v[2]}; }
GS_INLINE PF swap_pairs(PF v) { return PF{v[2], v[3], v[0], v[1]}; }
#endif
#endif

// A bit for each block of kPixelLanes pixels of a tile.
using Blocks = std::conditional_t<kPixelLanes == 4, uint64_t, uint32_t>;

}  // namespace gs
