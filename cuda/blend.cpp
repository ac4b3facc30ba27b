// Front-to-back blending of 16x16 tiles and its adjoint. One thread owns a tile.
//
// A SIMD vector holds a block of 4 x (kLanes / 4) pixels; blocks are stored one after the other, so every access is
// aligned. Small splats touch fewer square blocks than long ones.
#include <algorithm>

#include "frame.h"

namespace gs {
namespace {

constexpr int kPixels = kTile * kTile;
constexpr int kCheckEvery = 16;  // splats between two looks at whether the tile is full

constexpr int kBlockWidth = 4, kBlockHeight = kLanes / kBlockWidth, kBlocksAcross = kTile / kBlockWidth;
// Where pixel (4 column, y) of a tile is stored; the three after it follow.
GS_INLINE int quad(int y, int column) { return ((y / kBlockHeight) * kBlocksAcross + column) * kLanes + (y % kBlockHeight) * kBlockWidth; }

// Offsets of the lanes' pixels within a block.
struct Lane { VF x, y; };
GS_INLINE Lane lane_offsets() {
  Lane o;
  for (int i = 0; i < kLanes; i++) {
    o.x[i] = (float)(i % kBlockWidth);
    o.y[i] = (float)(i / kBlockWidth);
  }
  return o;
}

// Blocks of a tile that a splat's box meets, last ones included.
struct Span { int x0, x1, y0, y1; };

GS_INLINE int floor_int(float x) {
  const int i = (int)x;
  return i - (x < (float)i);
}

GS_INLINE Span span(const Payload& s, int left, int top) {
  Span o;
  o.y0 = std::max(0, floor_int(s.my - s.ey + 0.5f) - top) / kBlockHeight;
  o.y1 = std::min(kTile - 1, floor_int(s.my + s.ey - 0.5f) - top);
  o.x0 = std::max(0, floor_int(s.mx - s.ex + 0.5f) - left) / kBlockWidth;
  o.x1 = std::min(kTile - 1, floor_int(s.mx + s.ex - 0.5f) - left);
  if (o.y1 < 0 || o.x1 < 0) o.y1 = -kLanes;  // nothing
  o.y1 = o.y1 / kBlockHeight;
  o.x1 = o.x1 / kBlockWidth;
  return o;
}

// Lists jump about in memory: what a later turn of the loop reads or writes is called for now.
constexpr uint32_t kAhead = 6;
GS_INLINE void fetch_ahead(const View& v, uint32_t j, uint32_t end) {
  if (j + kAhead < end) __builtin_prefetch(&v.splats[v.instance[j + kAhead]]);
}

// Calls for one tile's rows of a picture of `planes` planes; hardware does not foresee rows that are far apart.
template <int kWrite = 0> void fetch_tile(const View& v, const float* picture, int planes, int index) {
  if (!picture || index >= v.tiles_x * v.tiles_y) return;
  const int left = index % v.tiles_x * kTile, top = index / v.tiles_x * kTile, h = std::min(kTile, v.height - top);
  for (int p = 0; p < planes; p++)
    for (int y = 0; y < h; y++) __builtin_prefetch(picture + ((size_t)p * v.height + top + y) * v.width + left, kWrite);
}

GS_INLINE float largest(const float* t) {
  VF m = load(t);
  for (int i = kLanes; i < kPixels; i += kLanes) m = vmax(m, load(t + i));
  float best = m[0];
  for (int i = 1; i < kLanes; i++) best = std::max(best, m[i]);
  return best;
}

struct alignas(64) ForwardTile { float t[kPixels], r[kPixels], g[kPixels], b[kPixels], z[kPixels]; };

GS_INLINE void add_splat(ForwardTile& tile, const Payload& s, int left, int top, const Lane& lane) {
  const Span o = span(s, left, top);
  const VF ha = broadcast(s.ha), hd = broadcast(s.hd), opacity = broadcast(s.opacity);
  const VF first_y = lane.y + ((float)top + 0.5f - s.my), first_x = lane.x + ((float)left + 0.5f - s.mx);
  for (int y = o.y0; y <= o.y1; y++) {
    const VF dy = first_y + (float)(y * kBlockHeight);
    const VF base = hd * dy * dy, offset = first_x + s.k * dy;
    for (int x = o.x0; x <= o.x1; x++) {
      const int i = (y * kBlocksAcross + x) * kLanes;
      const VF u = offset + (float)(x * kBlockWidth);
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

// Row y of a tile's array, and back.
GS_INLINE void get_row(const float* array, int y, float* row) {
  for (int c = 0; c < kBlocksAcross; c++) store4(row + c * 4, load4(array + quad(y, c)));
}
GS_INLINE void put_row(float* array, int y, const float* row) {
  for (int c = 0; c < kBlocksAcross; c++) store4(array + quad(y, c), load4(row + c * 4));
}

void write_tile(const ForwardTile& tile, const View& v, const Image& out, const Background& background, int left, int top) {
  const size_t plane = (size_t)v.width * v.height;
  const int w = std::min(kTile, v.width - left), h = std::min(kTile, v.height - top);
  const float* channel[3] = {tile.r, tile.g, tile.b};
  for (int y = 0; y < h; y++) {
    const size_t at = (size_t)(top + y) * v.width + left;
    alignas(32) float t[kTile], from[kTile];
    get_row(tile.t, y, t);
    for (int c = 0; c < 3; c++) {
      get_row(channel[c], y, from);
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
    get_row(tile.z, y, from);
    for (int x = 0; x < w; x++) {
      const float alpha = 1.0f - t[x];
      out.alpha[at + x] = alpha;
      out.depth[at + x] = alpha > 0.0f ? from[x] / alpha : 0.0f;
    }
  }
}

struct alignas(64) BackwardTile { float t[kPixels], rest[kPixels], r[kPixels], g[kPixels], b[kPixels], z[kPixels]; };

// Loads the picture's gradient. `rest` starts as the sum over splats of weight times (colour . gradient), plus what
// the transmittance that is left is worth: the splats then take their shares off it, front to back.
template <bool kDepth>
void load_tile(BackwardTile& tile, const View& v, const Image& out, const ImageGrad& grad, int left, int top) {
  const size_t plane = (size_t)v.width * v.height;
  const int w = std::min(kTile, v.width - left), h = std::min(kTile, v.height - top);
  if (h < kTile) std::fill((float*)&tile, (float*)(&tile + 1), 0.0f);
  std::fill(tile.t, tile.t + kPixels, 1.0f);
  for (int y = 0; y < h; y++) {
    const size_t at = (size_t)(top + y) * v.width + left;
    alignas(32) float r[kTile] = {}, g[kTile] = {}, b[kTile] = {}, z[kTile] = {}, rest[kTile] = {};
    const float* alpha = out.alpha + at;
    if (grad.color) {
      const float *gr = grad.color + at, *gg = gr + plane, *gb = gg + plane;
      const float *cr = out.color + at, *cg = cr + plane, *cb = cg + plane;
      for (int x = 0; x < w; x++) {
        r[x] = gr[x];
        g[x] = gg[x];
        b[x] = gb[x];
        rest[x] = gr[x] * cr[x] + gg[x] * cg[x] + gb[x] * cb[x];
      }
    }
    if (grad.alpha)
      for (int x = 0; x < w; x++) rest[x] -= (1.0f - alpha[x]) * grad.alpha[at + x];
    if (kDepth)  // depth = sum(w z) / alpha
      for (int x = 0; x < w; x++) {
        z[x] = alpha[x] > 0.0f ? grad.depth[at + x] / alpha[x] : 0.0f;
        rest[x] += z[x] * out.depth[at + x];  // alpha z depth + (1 - alpha) z depth
      }
    put_row(tile.r, y, r);
    put_row(tile.g, y, g);
    put_row(tile.b, y, b);
    put_row(tile.rest, y, rest);
    if (kDepth) put_row(tile.z, y, z);
  }
}

template <bool kDepth>
GS_INLINE void splat_gradient(BackwardTile& tile, const Payload& s, Row& row, int left, int top, const Lane& lane) {
  const Span o = span(s, left, top);
  const VF ha = broadcast(s.ha), hd = broadcast(s.hd), opacity = broadcast(s.opacity);
  const VF first_y = lane.y + ((float)top + 0.5f - s.my), first_x = lane.x + ((float)left + 0.5f - s.mx);
  VF gr{}, gg{}, gb{}, gz{}, v0{}, vu{}, vuu{}, vy{}, vuy{}, vyy{};
  for (int y = o.y0; y <= o.y1; y++) {
    const VF dy = first_y + (float)(y * kBlockHeight);
    const VF base = hd * dy * dy, offset = first_x + s.k * dy;
    VF row_v{}, row_u{};
    for (int x = o.x0; x <= o.x1; x++) {
      const int i = (y * kBlocksAcross + x) * kLanes;
      const VF u = offset + (float)(x * kBlockWidth);
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
    const VF v_y = row_v * dy;
    v0 += row_v;
    vu += row_u;
    vy += v_y;
    vuy += row_u * dy;
    vyy += v_y * dy;
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
  load_tile<kDepth>(tile, v, out, grad, left, top);
  const Lane lane = lane_offsets();
  for (uint32_t j = begin; j < last; j++) {
    fetch_ahead(v, j, last);
    if (j + kAhead < last) __builtin_prefetch(&rows[v.row[j + kAhead]], 1);
    splat_gradient<kDepth>(tile, v.splats[v.instance[j]], rows[v.row[j]], left, top, lane);
  }
  for (uint32_t j = last; j < end; j++) rows[v.row[j]] = Row{};
}

}  // namespace

void blend_forward(View& v, const Image& out, const Background& background, int threads) {
  const int tiles = v.tiles_x * v.tiles_y;
  uint32_t* blended = v.blended.reserve(tiles);
  parallel(threads, tiles, [&](int index, int) {
    const int left = index % v.tiles_x * kTile, top = index / v.tiles_x * kTile;
    if (background.per_pixel) fetch_tile(v, background.data, 3, index);
    fetch_tile<1>(v, out.color, 3, index);
    fetch_tile<1>(v, out.alpha, 1, index);
    fetch_tile<1>(v, out.depth, 1, index);
    ForwardTile tile;
    std::fill(tile.t, tile.t + kPixels, 1.0f);
    std::fill(tile.r, (float*)(&tile + 1), 0.0f);
    const Lane lane = lane_offsets();
    const uint32_t begin = v.tile_start[index], end = v.tile_start[index + 1];
    uint32_t j = begin;
    while (j < end) {
      fetch_ahead(v, j, end);
      add_splat(tile, v.splats[v.instance[j]], left, top, lane);
      if ((++j - begin) % kCheckEvery == 0 && largest(tile.t) < kTransmittanceStop) break;
    }
    blended[index] = j - begin;
    write_tile(tile, v, out, background, left, top);
  });
}

void blend_backward(const View& v, Row* rows, const Image& out, const ImageGrad& grad, int threads) {
  parallel(threads, v.tiles_x * v.tiles_y, [&](int index, int) {
    const int next = index + threads;  // most likely this thread's
    if (next < v.tiles_x * v.tiles_y && v.tile_start[next + 1] > v.tile_start[next]) {
      fetch_tile(v, out.color, 3, next);
      fetch_tile(v, grad.color, 3, next);
      fetch_tile(v, out.alpha, 1, next);
    }
    if (grad.depth) backward_tile<true>(v, rows, out, grad, index);
    else backward_tile<false>(v, rows, out, grad, index);
  });
}

}  // namespace gs
