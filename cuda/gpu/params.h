// What the host hands to the kernels: plain structs of numbers and device pointers, the kernels' names, and the sizes
// of their grids and workspaces. Shared by the kernels and the launcher; needs no other header.
//
// Arrays are C-contiguous. B views of N splats, V vertices, T tiles of a view, M = capacity list entries of a view.
// A pointer marked ? may be null. Nothing here ever needs the host to wait for the device.
#pragma once

namespace gs {
namespace gpu {

typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
static_assert(sizeof(i32) == 4 && sizeof(i64) == 8 && sizeof(void*) == 8, "64-bit devices and hosts only");

constexpr i32 kTileSize = 16, kThreads = 256;
constexpr i32 kRowFloats = 12;     // a splat's record, a gradient row, a vertex row: three float4
constexpr i32 kCameraFloats = 20;  // gs::Camera
constexpr i32 kCameraSums = 16;
constexpr i32 kMaxViewGroups = 8;  // views that one block of project_backward takes side by side
constexpr i32 kBasisRows = 256;    // rows of the bases that one block takes
constexpr i32 kLossWidth = 32, kLossHeight = 16;
constexpr i32 kMaxAdamTensors = 16;

// Bits of status[kFlags]. They stay set until the host clears the words; while any is set, Adam changes nothing.
constexpr u32 kOverflow = 1, kBadCameraFlag = 2;
// Words of status: flags, and the largest number of list entries that any view has asked for.
enum StatusWord { kFlags, kNeeded, kStatusWords };

enum BackgroundKind { kBlack, kOneColor, kPicture };

// Sparse rows over vertices with two coefficients per entry (avatars/splats/binding.py).
struct Sparse { const i32 *start, *index; const float *t, *s; };

struct Surface {
  Sparse forward, transposed;
  const i32* corner;         // [N, 3]
  const float* barycentric;  // [N, 3]
  const float* extent;       // [N]
  const i32 *use_start, *use;  // [V + 1], [3 N]
};

// Splats bound to a posed mesh; used where `mean` is not null.
struct Bound {
  const float* vertices;       // [B, V, 3]
  const float* mean;           // [N, 3]
  const float* quaternion;     // [N, 4]
  const float* log_scale;      // [N, 3]
  const float* logit_opacity;  // [N]
  const float* color;          // [N, 3]
  const float* delta;          // ? [B, N, 9]
};
struct BoundGrad { float *vertices, *mean, *quaternion, *log_scale, *logit_opacity, *color, *delta; };  // each ?

// Splats in the world.
struct Free { const float *means, *quats, *scales, *opacities, *colors; };  // [B, N, 3], [.., 4], [.., 3], [..], [.., 3]
struct FreeGrad { float *means, *quats, *scales, *opacities, *colors; };    // each ?

// Scratch of one forward pass and its backward pass; the backward pass reads what the forward pass left.
struct RasterWork {
  float* cameras;      // [B, kCameraFloats]
  float* vertex_rows;  // [B, V, kRowFloats] position, t, s
  float* splats;       // [B, N, kRowFloats]
  u32* depth;          // [B, N] bits of the depth
  u32* span;           // [B, N, 2] tiles that the splat meets
  u32* first_row;      // [B, N] first list row of a splat within its block
  u32* block_rows;     // [B, N / 256 + 1] rows of a block, then its first row; the last is the view's total
  u32* tile_count;     // [B, T]
  u32* tile_start;     // [B, T]
  u32* tile_cursor;    // [B, T]
  u64* keys;           // [B, M] depth and row, then sorted (splat, row)
  u64* keys2;          // [B, M] for lists that are longer than shared memory
  u32* row_splat;      // [B, M]
  // backward only
  float* rows;           // [B, M, kRowFloats]
  float* surface_rows;   // ? [B, N, kRowFloats], where vertices want a gradient
  float* corner_rows;    // ? [B, V, kRowFloats]
  float* camera_partial; // ? [B, blocks of project_backward, kCameraSums]
};

struct Raster {
  i32 batch, count, vertices, width, height, tiles_x, tiles_y, background_kind;
  u32 capacity;  // M
  u32 normals;   // not 0: the splats' normals are drawn in the place of their colours
  Bound bound;
  Surface surface;
  Free free;
  const float* intrinsics;         // [B, 4]
  const float* camera_from_world;  // [B, 4, 4]
  const float* background;         // ? [3] or [B, 3, H, W]
  float* color;                    // [B, 3, H, W]
  float* alpha;                    // [B, 1, H, W]
  float* depth;                    // [B, 1, H, W]
  u32* pruned;                     // [B] splats dropped as not finite or degenerate
  u32* status;                     // [kStatusWords]
  RasterWork work;
  // backward
  const float *g_color, *g_alpha, *g_depth;  // each ?
  BoundGrad g_bound;
  FreeGrad g_free;
  float *g_intrinsics, *g_camera;  // both or neither
};

// delta[b, r] = sum over k of bases[r, k] weights[b, k] for r in [0, rows = 9 N), and back.
struct Bases {
  i32 batch, rows, columns, pad;
  float* bases;          // [rows, K]; changed in place where m is given
  const float* weights;  // [B, K]
  float* delta;          // [B, rows], forward
  const float* g_delta;  // [B, rows], backward
  float* g_weights;      // ? [B, K]
  float* g_bases;        // ? [rows, K]
  float* partial;        // ? [B, K, blocks of combine_backward], with g_weights
  // One step of Adam on the bases, ? m
  float *m, *v;          // [rows, K]
  const float* lr;       // [9], a rate for each row of a splat
  const float* corrections;  // of adam_tick
  const u32* skip;       // ? nothing changes where *skip != 0
  float beta1, beta2, eps;
  float pad2;
};

// Weighted means of |x - y| and of 1 - SSIM, and the gradient of (1 - l) the first + l the second.
struct Loss {
  i32 batch, height, width;
  float ssim_weight;
  const float *image, *target;  // [B, 3, H, W]
  const float* weight;          // ? [B, 1, H, W]
  float* grad;                  // ? [B, 3, H, W]
  float* maps;                  // ? [3, B, 3, H, W], with grad
  double* partial;              // [blocks of loss, 3]
  double* out;                  // [4]: mean |x - y|, mean 1 - SSIM, the loss, 1 / (3 sum of weights)
};

struct AdamTensor {
  float* param;       // [n, columns]
  const float* grad;  // [n, columns]
  float *m, *v;
  const float* lr;    // [columns]
  i64 n;
  i32 columns, pad;
};
struct Adam {
  AdamTensor tensor[kMaxAdamTensors];
  i32 tensors;
  i32 step;           // 1 for the first; not looked at where counter is given
  i32* counter;       // ? steps done so far; adam_tick adds one
  float* corrections; // [2] what undoes the bias of the moments; adam_tick writes it, adam and combine_backward read it
  const u32* skip;    // ? nothing changes where *skip != 0: give it status + kFlags
  float beta1, beta2, eps;
  float pad;
};

// Order of a forward pass:   prepare, project_bound | project_free, allocate, scatter, blend
// Order of a backward pass:  blend_backward (blend_backward_depth where g_depth is given),
//                            project_bound_backward (project_bound_backward_normals) | project_free_backward,
//                            camera_finish where g_camera is given,
//                            vertex_gather, vertex_finish where g_bound.vertices is given
// Learned bases:             combine before project_bound; combine_backward after its backward pass, combine_finish
//                            where g_weights is given
// Loss:                      loss, loss_reduce, loss_backward where grad is given
// Optimizer:                 adam_tick, then adam and (in combine_backward) the bases
enum Kernel {
  kPrepare, kProjectBound, kProjectFree, kAllocate, kScatter, kBlend,                             // Raster
  kBlendBackward, kBlendBackwardDepth, kProjectBoundBackward, kProjectBoundBackwardNormals,        // Raster
  kProjectFreeBackward, kCameraFinish,                                                             // Raster
  kVertexGather, kVertexFinish,                                                                    // Raster
  kCombine, kCombineBackward, kCombineFinish,                                                      // Bases
  kLoss, kLossReduce, kLossBackward,                                                               // Loss
  kAdamTick, kAdam,                                                                                // Adam
  kKernels
};

#if !defined(__CUDACC_RTC__)

constexpr const char* kKernelNames[kKernels] = {
    "av_prepare", "av_project_bound", "av_project_free", "av_allocate", "av_scatter", "av_blend",
    "av_blend_backward", "av_blend_backward_depth", "av_project_bound_backward", "av_project_bound_backward_normals",
    "av_project_free_backward", "av_camera_finish",
    "av_vertex_gather", "av_vertex_finish",
    "av_combine", "av_combine_backward", "av_combine_finish",
    "av_loss", "av_loss_reduce", "av_loss_backward",
    "av_adam_tick", "av_adam"};

// Every kernel has one parameter, its struct by value, and no dynamic shared memory.
struct Launch { u32 grid_x, grid_y, grid_z, threads; };

inline u32 blocks_for(i64 items, i64 per_block) { return items <= 0 ? 1u : (u32)((items + per_block - 1) / per_block); }

// Views that one block of project_backward takes side by side.
inline i32 view_groups(i32 batch) { return batch >= 8 ? 8 : batch >= 4 ? 4 : batch >= 2 ? 2 : 1; }
inline u32 backward_blocks(const Raster& r) { return blocks_for(r.count, kThreads / view_groups(r.batch)); }

inline Launch launch_of(Kernel kernel, const Raster& r) {
  const u32 views = (u32)r.batch, tiles = (u32)(r.tiles_x * r.tiles_y);
  switch (kernel) {
    case kPrepare: return {blocks_for(tiles > (u32)r.vertices ? (i64)tiles : (i64)r.vertices, kThreads), views, 1, kThreads};
    case kAllocate: return {2, views, 1, 512};
    case kBlend: case kBlendBackward: case kBlendBackwardDepth: return {tiles, views, 1, kThreads};
    case kProjectBoundBackward: case kProjectBoundBackwardNormals: return {backward_blocks(r), 1, 1, kThreads};
    case kProjectFreeBackward: return {blocks_for(r.count, kThreads), views, 1, kThreads};
    case kCameraFinish: return {views, 1, 1, 32 * kCameraSums};
    case kVertexGather: return {blocks_for(r.vertices, 64), views, 1, 192};
    case kVertexFinish: return {blocks_for(r.vertices, kThreads), views, 1, kThreads};
    default: return {blocks_for(r.count, kThreads), views, 1, kThreads};  // project, scatter
  }
}

inline u32 combine_blocks(const Bases& p) { return blocks_for(p.rows, kBasisRows); }
inline Launch launch_of(Kernel kernel, const Bases& p) {
  if (kernel == kCombineFinish) return {(u32)p.columns, (u32)p.batch, 1, kThreads};
  return {combine_blocks(p), 1, 1, kThreads};
}

inline u32 loss_blocks(const Loss& p) { return blocks_for(p.width, kLossWidth) * blocks_for(p.height, kLossHeight) * 3u * (u32)p.batch; }
inline Launch launch_of(Kernel kernel, const Loss& p) {
  if (kernel == kLossReduce) return {1, 1, 1, 1024};
  return {blocks_for(p.width, kLossWidth), blocks_for(p.height, kLossHeight), 3u * (u32)p.batch, kThreads};
}

inline Launch launch_of(Kernel kernel, const Adam& p) {
  if (kernel == kAdamTick) return {1, 1, 1, 32};
  i64 most = 0;
  for (i32 i = 0; i < p.tensors; i++) most = p.tensor[i].n * p.tensor[i].columns > most ? p.tensor[i].n * p.tensor[i].columns : most;
  const u32 blocks = blocks_for(most, kThreads);
  return {blocks < 2048u ? blocks : 2048u, p.tensors > 0 ? (u32)p.tensors : 1u, 1, kThreads};
}

namespace detail {
// Cuts pieces off one allocation; counts only where base is null.
struct Cutter {
  char* base;
  u64 used;
  template <class P> void cut(P*& pointer, u64 count) {
    pointer = base ? reinterpret_cast<P*>(base + used) : nullptr;
    used += (count * sizeof(P) + 255) / 256 * 256;
  }
};
}  // namespace detail

// Points r.work into `memory` (null: only counts). Sizes, r.capacity, r.bound.mean and, with `backward`, the gradient
// pointers must be set before: they decide what is needed. Returns the bytes needed; any alignment of 256 will do.
inline u64 assign_work(Raster& r, void* memory, bool backward) {
  detail::Cutter c = {static_cast<char*>(memory), 0};
  const u64 b = (u64)r.batch, n = (u64)r.count, v = (u64)r.vertices, t = (u64)r.tiles_x * (u64)r.tiles_y, m = r.capacity;
  RasterWork w = {};
  c.cut(w.cameras, b * kCameraFloats);
  if (r.bound.mean) c.cut(w.vertex_rows, b * v * kRowFloats);
  c.cut(w.splats, b * n * kRowFloats);
  c.cut(w.depth, b * n);
  c.cut(w.span, b * n * 2);
  c.cut(w.first_row, b * n);
  c.cut(w.block_rows, b * (blocks_for((i64)n, kThreads) + 1));
  c.cut(w.tile_count, b * t);
  c.cut(w.tile_start, b * t);
  c.cut(w.tile_cursor, b * t);
  c.cut(w.keys, b * m);
  c.cut(w.keys2, b * m);
  c.cut(w.row_splat, b * m);
  if (backward) {
    c.cut(w.rows, b * m * kRowFloats);
    if (r.g_bound.vertices) {
      c.cut(w.surface_rows, b * n * kRowFloats);
      c.cut(w.corner_rows, b * v * kRowFloats);
    }
    if (r.g_camera) c.cut(w.camera_partial, b * (r.bound.mean ? backward_blocks(r) : blocks_for((i64)n, kThreads)) * kCameraSums);
  }
  r.work = w;
  return c.used;
}

// Elements that the callers provide for the other structs.
inline u64 bases_partial_floats(const Bases& p) { return (u64)p.batch * (u64)p.columns * combine_blocks(p); }
inline u64 loss_map_floats(const Loss& p) { return 9ull * (u64)p.batch * (u64)p.height * (u64)p.width; }
inline u64 loss_partial_doubles(const Loss& p) { return 3ull * loss_blocks(p); }

#endif

}  // namespace gpu
}  // namespace gs
