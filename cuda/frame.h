// What a forward pass leaves for its backward pass: projected splats and tile lists of each view of a batch.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "pixels.h"
#include "gs_project.h"
#include "pool.h"

namespace gs {

// A projected splat as the blending loops read it: one cache line.
struct Payload {
  float mx, my, ha, k;     // alpha = opacity * 2^(ha (dx + k dy)^2 + hd dy^2); ha, hd < 0
  float hd, opacity, r, g;
  float b, z, cut, width;  // alpha falls under kAlphaMin where the exponent is under -cut; width = -1 / ha
  int32_t columns, rows;   // of tiles within reach: the first, and 2^16 times the last
  int32_t pad[2];
};
static_assert(sizeof(Payload) == 64);

// What one splat adds up over its pixels in one tile, with u = dx + k dy and v = alpha dL/dalpha: sums of v u, v dy,
// v u^2, v u dy, v dy^2, v, and of weight times the picture's gradient.
struct Row { float u, y, uu, uy, yy, v, r, g, b, z, pad[2]; };

struct View {
  int width = 0, height = 0, tiles_x = 0, tiles_y = 0;
  bool normals = false;  // the splats' normals are drawn in the place of their colours
  uint32_t count = 0, visible = 0, pruned = 0;
  size_t instances = 0;
  Camera camera;
  Buffer<Payload> splats;
  Buffer<uint32_t> depth;        // [count] bits of the depth, kInvisible where culled or pruned
  Buffer<uint32_t> first_row;    // [count + 1] first gradient row of each splat
  Buffer<uint32_t> tile_start;   // [tiles + 1]
  Buffer<uint32_t> instance, row;// [instances] splat and its gradient row, by tile, front to back
  Buffer<uint32_t> blended;      // [tiles] how many of the list were looked at
  Buffer<Blocks> touched;        // [instances] blocks of the tile that were blended
};
constexpr uint32_t kInvisible = 0xffffffffu;

// Scratch that lives only within one call.
struct Scratch {
  Buffer<uint32_t> keys, keys2, order, order2, histogram, tile_list;
  std::vector<std::vector<uint32_t>> tiles;
  std::vector<std::unique_ptr<Buffer<Row>>> view_rows;  // one per view of the batch
  Buffer<float> corner_rows, splat_rows, partial;
};

struct Frame {
  std::vector<std::unique_ptr<View>> views;
  Buffer<float> vertex_rows;
  View& view(int b) {
    while ((int)views.size() <= b) views.push_back(std::make_unique<View>());
    return *views[b];
  }
};

// Fills order, tile lists and row ranges from the projected splats. Throws std::bad_alloc.
void bin_splats(View& view, Scratch& scratch, int threads);

struct Image { float* color; float* alpha; float* depth; };
struct Background { const float* data; bool per_pixel; };  // null: black

void blend_forward(View& view, const Image& out, const Background& background, int threads);

struct ImageGrad { const float *color, *alpha, *depth; };  // any may be null
// Writes one gradient row per instance of the view.
void blend_backward(const View& view, Row* rows, const Image& out, const ImageGrad& grad, int threads);

Scratch& local_scratch();  // of the calling thread
Buffer<Row>& row_buffer(Scratch& scratch, int view);

}  // namespace gs
