// Depth order and tile lists.
#include <algorithm>

#include "frame.h"

namespace gs {
namespace {

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
  const int x0 = s.columns & 0xffff, x1 = s.columns >> 16, y0 = s.rows & 0xffff, y1 = s.rows >> 16;
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

// Tiles of each splat, one after the other in the splats' order, at first_row.
const uint32_t* list_tiles(View& view, Scratch& s, int threads) {
  const uint32_t count = view.count;
  const int slabs = count < 1024 ? 1 : threads;
  const auto slab = [&](int p) { return (uint32_t)((uint64_t)count * p / slabs); };
  if ((int)s.tiles.size() < slabs) s.tiles.resize(slabs);
  uint32_t* first_row = view.first_row.reserve((size_t)count + 1);
  std::vector<char> failed(slabs, 0);
  parallel(threads, slabs, [&](int p, int) {
    std::vector<uint32_t>& list = s.tiles[p];
    list.clear();
    try {
      for (uint32_t g = slab(p); g < slab(p + 1); g++) {
        first_row[g] = (uint32_t)list.size();
        if (view.depth[g] != kInvisible) visit_tiles(view, view.splats[g], [&](uint32_t tile) { list.push_back(tile); });
      }
    } catch (const std::bad_alloc&) {
      failed[p] = 1;
    }
  });
  for (char f : failed) if (f) throw std::bad_alloc();
  size_t total = 0;
  for (int p = 0; p < slabs; p++) total += s.tiles[p].size();
  if (total >= kInvisible) throw std::bad_alloc();
  view.instances = total;
  uint32_t* all = s.tile_list.reserve(total + 1);
  size_t at = 0;
  for (int p = 0; p < slabs; p++) {
    std::copy(s.tiles[p].begin(), s.tiles[p].end(), all + at);
    for (uint32_t g = slab(p); at && g < slab(p + 1); g++) first_row[g] += (uint32_t)at;
    at += s.tiles[p].size();
  }
  first_row[count] = (uint32_t)total;
  return all;
}

}  // namespace

void bin_splats(View& view, Scratch& s, int threads) {
  const uint32_t* tile_of = list_tiles(view, s, threads);
  const uint32_t n = view.visible = sort_by_depth(view, s);
  const size_t tiles = (size_t)view.tiles_x * view.tiles_y;
  const uint32_t *order = s.order.data(), *first_row = view.first_row.data();
  // Slabs of the depth order, one histogram each: the lists do not depend on the number of slabs.
  const int slabs = n < 1024 ? 1 : threads;
  uint32_t* histogram = s.histogram.reserve(slabs * tiles);
  const auto slab = [&](int p) { return (uint32_t)((uint64_t)n * p / slabs); };
  parallel(threads, slabs, [&](int p, int) {
    uint32_t* h = histogram + p * tiles;
    std::fill(h, h + tiles, 0u);
    for (uint32_t i = slab(p); i < slab(p + 1); i++)
      for (uint32_t r = first_row[order[i]]; r < first_row[order[i] + 1]; r++) h[tile_of[r]]++;
  });
  uint32_t* start = view.tile_start.reserve(tiles + 1);
  uint32_t total = 0;
  for (size_t t = 0; t < tiles; t++) {
    start[t] = total;
    for (int p = 0; p < slabs; p++) {
      const uint32_t c = histogram[p * tiles + t];
      histogram[p * tiles + t] = total;
      total += c;
    }
  }
  start[tiles] = total;
  uint32_t *instance = view.instance.reserve((size_t)total + 1), *row = view.row.reserve((size_t)total + 1);
  parallel(threads, slabs, [&](int p, int) {
    uint32_t* h = histogram + p * tiles;
    for (uint32_t i = slab(p); i < slab(p + 1); i++) {
      const uint32_t g = order[i];
      for (uint32_t r = first_row[g]; r < first_row[g + 1]; r++) {
        const uint32_t at = h[tile_of[r]]++;
        instance[at] = g;
        row[at] = r;
      }
    }
  });
}

}  // namespace gs
