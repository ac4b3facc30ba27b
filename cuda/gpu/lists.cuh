// Which tiles a splat meets, and the tiles' lists: counted by project, placed by allocate, filled by scatter.
//
// A list is filled in any order and sorted by (depth, row) before it is drawn. Rows are numbered by splat, so equal
// depths are drawn in the order of the splats, whatever the order of arrival.
#pragma once
#include "device.cuh"

namespace gs {
namespace gpu {

constexpr u32 kSmallSpan = 16;   // tiles of a box that one thread visits alone; the warp shares larger ones
constexpr u32 kLargeMark = 255;  // in place of the box's width

// A splat's footprint, as far as the choice of tiles needs it: alpha = opacity 2^(ha (dx + k dy)^2 + hd dy^2).
struct Ellipse { float mx, my, ha, k, hd, cut; };

// Smallest -exponent on a box: a convex quadratic has it at the centre or on a facing edge.
GS_DEVICE float least_exponent(const Ellipse& s, float x0, float y0, float x1, float y1) {
  const float low_x = sub(x0, s.mx), low_y = sub(y0, s.my), high_x = sub(x1, s.mx), high_y = sub(y1, s.my);
  const float fx = fminf(fmaxf(0.0f, low_x), high_x), fy = fminf(fmaxf(0.0f, low_y), high_y);  // the box's nearest point
  const float ak = mul(s.ha, s.k);  // ha, hd <= 0
  const float dy = fminf(fmaxf(mul(mul(-ak, fx), reciprocal_fast(fma(ak, s.k, s.hd))), low_y), high_y), u = fma(s.k, dy, fx);
  const float dx = fminf(fmaxf(mul(-s.k, fy), low_x), high_x), v = fma(s.k, fy, dx);
  const float on_x = fma(mul(s.ha, u), u, mul(mul(s.hd, dy), dy)), on_y = fma(mul(s.ha, v), v, mul(mul(s.hd, fy), fy));
  const float best = fmaxf(fx != 0.0f ? on_x : -3e38f, fy != 0.0f ? on_y : -3e38f);
  return fx == 0.0f && fy == 0.0f ? 0.0f : -best;
}

GS_DEVICE bool meets_tile(const Ellipse& s, i32 x, i32 y) {
  const float left = (float)(x * kTileSize) + 0.5f, top = (float)(y * kTileSize) + 0.5f;
  return !(least_exponent(s, left, top, left + (kTileSize - 1), top + (kTileSize - 1)) > s.cut);
}

// Tiles [x0, x1] x [y0, y1]; in a single row or column of tiles the box test is as good as the exact one.
struct Box {
  i32 x0, y0, x1, y1;
  GS_DEVICE u32 width() const { return (u32)(x1 - x0 + 1); }
  GS_DEVICE u32 tiles() const { return x1 < x0 || y1 < y0 ? 0 : width() * (u32)(y1 - y0 + 1); }
  GS_DEVICE bool exact() const { return x1 > x0 && y1 > y0; }
};

template <class T> GS_DEVICE T from_lane(T x, i32 lane) { return __shfl_sync(kAll, x, lane); }
GS_DEVICE Box from_lane(const Box& b, i32 lane) { return {from_lane(b.x0, lane), from_lane(b.y0, lane), from_lane(b.x1, lane), from_lane(b.y1, lane)}; }
GS_DEVICE Ellipse from_lane(const Ellipse& e, i32 lane) {
  return {from_lane(e.mx, lane), from_lane(e.my, lane), from_lane(e.ha, lane), from_lane(e.k, lane), from_lane(e.hd, lane), from_lane(e.cut, lane)};
}

// Counts a splat's tiles and adds one to each. All lanes of the warp must come; box.tiles() is 0 for hidden splats.
GS_DEVICE u32 count_tiles(const Ellipse& s, const Box& box, u32* tile_count, i32 tiles_x, u32 span[2]) {
  const u32 lane = threadIdx.x & 31, tiles = box.tiles();
  u32 count = 0, mask = 0;
  if (tiles <= kSmallSpan) {
    const bool exact = box.exact();
    u32 bit = 1;
    for (i32 y = box.y0; y <= box.y1; y++)
      for (i32 x = box.x0; x <= box.x1; x++, bit <<= 1)
        if (!exact || meets_tile(s, x, y)) {
          mask |= bit;
          atomicAdd(&tile_count[y * tiles_x + x], 1u);
        }
    count = (u32)__popc(mask);
    span[0] = tiles ? (u32)box.x0 | (u32)box.y0 << 12 | box.width() << 24 : 1u << 24;
    span[1] = mask;
  } else {
    span[0] = (u32)box.x0 | (u32)box.y0 << 12 | kLargeMark << 24;
    span[1] = (u32)box.x1 | (u32)box.y1 << 12;
  }
  for (u32 large = __ballot_sync(kAll, tiles > kSmallSpan); large; large &= large - 1) {
    const i32 owner = __ffs((i32)large) - 1;
    const Box shared = from_lane(box, owner);
    const Ellipse e = from_lane(s, owner);
    const bool exact = shared.exact();
    u32 mine = 0;
    for (u32 i = lane; i < shared.tiles(); i += 32) {
      const i32 x = shared.x0 + (i32)(i % shared.width()), y = shared.y0 + (i32)(i / shared.width());
      if (exact && !meets_tile(e, x, y)) continue;
      atomicAdd(&tile_count[y * tiles_x + x], 1u);
      mine++;
    }
    mine = warp_sum(mine);
    if ((i32)lane == owner) count = mine;
  }
  return count;
}

// Where the lists of view b lie, and how many entries it has in all.
GS_DEVICE u32 splat_blocks(const Raster& p) { return p.count <= 0 ? 1u : ((u32)p.count + kThreads - 1) / kThreads; }
GS_DEVICE const u32* block_rows(const Raster& p, u32 b) { return p.work.block_rows + (u64)b * (splat_blocks(p) + 1); }
GS_DEVICE u32 view_rows(const Raster& p, u32 b) { return block_rows(p, b)[splat_blocks(p)]; }
GS_DEVICE u32 first_row(const Raster& p, u32 b, u32 splat) {
  return block_rows(p, b)[splat / kThreads] + p.work.first_row[(u64)b * (u32)p.count + splat];
}

struct List { u32 start, count; };
GS_DEVICE List tile_list(const Raster& p, u32 b, u32 tile) {
  const u64 at = (u64)b * (u32)(p.tiles_x * p.tiles_y) + tile;
  if (view_rows(p, b) > p.capacity) return {0, 0};  // told by the overflow flag
  return {p.work.tile_start[at], p.work.tile_count[at]};
}

// Running totals of count[0 .. n) into start[0 .. n), which may be the same array; returns the sum. 512 threads.
GS_DEVICE u64 prefix_sums(const u32* count, u32* start, u32* cursor, u32 n, u64* scratch) {
  constexpr u32 kItems = 4;
  u64 carry = 0;
  for (u32 base = 0; base < n; base += 512 * kItems) {
    const u32 first = base + threadIdx.x * kItems;
    u32 c[kItems];
    u64 sum = 0, total;
    for (u32 i = 0; i < kItems; i++) sum += c[i] = first + i < n ? count[first + i] : 0u;
    u64 at = carry + block_prefix(sum, scratch, total);
    for (u32 i = 0; i < kItems; i++) {
      const u32 held = at > kAll ? kAll : (u32)at;
      if (first + i < n) {
        start[first + i] = held;
        if (cursor) cursor[first + i] = held;
      }
      at += c[i];
    }
    carry += total;
  }
  return carry;
}

GS_KERNEL(512, 1) av_allocate(GS_PARAMETER(Raster) p) {
  GS_SHARED u64 scratch[17];
  const u32 b = blockIdx.y, tiles = (u32)(p.tiles_x * p.tiles_y), blocks = splat_blocks(p);
  if (blockIdx.x == 0) {
    const u64 at = (u64)b * tiles;
    prefix_sums(p.work.tile_count + at, p.work.tile_start + at, p.work.tile_cursor + at, tiles, scratch);
    return;
  }
  u32* rows = p.work.block_rows + (u64)b * (blocks + 1);
  const u64 total = prefix_sums(rows, rows, nullptr, blocks, scratch);
  if (threadIdx.x) return;
  const u32 held = total > kAll ? kAll : (u32)total;
  rows[blocks] = held;
  if (held <= p.capacity) return;
  atomicOr(&p.status[kFlags], kOverflow);
  atomicMax(&p.status[kNeeded], held);
}

GS_KERNEL(256, 1) av_scatter(GS_PARAMETER(Raster) p) {
  const u32 b = blockIdx.y, i = blockIdx.x * kThreads + threadIdx.x, lane = threadIdx.x & 31;
  if (view_rows(p, b) > p.capacity) return;
  const bool here = i < (u32)p.count;
  const u64 at = (u64)b * (u32)p.count + i, list = (u64)b * p.capacity;
  u32* cursor = p.work.tile_cursor + (u64)b * (u32)(p.tiles_x * p.tiles_y);
  u64* keys = p.work.keys + list;
  u32* row_splat = p.work.row_splat + list;
  const u32 span0 = here ? p.work.span[at * 2] : 0, span1 = here ? p.work.span[at * 2 + 1] : 0, width = span0 >> 24;
  const u32 x0 = span0 & 4095, y0 = span0 >> 12 & 4095;
  const u64 depth = here && span1 ? (u64)p.work.depth[at] << 32 : 0;
  u32 row = here && span1 ? first_row(p, b, i) : 0;
  if (width != kLargeMark) {
    const u32 inverse = 65535 / (width + (width == 0)) + 1;  // bit / width of bits and widths up to 16, without dividing
    for (u32 mask = span1; mask;) {  // four at a time: the answers of their atomics travel together
      u32 place[4];
      const u32 before = mask;
#pragma unroll
      for (u32 k = 0; k < 4; k++) {
        if (!mask) break;
        const u32 bit = (u32)__ffs((i32)mask) - 1;
        mask &= mask - 1;
        const u32 down = bit * inverse >> 16;
        place[k] = atomicAdd(&cursor[(y0 + down) * (u32)p.tiles_x + x0 + bit - down * width], 1u);
      }
      const u32 taken = (u32)(__popc(before) - __popc(mask));
#pragma unroll
      for (u32 k = 0; k < 4; k++) {
        if (k >= taken) break;
        keys[place[k]] = depth | row;
        row_splat[row++] = i;
      }
    }
  }
  for (u32 large = __ballot_sync(kAll, width == kLargeMark); large; large &= large - 1) {
    const i32 owner = __ffs((i32)large) - 1;
    const u32 splat = from_lane(i, owner), upper = from_lane((u32)(depth >> 32), owner);
    const u32 s0 = from_lane(span0, owner), s1 = from_lane(span1, owner);
    const Box box = {(i32)(s0 & 4095), (i32)(s0 >> 12 & 4095), (i32)(s1 & 4095), (i32)(s1 >> 12 & 4095)};
    u32 next = from_lane(row, owner);
    const float* record = p.work.splats + ((u64)b * (u32)p.count + splat) * kRowFloats;
    const float4 q0 = load4(record), q1 = load4(record + 4);
    const Ellipse e = {q0.x, q0.y, q0.z, q0.w, q1.x, q1.z};
    for (u32 base = 0; base < box.tiles(); base += 32) {
      const u32 k = base + lane;
      const i32 x = box.x0 + (i32)(k % box.width()), y = box.y0 + (i32)(k / box.width());
      const bool hit = k < box.tiles() && (!box.exact() || meets_tile(e, x, y));
      const u32 hits = __ballot_sync(kAll, hit);
      if (hit) {
        const u32 mine = next + (u32)__popc(hits & ((1u << lane) - 1)), place = atomicAdd(&cursor[y * p.tiles_x + x], 1u);
        keys[place] = (u64)upper << 32 | mine;
        row_splat[mine] = splat;
      }
      next += (u32)__popc(hits);
    }
  }
}

}  // namespace gpu
}  // namespace gs
