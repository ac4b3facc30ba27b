// A 16x16 tile as the blending loops hold it: blocks of kPixelLanes pixels, 4 wide, one after the other.
//
// A splat visits only the blocks that it reaches and that are not yet full, found as bits of one word: no loop's length
// has to be guessed by the processor, and small splats touch fewer square blocks than long ones.
#pragma once
#include <algorithm>

#include "frame.h"

namespace gs {

constexpr int kPixels = kTile * kTile, kBlocks = kPixels / kPixelLanes;
constexpr int kBlockWidth = 4, kBlockHeight = kPixelLanes / kBlockWidth, kBlocksAcross = kTile / kBlockWidth;
// Tiles side by side are worked on together: their rows of pixels join to pieces that memory is quick with.
constexpr int kStrip = 4;

// Pixels (4 column, y) .. (4 column + 3, y) of a tile lie in this block, from this lane on.
GS_INLINE int block_of(int y, int column) { return y / kBlockHeight * kBlocksAcross + column; }
GS_INLINE int lane_of(int y) { return y % kBlockHeight * kBlockWidth; }

// Where the pixels of each block lie in the tile.
struct alignas(64) Grid {
  PF x[kBlocks], y[kBlocks];
  Grid() {
    for (int i = 0; i < kBlocks; i++)
      for (int l = 0; l < kPixelLanes; l++) {
        x[i][l] = (float)(i % kBlocksAcross * kBlockWidth + l % kBlockWidth);
        y[i][l] = (float)(i / kBlocksAcross * kBlockHeight + l / kBlockWidth);
      }
  }
};
extern const Grid kGrid;

// A splat in every lane, in coordinates of the tile.
struct Wide {
  PF mx, my, ha, k, hd, opacity;
  GS_INLINE Wide(const Payload& s, int left, int top)
      : mx(spread(s.mx - ((float)left + 0.5f))), my(spread(s.my - ((float)top + 0.5f))), ha(spread(s.ha)),
        k(spread(s.k)), hd(spread(s.hd)), opacity(spread(s.opacity)) {}
};

// Alpha of a splat in one block: as it is, and as a pixel with transmittance t takes it.
struct Alpha {
  PF u, dy, raw, taken;
  GS_INLINE Alpha(const Wide& s, int block, PF t) {
    dy = kGrid.y[block] - s.my;
    u = kGrid.x[block] - s.mx + s.k * dy;
    raw = s.opacity * exp2_negative(s.hd * dy * dy + s.ha * u * u);
    taken = masked((raw >= kAlphaMin) & (t >= kTransmittanceStop), vmin(raw, spread(kAlphaMax)));
  }
};

// Blocks in which alpha may reach kAlphaMin: in each row of pixels, a lane here, the footprint is an interval.
GS_INLINE Blocks blocks_touched(const Payload& s, int left, int top) {
  constexpr float kSlack = 2e-3f;  // px; the roots are rounded
  const float mx = s.mx - ((float)left + 0.5f), my = s.my - ((float)top + 0.5f);
  Blocks found = 0;
  for (int first = 0; first < kTile; first += kPixelLanes) {
    PF row{};
    PI place{};  // of the first block of the row
    for (int l = 0; l < kPixelLanes; l++) {
      row[l] = (float)(first + l);
      place[l] = l / kBlockHeight * kBlocksAcross;
    }
    const PF dy = row - my, square = (s.cut + s.hd * dy * dy) * s.width;
    const PF reach = fsqrt(vmax(square, PF{})) + kSlack, middle = mx - s.k * dy;
    PF low = select(square >= 0.0f, middle - reach, spread(1e9f));
    PF high = select(square >= 0.0f, middle + reach, spread(-1e9f));
    if constexpr (kBlockHeight > 1) low = vmin(low, swap_lanes(low)), high = vmax(high, swap_lanes(high));
    if constexpr (kBlockHeight > 2) low = vmin(low, swap_pairs(low)), high = vmax(high, swap_pairs(high));
    const PI x0 = truncate(vmax(low, PF{}) + 0.999f), x1 = truncate(vmin(high, spread(kTile - 1.0f)));
    const PI some = (low <= kTile - 1.0f) & (high >= 0.0f) & (x0 <= x1);
    // One bit a block from the first to the last one.
    const PI one = PI{} + 1, bits = ((one << ((x1 >> 2) + 1)) - (one << (x0 >> 2))) & some;
    found |= (Blocks)join(bits << place) << (first / kBlockHeight * kBlocksAcross);
  }
  return found;
}

GS_INLINE int lowest(Blocks b) { return sizeof b == 4 ? __builtin_ctz((uint32_t)b) : __builtin_ctzll(b); }

// Lists jump about in memory: what a later turn of the loop reads is called for now.
constexpr uint32_t kAhead = 6;
GS_INLINE void fetch_ahead(const View& v, uint32_t j, uint32_t end) {
  if (j + kAhead < end) __builtin_prefetch(&v.splats[v.instance[j + kAhead]]);
}

// Strips of a view, and the tiles of one.
struct Strip {
  int first, count, left, top, height;  // tile, tiles, px
  static int across(const View& v) { return (v.tiles_x + kStrip - 1) / kStrip; }
  static int total(const View& v) { return across(v) * v.tiles_y; }
  Strip(const View& v, int index) {
    const int row = index / across(v), column = index % across(v) * kStrip;
    first = row * v.tiles_x + column;
    count = std::min(kStrip, v.tiles_x - column);
    left = column * kTile;
    top = row * kTile;
    height = std::min(kTile, v.height - top);
  }
};

// Calls for a strip's rows of a picture of `planes` planes; hardware does not foresee rows that are far apart. Into the
// second level of the cache: rows of a wide picture fall on few places of the first.
template <int kWrite = 0> void fetch_strip(const View& v, const Strip& strip, const float* picture, int planes) {
  const int width = std::min(strip.count * kTile, v.width - strip.left);
  for (int p = 0; p < planes; p++)
    for (int y = 0; y < strip.height; y++) {
      const float* row = picture + ((size_t)p * v.height + strip.top + y) * v.width + strip.left;
      for (int x = 0; x < width; x += 16) __builtin_prefetch(row + x, kWrite, 2);
    }
}

}  // namespace gs
