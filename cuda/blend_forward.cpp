// Front-to-back blending. One thread owns a strip of tiles.
#include <algorithm>

#include "tile.h"

namespace gs {

const Grid kGrid;

namespace {

constexpr uint32_t kCheckEvery = 16;  // splats between two looks at which blocks are full

struct alignas(4 * kPixelLanes) ForwardBlock { PF t, r, g, b, z; };
struct alignas(64) ForwardTile { ForwardBlock block[kBlocks]; };

// Blocks with a pixel in the picture.
Blocks inside(const View& v, int left, int top) {
  Blocks found = 0;
  for (int i = 0; i < kBlocks; i++)
    if (left + i % kBlocksAcross * kBlockWidth < v.width && top + i / kBlocksAcross * kBlockHeight < v.height) found |= (Blocks)1 << i;
  return found;
}

Blocks still_open(const ForwardTile& tile, Blocks open) {
  Blocks left = 0;
  for (Blocks todo = open; todo; todo &= todo - 1) {
    const int i = lowest(todo);
    left |= (Blocks)any(tile.block[i].t >= kTransmittanceStop) << i;
  }
  return left;
}

GS_INLINE void add_splat(ForwardTile& tile, const Payload& s, Blocks todo, int left, int top) {
  const Wide wide(s, left, top);
  const PF r = spread(s.r), g = spread(s.g), b = spread(s.b), z = spread(s.z);
  for (; todo; todo &= todo - 1) {
    const int i = lowest(todo);
    ForwardBlock& at = tile.block[i];
    const PF t = at.t, w = Alpha(wide, i, t).taken * t;
    at.r += w * r;
    at.g += w * g;
    at.b += w * b;
    at.z += w * z;
    at.t = t - w;
  }
}

// Returns how many of the list it looked at before the tile was full.
uint32_t blend_tile(ForwardTile& tile, View& v, uint32_t begin, uint32_t end, int left, int top) {
  const PF zero{};
  for (ForwardBlock& b : tile.block) {
    b.t = zero + 1.0f;
    b.r = b.g = b.b = b.z = zero;
  }
  Blocks open = inside(v, left, top);
  for (uint32_t j = begin; j < end;) {
    const uint32_t stop = std::min(end, j + kCheckEvery);
    for (uint32_t i = j; i < stop; i++) {
      fetch_ahead(v, i, end);
      v.touched[i] = blocks_touched(v.splats[v.instance[i]], left, top) & open;
    }
    for (; j < stop; j++) add_splat(tile, v.splats[v.instance[j]], v.touched[j], left, top);
    open = still_open(tile, open);
    if (!open) return j - begin;
  }
  return end - begin;
}

// One plane of colour in row y of a strip; `tiles` has a null where no splat falls.
template <class Behind>
GS_INLINE void write_color(float* to, const ForwardTile* const* tiles, int channel, int y, int width, const Behind& behind) {
  for (int x = 0; x < width; x += kBlockWidth) {
    const int n = std::min(kBlockWidth, width - x);
    const ForwardTile* tile = tiles[x / kTile];
    F4 value = behind(x, n);
    if (tile) {
      const float* block = (const float*)&tile->block[block_of(y, x % kTile / kBlockWidth)] + lane_of(y);
      value = load4(block + (1 + channel) * kPixelLanes) + load4(block) * value;
    }
    put4(to + x, value, n);
  }
}

void write_row(const View& v, const Image& out, const Background& background, const Strip& strip, const ForwardTile* const* tiles, int y) {
  const size_t plane = (size_t)v.width * v.height, at = (size_t)(strip.top + y) * v.width + strip.left;
  const int width = std::min(strip.count * kTile, v.width - strip.left);
  for (int c = 0; c < 3; c++) {
    float* to = out.color + c * plane + at;
    const float* behind = background.data ? background.data + (background.per_pixel ? c * plane + at : c) : nullptr;
    const F4 flat = F4{} + (behind ? *behind : 0.0f);
    if (background.per_pixel) write_color(to, tiles, c, y, width, [=](int x, int n) { return get4(behind + x, n); });
    else write_color(to, tiles, c, y, width, [=](int, int) { return flat; });
  }
  for (int x = 0; x < width; x += kBlockWidth) {
    const int n = std::min(kBlockWidth, width - x);
    F4 alpha{}, depth{};
    if (const ForwardTile* tile = tiles[x / kTile]) {
      const float* block = (const float*)&tile->block[block_of(y, x % kTile / kBlockWidth)] + lane_of(y);
      alpha = 1.0f - load4(block);
      const F4 mean = load4(block + 4 * kPixelLanes) / alpha;
      depth = (F4)((F4i)mean & (alpha > 0.0f));
    }
    put4(out.alpha + at + x, alpha, n);
    put4(out.depth + at + x, depth, n);
  }
}

}  // namespace

void blend_forward(View& v, const Image& out, const Background& background, int threads) {
  v.touched.reserve(v.instances + 1);
  uint32_t* blended = v.blended.reserve((size_t)v.tiles_x * v.tiles_y);
  parallel(threads, Strip::total(v), [&](int index, int) {
    const Strip strip(v, index);
    if (background.per_pixel) fetch_strip(v, strip, background.data, 3);
    fetch_strip<1>(v, strip, out.color, 3);
    fetch_strip<1>(v, strip, out.alpha, 1);
    fetch_strip<1>(v, strip, out.depth, 1);
    ForwardTile memory[kStrip];
    const ForwardTile* tiles[kStrip] = {};
    for (int i = 0; i < strip.count; i++) {
      const uint32_t begin = v.tile_start[strip.first + i], end = v.tile_start[strip.first + i + 1];
      blended[strip.first + i] = 0;
      if (begin == end) continue;
      blended[strip.first + i] = blend_tile(memory[i], v, begin, end, strip.left + i * kTile, strip.top);
      tiles[i] = &memory[i];
    }
    for (int y = 0; y < strip.height; y++) write_row(v, out, background, strip, tiles, y);
  });
}

}  // namespace gs
