// Front-to-back blending of 16x16 tiles and its adjoint. One thread owns a tile; pixels of a row lie in SIMD lanes.
#include <algorithm>

#include "frame.h"

namespace gs {
namespace {

constexpr int kPixels = kTile * kTile;
constexpr int kCheckEvery = 16;  // splats between two looks at whether the tile is full

// The part of a splat's box that lies in a tile, x rounded to whole vectors: aligned loads beat exact spans.
struct Span { int x0, x1, y0, y1; };

GS_INLINE int floor_int(float x) {
  const int i = (int)x;
  return i - (x < (float)i);
}

GS_INLINE Span span(const Payload& s, int left, int top) {
  Span o;
  o.y0 = std::max(0, floor_int(s.my - s.ey + 0.5f) - top);
  o.y1 = std::min(kTile - 1, floor_int(s.my + s.ey - 0.5f) - top);
  o.x0 = std::max(0, floor_int(s.mx - s.ex + 0.5f) - left) & ~(kLanes - 1);
  o.x1 = std::min(kTile - 1, floor_int(s.mx + s.ex - 0.5f) - left);
  return o;
}

GS_INLINE float largest(const float* t) {
  VF m = load(t);
  for (int i = kLanes; i < kPixels; i += kLanes) m = vmax(m, load(t + i));
  float best = m[0];
  for (int i = 1; i < kLanes; i++) best = std::max(best, m[i]);
  return best;
}

struct alignas(64) ForwardTile { float t[kPixels], r[kPixels], g[kPixels], b[kPixels], z[kPixels]; };

GS_INLINE void add_splat(ForwardTile& tile, const Payload& s, int left, int top, VF lane) {
  const Span o = span(s, left, top);
  const VF ha = broadcast(s.ha), opacity = broadcast(s.opacity);
  for (int y = o.y0; y <= o.y1; y++) {
    const float dy = (float)(top + y) + 0.5f - s.my;
    const VF base = broadcast(s.hd * dy * dy);
    const VF offset = lane + ((float)left + 0.5f - s.mx + s.k * dy);
    for (int x = o.x0; x <= o.x1; x += kLanes) {
      const int i = y * kTile + x;
      const VF u = offset + (float)x;
      const VF a0 = opacity * exp2_negative(base + ha * u * u);
      const VF t = load(tile.t + i);
      const VF a = masked((a0 >= kAlphaMin) & (t >= kTransmittanceStop), vmin(a0, broadcast(kAlphaMax)));
      const VF w = a * t;
      store(tile.r + i, load(tile.r + i) + w * s.r);
      store(tile.g + i, load(tile.g + i) + w * s.g);
      store(tile.b + i, load(tile.b + i) + w * s.b);
      store(tile.z + i, load(tile.z + i) + w * s.z);
      store(tile.t + i, t - w);
    }
  }
}

void write_tile(const ForwardTile& tile, const View& v, const Image& out, const Background& background, int left, int top) {
  const size_t plane = (size_t)v.width * v.height;
  const int w = std::min(kTile, v.width - left), h = std::min(kTile, v.height - top);
  const float* channel[3] = {tile.r, tile.g, tile.b};
  for (int y = 0; y < h; y++) {
    const size_t at = (size_t)(top + y) * v.width + left;
    const float* t = tile.t + y * kTile;
    for (int c = 0; c < 3; c++) {
      const float* from = channel[c] + y * kTile;
      float* to = out.color + c * plane + at;
      if (!background.data) {
        for (int x = 0; x < w; x++) to[x] = from[x];
      } else if (background.per_pixel) {
        const float* behind = background.data + c * plane + at;
        for (int x = 0; x < w; x++) to[x] = from[x] + t[x] * behind[x];
      } else {
        for (int x = 0; x < w; x++) to[x] = from[x] + t[x] * background.data[c];
      }
    }
    for (int x = 0; x < w; x++) {
      const float alpha = 1.0f - t[x];
      out.alpha[at + x] = alpha;
      out.depth[at + x] = alpha > 0.0f ? tile.z[y * kTile + x] / alpha : 0.0f;
    }
  }
}

struct alignas(64) BackwardTile { float t[kPixels], rest[kPixels], r[kPixels], g[kPixels], b[kPixels], z[kPixels]; };

// Loads the picture's gradient. `rest` starts as the sum over splats of weight times (colour . gradient), plus what
// the transmittance that is left is worth: the splats then take their shares off it, front to back.
void load_tile(BackwardTile& tile, const View& v, const Image& out, const ImageGrad& grad, int left, int top) {
  const size_t plane = (size_t)v.width * v.height;
  const int w = std::min(kTile, v.width - left), h = std::min(kTile, v.height - top);
  if (w < kTile || h < kTile) std::fill((float*)&tile, (float*)(&tile + 1), 0.0f);
  for (int i = 0; i < kPixels; i++) tile.t[i] = 1.0f;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      const size_t at = (size_t)(top + y) * v.width + left + x;
      const int i = y * kTile + x;
      float r = 0, g = 0, b = 0, z = 0, rest = 0, g_alpha = 0;
      if (grad.color) {
        r = grad.color[at]; g = grad.color[plane + at]; b = grad.color[2 * plane + at];
        rest = r * out.color[at] + g * out.color[plane + at] + b * out.color[2 * plane + at];
      }
      if (grad.alpha) g_alpha = grad.alpha[at];
      const float alpha = out.alpha[at];
      if (grad.depth && alpha > 0.0f) {
        z = grad.depth[at] / alpha;  // depth = sum(w z) / alpha
        g_alpha -= z * out.depth[at];
        rest += grad.depth[at] * out.depth[at];
      }
      tile.r[i] = r; tile.g[i] = g; tile.b[i] = b; tile.z[i] = z;
      tile.rest[i] = rest - (1.0f - alpha) * g_alpha;
    }
}

template <bool kDepth> GS_INLINE void splat_gradient(BackwardTile& tile, const Payload& s, Row& row, int left, int top, VF lane) {
  const Span o = span(s, left, top);
  const VF ha = broadcast(s.ha), opacity = broadcast(s.opacity);
  VF gr{}, gg{}, gb{}, gz{}, v0{}, vu{}, vuu{}, vy{}, vuy{}, vyy{};
  for (int y = o.y0; y <= o.y1; y++) {
    const float dy = (float)(top + y) + 0.5f - s.my;
    const VF base = broadcast(s.hd * dy * dy);
    const VF offset = lane + ((float)left + 0.5f - s.mx + s.k * dy);
    VF row_v{}, row_u{};
    for (int x = o.x0; x <= o.x1; x += kLanes) {
      const int i = y * kTile + x;
      const VF u = offset + (float)x;
      const VF a0 = opacity * exp2_negative(base + ha * u * u);
      const VF t = load(tile.t + i);
      const VF a = masked((a0 >= kAlphaMin) & (t >= kTransmittanceStop), vmin(a0, broadcast(kAlphaMax)));
      const VF w = a * t, dr = load(tile.r + i), dg = load(tile.g + i), db = load(tile.b + i);
      VF worth = dr * s.r + dg * s.g + db * s.b;
      gr += w * dr;
      gg += w * dg;
      gb += w * db;
      if (kDepth) {
        const VF dz = load(tile.z + i);
        worth += dz * s.z;
        gz += w * dz;
      }
      const VF rest = load(tile.rest + i) - w * worth;
      store(tile.rest + i, rest);
      store(tile.t + i, t - w);
      // alpha times dL/dalpha; none where alpha is capped
      const VF v = masked(a0 <= kAlphaMax, w * worth - rest * (a / (1.0f - a)));
      const VF v_u = v * u;
      row_v += v;
      row_u += v_u;
      vuu += v_u * u;
    }
    v0 += row_v;
    vu += row_u;
    vy += row_v * dy;
    vuy += row_u * dy;
    vyy += row_v * (dy * dy);
  }
  const float su = sum(vu) * s.a, sy = sum(vy) * s.d;
  row = {su, s.k * su + sy, -0.5f * sum(vuu), -s.a * sum(vuy), -0.5f * sum(vyy), sum(v0) / s.opacity,
         sum(gr), sum(gg), sum(gb), kDepth ? sum(gz) : 0.0f, 0.0f, 0.0f};
}

template <bool kDepth> void backward_tile(const View& v, Row* rows, const Image& out, const ImageGrad& grad, int index) {
  const uint32_t begin = v.tile_start[index], end = v.tile_start[index + 1], last = begin + v.blended[index];
  if (begin == end) return;
  const int left = index % v.tiles_x * kTile, top = index / v.tiles_x * kTile;
  BackwardTile tile;
  load_tile(tile, v, out, grad, left, top);
  const VF lane = iota();
  for (uint32_t j = begin; j < last; j++) splat_gradient<kDepth>(tile, v.splats[v.instance[j]], rows[v.row[j]], left, top, lane);
  for (uint32_t j = last; j < end; j++) rows[v.row[j]] = Row{};
}

}  // namespace

void blend_forward(View& v, const Image& out, const Background& background, int threads) {
  const int tiles = v.tiles_x * v.tiles_y;
  uint32_t* blended = v.blended.reserve(tiles);
  parallel(threads, tiles, [&](int index, int) {
    const int left = index % v.tiles_x * kTile, top = index / v.tiles_x * kTile;
    ForwardTile tile;
    std::fill(tile.t, tile.t + kPixels, 1.0f);
    std::fill(tile.r, (float*)(&tile + 1), 0.0f);
    const VF lane = iota();
    const uint32_t begin = v.tile_start[index], end = v.tile_start[index + 1];
    uint32_t j = begin;
    while (j < end) {
      add_splat(tile, v.splats[v.instance[j]], left, top, lane);
      if ((++j - begin) % kCheckEvery == 0 && largest(tile.t) < kTransmittanceStop) break;
    }
    blended[index] = j - begin;
    write_tile(tile, v, out, background, left, top);
  });
}

void blend_backward(const View& v, Row* rows, const Image& out, const ImageGrad& grad, int threads) {
  parallel(threads, v.tiles_x * v.tiles_y, [&](int index, int) {
    if (grad.depth) backward_tile<true>(v, rows, out, grad, index);
    else backward_tile<false>(v, rows, out, grad, index);
  });
}

}  // namespace gs
