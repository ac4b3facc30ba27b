// Depth order and tile lists.
#include <algorithm>

#include "frame.h"

namespace gs {
namespace {

GS_INLINE int floor_int(float x) {
  const int i = (int)x;
  return i - (x < (float)i);
}

// Stable radix sort of (key, value), 11 bits a pass, only over the bits in use.
void radix_sort(Scratch& s, size_t n, uint32_t largest) {
  uint32_t *k = s.keys.data(), *v = s.order.data(), *k2 = s.keys2.reserve(n), *v2 = s.order2.reserve(n);
  bool swapped = false;
  for (int shift = 0; shift < 32 && (largest >> shift); shift += 11) {
    uint32_t start[2049] = {0};
    for (size_t i = 0; i < n; i++) start[((k[i] >> shift) & 2047) + 1]++;
    for (int i = 0; i < 2048; i++) start[i + 1] += start[i];
    for (size_t i = 0; i < n; i++) {
      const uint32_t at = start[(k[i] >> shift) & 2047]++;
      k2[at] = k[i];
      v2[at] = v[i];
    }
    std::swap(k, k2);
    std::swap(v, v2);
    swapped = !swapped;
  }
  if (swapped) std::copy(v, v + n, s.order.data());
}

// Smallest exponent of the footprint on a box: a convex quadratic has it at the centre or on a facing edge.
GS_INLINE float least_exponent(const Payload& s, float x0, float y0, float x1, float y1) {
  const float nx = std::min(std::max(s.mx, x0), x1), ny = std::min(std::max(s.my, y0), y1);
  if (nx == s.mx && ny == s.my) return 0.0f;
  const float ha = -s.ha, hd = -s.hd;
  float best = 3e38f;
  if (nx != s.mx) {
    const float dx = nx - s.mx, ak = ha * s.k;
    const float dy = std::min(std::max(-ak * dx / (ak * s.k + hd), y0 - s.my), y1 - s.my), u = dx + s.k * dy;
    best = ha * u * u + hd * dy * dy;
  }
  if (ny != s.my) {
    const float dy = ny - s.my;
    const float dx = std::min(std::max(-s.k * dy, x0 - s.mx), x1 - s.mx), u = dx + s.k * dy;
    best = std::min(best, ha * u * u + hd * dy * dy);
  }
  return best;
}

template <class Visit> GS_INLINE void visit_tiles(const View& v, const Payload& s, Visit&& visit) {
  const float t = kTile;
  const int x0 = std::max(0, floor_int((s.mx - s.ex) / t)), x1 = std::min(v.tiles_x - 1, floor_int((s.mx + s.ex) / t));
  const int y0 = std::max(0, floor_int((s.my - s.ey) / t)), y1 = std::min(v.tiles_y - 1, floor_int((s.my + s.ey) / t));
  const bool many = x1 > x0 && y1 > y0;  // in a single row or column of tiles the box test is as good
  for (int y = y0; y <= y1; y++)
    for (int x = x0; x <= x1; x++) {
      if (many && least_exponent(s, x * t + 0.5f, y * t + 0.5f, x * t + t - 0.5f, y * t + t - 0.5f) > s.cut) continue;
      visit((uint32_t)(y * v.tiles_x + x));
    }
}

uint32_t sort_by_depth(View& view, Scratch& s) {
  uint32_t *keys = s.keys.reserve(view.count), *order = s.order.reserve(view.count);
  uint32_t n = 0, low = kInvisible, high = 0;
  for (uint32_t i = 0; i < view.count; i++) {
    const uint32_t d = view.depth[i];
    if (d == kInvisible) continue;
    low = std::min(low, d);
    high = std::max(high, d);
    keys[n] = d;
    order[n++] = i;
  }
  for (uint32_t i = 0; i < n; i++) keys[i] -= low;  // positive floats sort as integers; a head spans about 22 bits
  if (n) radix_sort(s, n, high - low);
  return n;
}

}  // namespace

void bin_splats(View& view, Scratch& s, int threads) {
  const uint32_t n = view.visible = sort_by_depth(view, s);
  const size_t tiles = (size_t)view.tiles_x * view.tiles_y;
  // Slabs of the depth order, one histogram each: the lists do not depend on the number of slabs.
  const int slabs = n < 1024 ? 1 : threads;
  uint32_t* histogram = s.histogram.reserve(slabs * tiles);
  uint32_t* first_row = view.first_row.reserve((size_t)view.count + 1);
  if ((int)s.tiles.size() < slabs) s.tiles.resize(slabs);
  std::fill(first_row, first_row + view.count + 1, 0u);
  std::vector<char> failed(slabs, 0);
  const auto slab = [&](int p) { return (uint32_t)((uint64_t)n * p / slabs); };
  parallel(threads, slabs, [&](int p, int) {
    uint32_t* h = histogram + p * tiles;
    std::fill(h, h + tiles, 0u);
    std::vector<uint32_t>& list = s.tiles[p];
    list.clear();
    try {
      for (uint32_t i = slab(p); i < slab(p + 1); i++) {
        const uint32_t g = s.order[i];
        const size_t before = list.size();
        visit_tiles(view, view.splats[g], [&](uint32_t tile) { h[tile]++; list.push_back(tile); });
        first_row[g + 1] = (uint32_t)(list.size() - before);
      }
    } catch (const std::bad_alloc&) {
      failed[p] = 1;
    }
  });
  for (char f : failed) if (f) throw std::bad_alloc();
  uint32_t* start = view.tile_start.reserve(tiles + 1);
  size_t total = 0;
  for (size_t t = 0; t < tiles; t++) {
    start[t] = (uint32_t)total;
    for (int p = 0; p < slabs; p++) {
      const uint32_t c = histogram[p * tiles + t];
      histogram[p * tiles + t] = (uint32_t)total;
      total += c;
    }
  }
  if (total >= kInvisible) throw std::bad_alloc();
  start[tiles] = (uint32_t)total;
  view.instances = total;
  for (uint32_t i = 0; i < view.count; i++) first_row[i + 1] += first_row[i];
  uint32_t *instance = view.instance.reserve(total + 1), *row = view.row.reserve(total + 1);
  parallel(threads, slabs, [&](int p, int) {
    uint32_t* h = histogram + p * tiles;
    const uint32_t* tile = s.tiles[p].data();
    for (uint32_t i = slab(p); i < slab(p + 1); i++) {
      const uint32_t g = s.order[i];
      for (uint32_t r = first_row[g]; r < first_row[g + 1]; r++) {
        const uint32_t at = h[*tile++]++;
        instance[at] = g;
        row[at] = r;
      }
    }
  });
}

}  // namespace gs
