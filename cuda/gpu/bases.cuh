// Learned bases: delta[b, r] = sum over k of bases[r, k] weights[b, k], its adjoint, and Adam on the bases in the same
// pass, so that the 9 K numbers of a splat are read once. Bound by memory: a block moves 256 rows x 16 columns through
// shared memory with full-width reads and serves eight views with them.
#pragma once
#include "adam.cuh"

namespace gs {
namespace gpu {

constexpr u32 kColumns = 16, kViews = 8;  // of a piece
static_assert(kBasisRows == kThreads, "a thread takes a row");

typedef float BasisTile[kBasisRows][kColumns + 1];  // the spare column keeps threads in different banks

GS_DEVICE void load_tile(const Bases& p, u32 row0, u32 rows, u32 column0, BasisTile& tile) {
#pragma unroll 4
  for (u32 i = threadIdx.x; i < kBasisRows * kColumns; i += kThreads) {
    const u32 r = i / kColumns, c = i % kColumns;
    tile[r][c] = r < rows && column0 + c < (u32)p.columns ? p.bases[(u64)(row0 + r) * (u32)p.columns + column0 + c] : 0.0f;
  }
}

GS_DEVICE void load_weights(const Bases& p, u32 view0, u32 column0, float weights[kColumns][kViews]) {
  if (threadIdx.x >= kColumns * kViews) return;
  const u32 c = threadIdx.x / kViews, v = threadIdx.x % kViews;
  const bool there = view0 + v < (u32)p.batch && column0 + c < (u32)p.columns;
  weights[c][v] = there ? p.weights[(u64)(view0 + v) * (u32)p.columns + column0 + c] : 0.0f;
}

GS_KERNEL(256, 1) av_combine(GS_PARAMETER(Bases) p) {
  GS_SHARED BasisTile tile;
  GS_SHARED float weights[kColumns][kViews];
  const u32 row0 = blockIdx.x * kBasisRows, rows = least(kBasisRows, (u32)p.rows - row0), row = threadIdx.x;
  if (p.rows <= 0) return;
  for (u32 view0 = 0; view0 < (u32)p.batch; view0 += kViews) {
    float sum[kViews];
    for (u32 v = 0; v < kViews; v++) sum[v] = 0.0f;
    for (u32 column0 = 0; column0 < (u32)p.columns; column0 += kColumns) {
      __syncthreads();
      load_tile(p, row0, rows, column0, tile);
      load_weights(p, view0, column0, weights);
      __syncthreads();
      if (p.batch == 1) {
        for (u32 c = 0; c < kColumns; c++) sum[0] += tile[row][c] * weights[c][0];
      } else {
        for (u32 c = 0; c < kColumns; c++) {
          const float x = tile[row][c];
#pragma unroll
          for (u32 v = 0; v < kViews; v++) sum[v] += x * weights[c][v];
        }
      }
    }
#pragma unroll
    for (u32 v = 0; v < kViews; v++)
      if (row < rows && view0 + v < (u32)p.batch) p.delta[(u64)(view0 + v) * (u32)p.rows + row0 + row] = sum[v];
  }
}

struct BasesShared {
  BasisTile tile;
  float g[kViews][kBasisRows];
  float part[kThreads];
};

// The block's share of g_weights for kViews views and kColumns columns. With fewer views more threads share a sum.
GS_DEVICE void weight_gradient(const Bases& p, u32 view0, u32 column0, BasesShared& s) {
  const u32 left = (u32)p.batch - view0, views = left >= 8 ? 8 : left >= 4 ? 8 : left >= 2 ? 4 : 1;  // a power of two >= left
  const u32 outputs = views * kColumns, pieces = kThreads / outputs, length = kBasisRows / pieces;
  const u32 c = threadIdx.x % kColumns, v = threadIdx.x / kColumns % views, piece = threadIdx.x / outputs;
  float sum = 0.0f;
  for (u32 r = piece * length; r < (piece + 1) * length; r++) sum += s.g[v][r] * s.tile[r][c];
  s.part[threadIdx.x] = sum;
  __syncthreads();
  if (piece == 0 && v < left && column0 + c < (u32)p.columns) {
    for (u32 k = 1; k < pieces; k++) sum += s.part[k * outputs + threadIdx.x];
    p.partial[((u64)(view0 + v) * (u32)p.columns + column0 + c) * gridDim.x + blockIdx.x] = sum;
  }
}

// Writes the gradient of the tile's bases, or takes Adam's step with it. A warp reads whole rows of 16 columns.
GS_DEVICE void update_bases(const Bases& p, u32 row0, u32 rows, u32 column0, const BasisTile& tile, bool step) {
  Moments k = {};
  if (step) k = moments_of(p.beta1, p.beta2, p.eps, p.corrections);
#pragma unroll 2
  for (u32 i = threadIdx.x; i < kBasisRows * kColumns; i += kThreads) {
    const u32 r = i / kColumns, c = i % kColumns;
    if (r >= rows || column0 + c >= (u32)p.columns) continue;
    float grad = 0.0f;
    for (u32 b = 0; b < (u32)p.batch; b++) grad += p.g_delta[(u64)b * (u32)p.rows + row0 + r] * p.weights[(u64)b * (u32)p.columns + column0 + c];
    const u64 at = (u64)(row0 + r) * (u32)p.columns + column0 + c;
    if (p.g_bases) p.g_bases[at] = grad;
    if (step) p.bases[at] = adam_step(k, tile[r][c], p.m[at], p.v[at], grad, p.lr[(row0 + r) % 9]);
  }
}

GS_KERNEL(256, 2) av_combine_backward(GS_PARAMETER(Bases) p) {
  GS_SHARED BasesShared s;
  if (p.rows <= 0) return;
  const u32 row0 = blockIdx.x * kBasisRows, rows = least(kBasisRows, (u32)p.rows - row0);
  const bool step = p.m && !(p.skip && *p.skip);
  for (u32 column0 = 0; column0 < (u32)p.columns; column0 += kColumns) {
    __syncthreads();
    load_tile(p, row0, rows, column0, s.tile);
    __syncthreads();
    for (u32 view0 = 0; p.g_weights && view0 < (u32)p.batch; view0 += kViews) {
      for (u32 v = 0; v < kViews; v++) {
        const bool there = threadIdx.x < rows && view0 + v < (u32)p.batch;
        s.g[v][threadIdx.x] = there ? p.g_delta[(u64)(view0 + v) * (u32)p.rows + row0 + threadIdx.x] : 0.0f;
      }
      __syncthreads();
      weight_gradient(p, view0, column0, s);
      __syncthreads();
    }
    if (step || p.g_bases) update_bases(p, row0, rows, column0, s.tile, step);
  }
}

// Adds the blocks' shares of g_weights; a block takes one of them.
GS_KERNEL(256, 1) av_combine_finish(GS_PARAMETER(Bases) p) {
  GS_SHARED double scratch[kWarps];
  const u32 blocks = p.rows <= 0 ? 0u : ((u32)p.rows + kBasisRows - 1) / kBasisRows;
  const u64 at = (u64)blockIdx.y * (u32)p.columns + blockIdx.x;
  double sum = 0.0;
  for (u32 i = threadIdx.x; i < blocks; i += kThreads) sum += (double)p.partial[at * blocks + i];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) p.g_weights[at] = (float)sum;
}

}  // namespace gpu
}  // namespace gs
