// The adjoint of blending: the same walk, front to back, from the finished picture. One thread owns a strip of tiles.
#include <algorithm>

#include "tile.h"

namespace gs {
namespace {

// Of each pixel: transmittance; what the splats behind are worth; the picture's gradient.
struct alignas(4 * kPixelLanes) BackwardBlock { PF t, rest, r, g, b, z; };
struct alignas(64) BackwardTile { BackwardBlock block[kBlocks]; };

// Loads four pixels of the picture's gradient. `rest` starts as the sum over splats of weight times (colour . gradient),
// plus what the transmittance that is left is worth: the splats then take their shares off it, front to back.
template <bool kDepth>
GS_INLINE void load_pixels(float* block, const Image& out, const ImageGrad& grad, size_t plane, size_t at, int n) {
  F4 rest{}, z{};
  for (int c = 0; c < 3; c++) {
    F4 g{};
    if (grad.color) {
      g = get4(grad.color + c * plane + at, n);
      rest += g * get4(out.color + c * plane + at, n);
    }
    store4(block + (2 + c) * kPixelLanes, g);
  }
  const F4 alpha = get4(out.alpha + at, n);
  if (grad.alpha) rest -= (1.0f - alpha) * get4(grad.alpha + at, n);
  if (kDepth) {  // depth = sum(w z) / alpha
    z = (F4)((F4i)(get4(grad.depth + at, n) / alpha) & (alpha > 0.0f));
    rest += z * get4(out.depth + at, n);  // alpha z depth + (1 - alpha) z depth
    store4(block + 5 * kPixelLanes, z);
  }
  store4(block, F4{} + 1.0f);
  store4(block + kPixelLanes, rest);
}

template <bool kDepth>
void load_strip(BackwardTile* tiles, const View& v, const Image& out, const ImageGrad& grad, const Strip& strip, const bool* wanted) {
  const size_t plane = (size_t)v.width * v.height;
  for (int i = 0; i < strip.count; i++)
    if (wanted[i] && (strip.height < kTile || strip.left + (i + 1) * kTile > v.width)) tiles[i] = BackwardTile{};
  for (int y = 0; y < strip.height; y++)
    for (int i = 0; i < strip.count; i++) {
      if (!wanted[i]) continue;
      const int left = strip.left + i * kTile, width = std::min(kTile, v.width - left);
      for (int x = 0; x < width; x += kBlockWidth) {
        float* block = (float*)&tiles[i].block[block_of(y, x / kBlockWidth)] + lane_of(y);
        load_pixels<kDepth>(block, out, grad, plane, (size_t)(strip.top + y) * v.width + left + x, std::min(kBlockWidth, width - x));
      }
    }
}

template <bool kDepth>
GS_INLINE void splat_gradient(BackwardTile& tile, const Payload& s, Row& row, Blocks todo, int left, int top) {
  const Wide wide(s, left, top);
  const PF r = spread(s.r), g = spread(s.g), b = spread(s.b), z = spread(s.z);
  PF sum_u{}, sum_y{}, sum_uu{}, sum_uy{}, sum_yy{}, sum_v{}, sum_r{}, sum_g{}, sum_b{}, sum_z{};
  for (; todo; todo &= todo - 1) {
    const int i = lowest(todo);
    BackwardBlock& at = tile.block[i];
    const PF t = at.t;
    const Alpha alpha(wide, i, t);
    const PF a = alpha.taken, w = a * t;
    PF worth = at.r * r + at.g * g + at.b * b;
    sum_r += w * at.r;
    sum_g += w * at.g;
    sum_b += w * at.b;
    if (kDepth) {
      worth += at.z * z;
      sum_z += w * at.z;
    }
    const PF share = w * worth, rest = at.rest - share;
    at.rest = rest;
    at.t = t - w;
    // alpha times dL/dalpha; none where alpha is capped
    const PF v = masked(alpha.raw <= kAlphaMax, share - rest * (a / (1.0f - a)));
    const PF vu = v * alpha.u, vy = v * alpha.dy;
    sum_v += v;
    sum_u += vu;
    sum_y += vy;
    sum_uu += vu * alpha.u;
    sum_uy += vu * alpha.dy;
    sum_yy += vy * alpha.dy;
  }
  const VF all[8] = {fold(sum_u), fold(sum_y), fold(sum_uu), fold(sum_uy), fold(sum_yy), fold(sum_v), fold(sum_r), fold(sum_g)};
  for (int i = 0; i < 8; i += kLanes) store(&row.u + i, sums(all + i));
  store4(&row.b, F4{sum(fold(sum_b)), kDepth ? sum(fold(sum_z)) : 0.0f, 0.0f, 0.0f});
}

template <bool kDepth> void backward_strip(const View& v, Row* rows, const Image& out, const ImageGrad& grad, int index) {
  const Strip strip(v, index);
  bool wanted[kStrip], some = false;
  for (int i = 0; i < strip.count; i++) some |= wanted[i] = v.blended[strip.first + i] > 0;
  if (!some) return;
  BackwardTile tiles[kStrip];
  load_strip<kDepth>(tiles, v, out, grad, strip, wanted);
  for (int i = 0; i < strip.count; i++) {
    const uint32_t begin = v.tile_start[strip.first + i], end = v.tile_start[strip.first + i + 1];
    const uint32_t last = begin + v.blended[strip.first + i];
    for (uint32_t j = begin; j < last; j++) {
      fetch_ahead(v, j, last);
      if (j + kAhead < last) __builtin_prefetch(&rows[v.row[j + kAhead]], 1);
      splat_gradient<kDepth>(tiles[i], v.splats[v.instance[j]], rows[v.row[j]], v.touched[j], strip.left + i * kTile, strip.top);
    }
    for (uint32_t j = last; j < end; j++) rows[v.row[j]] = Row{};
  }
}

}  // namespace

void blend_backward(const View& v, Row* rows, const Image& out, const ImageGrad& grad, int threads) {
  parallel(threads, Strip::total(v), [&](int index, int) {
    if (grad.depth) backward_strip<true>(v, rows, out, grad, index);
    else backward_strip<false>(v, rows, out, grad, index);
  });
}

}  // namespace gs
