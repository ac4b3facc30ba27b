// Photometric loss and its gradient: (1 - l) |x - y| + l (1 - SSIM), weighted per pixel.
//
// SSIM (Wang et al. 2004) with an 11-tap Gaussian window of sigma 1.5 and zero padding. A block takes 32x16 pixels of
// one channel; blurs run along rows, then columns, in shared memory. `loss` leaves the derivatives of SSIM by its three
// moments, which `loss_backward` blurs once more. Sums of blocks are added in order by `loss_reduce`, in double.
#pragma once
#include "device.cuh"

namespace gs {
namespace gpu {

constexpr i32 kRadius = 5;
constexpr i32 kWideColumns = kLossWidth + 2 * kRadius, kWideRows = kLossHeight + 2 * kRadius;
constexpr i32 kWideStride = kWideColumns + 1;                  // odd: four rows of a warp meet no bank twice
constexpr i32 kRun = 4;                                        // neighbouring outputs of a thread along a row
constexpr i32 kDown = kLossWidth * kLossHeight / kThreads;     // and along a column
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;
static_assert(kLossWidth / kRun * kWideRows <= kThreads && kDown == 2, "one round of each pass");

typedef float Wide[kWideRows][kWideStride];
typedef float Blurred[kWideRows][kLossWidth];

// exp(-i^2 / 4.5) over the sum of all eleven.
GS_DEVICE float tap(i32 i) {
  constexpr float taps[kRadius + 1] = {0.266011725f, 0.213005538f, 0.109360690f, 0.0360007721f, 0.00759875814f, 0.00102838008f};
  return taps[i];
}

// Blur of kOut neighbours from kOut + 10 values.
template <i32 kOut> GS_DEVICE void blur(const float (&in)[kOut + 2 * kRadius], float (&out)[kOut]) {
#pragma unroll
  for (i32 o = 0; o < kOut; o++) {
    float sum = in[o + kRadius] * tap(0);
#pragma unroll
    for (i32 i = 1; i <= kRadius; i++) sum += (in[o + kRadius - i] + in[o + kRadius + i]) * tap(i);
    out[o] = sum;
  }
}

// A block's pixels and the rim that their windows reach; zero outside the picture.
struct Region {
  i32 left, top;
  u64 plane;    // of the channel in [B, 3, H, W]
  u64 weights;  // of the view in [B, 1, H, W]
};

GS_DEVICE Region region_of(const Loss& p) {
  const u64 pixels = (u64)(u32)p.height * (u32)p.width;
  return {(i32)blockIdx.x * kLossWidth, (i32)blockIdx.y * kLossHeight, blockIdx.z * pixels, blockIdx.z / 3 * pixels};
}

GS_DEVICE void load_wide(const Loss& p, const Region& at, const float* from, Wide& to) {
  for (i32 i = (i32)threadIdx.x; i < kWideRows * kWideColumns; i += kThreads) {
    const i32 r = i / kWideColumns, c = i % kWideColumns, y = at.top + r - kRadius, x = at.left + c - kRadius;
    const bool inside = x >= 0 && y >= 0 && x < p.width && y < p.height;
    to[r][c] = inside ? from[at.plane + (u64)(u32)y * (u32)p.width + (u32)x] : 0.0f;
  }
}

GS_DEVICE void blur_columns(const Blurred& from, i32 column, i32 row, float (&out)[kDown]) {
  float in[kDown + 2 * kRadius];
#pragma unroll
  for (i32 i = 0; i < kDown + 2 * kRadius; i++) in[i] = from[row + i][column];
  blur<kDown>(in, out);
}

struct LossShared {
  Wide x, y;
  Blurred mean_x, mean_y, squares, product;
  float sums[kWarps];
};

GS_DEVICE void blur_moments(LossShared& s) {
  const i32 row = (i32)threadIdx.x / (kLossWidth / kRun), column = (i32)threadIdx.x % (kLossWidth / kRun) * kRun;
  if (row >= kWideRows) return;
  constexpr i32 kIn = kRun + 2 * kRadius;
  float x[kIn], y[kIn], in[kIn], out[kRun];
#pragma unroll
  for (i32 i = 0; i < kIn; i++) {
    x[i] = s.x[row][column + i];
    y[i] = s.y[row][column + i];
  }
  blur<kRun>(x, out);
#pragma unroll
  for (i32 i = 0; i < kRun; i++) s.mean_x[row][column + i] = out[i];
  blur<kRun>(y, out);
#pragma unroll
  for (i32 i = 0; i < kRun; i++) s.mean_y[row][column + i] = out[i];
#pragma unroll
  for (i32 i = 0; i < kIn; i++) in[i] = x[i] * x[i] + y[i] * y[i];
  blur<kRun>(in, out);
#pragma unroll
  for (i32 i = 0; i < kRun; i++) s.squares[row][column + i] = out[i];
#pragma unroll
  for (i32 i = 0; i < kIn; i++) in[i] = x[i] * y[i];
  blur<kRun>(in, out);
#pragma unroll
  for (i32 i = 0; i < kRun; i++) s.product[row][column + i] = out[i];
}

// 1 - SSIM at a pixel, and the derivatives of SSIM by the mean of x, by the mean of squares and of products.
struct Similarity { float dissimilarity, by_mean, by_squares, by_product; };

GS_DEVICE Similarity similarity(float a, float b, float squares, float product) {
  const float ab = a * b, aabb = a * a + b * b;
  const float a1 = 2.0f * ab + kC1, a2 = 2.0f * (product - ab) + kC2, b1 = aabb + kC1, b2 = squares - aabb + kC2;
  const float r1 = 1.0f / b1, r2 = 1.0f / b2, r = r1 * r2, s = a1 * a2 * r;
  return {1.0f - s, 2.0f * (b * (a2 - a1) * r + s * a * (r2 - r1)), -2.0f * s * r2, 2.0f * a1 * r};
}

GS_KERNEL(256, 2) av_loss(GS_PARAMETER(Loss) p) {
  GS_SHARED LossShared s;
  const Region at = region_of(p);
  load_wide(p, at, p.image, s.x);
  load_wide(p, at, p.target, s.y);
  __syncthreads();
  blur_moments(s);
  __syncthreads();
  const i32 column = (i32)threadIdx.x % kLossWidth, row = (i32)threadIdx.x / kLossWidth * kDown, x = at.left + column;
  float mean_x[kDown], mean_y[kDown], squares[kDown], product[kDown];
  blur_columns(s.mean_x, column, row, mean_x);
  blur_columns(s.mean_y, column, row, mean_y);
  blur_columns(s.squares, column, row, squares);
  blur_columns(s.product, column, row, product);
  float l1 = 0.0f, dissimilar = 0.0f, weights = 0.0f;
  const u64 map = (u64)(u32)p.batch * 3 * (u32)p.height * (u32)p.width;
#pragma unroll
  for (i32 k = 0; k < kDown; k++) {
    const i32 y = at.top + row + k;
    if (x >= p.width || y >= p.height) continue;
    const u64 i = (u64)(u32)y * (u32)p.width + (u32)x;
    const float w = p.weight ? p.weight[at.weights + i] : 1.0f;
    const Similarity here = similarity(mean_x[k], mean_y[k], squares[k], product[k]);
    const float a = s.x[row + k + kRadius][column + kRadius], b = s.y[row + k + kRadius][column + kRadius];
    const bool counts = w != 0.0f;
    weights += w;
    if (counts) l1 += w * fabsf(a - b);
    if (counts) dissimilar += w * here.dissimilarity;
    if (!p.maps) continue;
    p.maps[at.plane + i] = counts ? w * here.by_mean : 0.0f;
    p.maps[map + at.plane + i] = counts ? w * here.by_squares : 0.0f;
    p.maps[2 * map + at.plane + i] = counts ? w * here.by_product : 0.0f;
  }
  const u64 block = ((u64)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  l1 = block_sum(l1, s.sums);
  dissimilar = block_sum(dissimilar, s.sums);
  weights = block_sum(weights, s.sums);
  if (threadIdx.x) return;
  p.partial[block * 3] = (double)l1;
  p.partial[block * 3 + 1] = (double)dissimilar;
  p.partial[block * 3 + 2] = blockIdx.z % 3 ? 0.0 : (double)weights;
}

GS_KERNEL(1024, 1) av_loss_reduce(GS_PARAMETER(Loss) p) {
  GS_SHARED double scratch[32];
  const u64 across = ((u32)p.width + kLossWidth - 1) / kLossWidth, down = ((u32)p.height + kLossHeight - 1) / kLossHeight;
  const u64 blocks = across * down * 3 * (u32)p.batch;
  double total[3];
  for (i32 k = 0; k < 3; k++) {
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < blocks; i += 1024) sum += p.partial[i * 3 + k];
    total[k] = block_sum(sum, scratch);
  }
  if (threadIdx.x) return;
  const double scale = total[2] > 0.0 ? 1.0 / (3.0 * total[2]) : 0.0;
  p.out[0] = total[0] * scale;
  p.out[1] = total[1] * scale;
  p.out[2] = (1.0 - (double)p.ssim_weight) * p.out[0] + (double)p.ssim_weight * p.out[1];
  p.out[3] = scale;
}

struct LossBackwardShared {
  Wide map;
  Blurred blurred[3];
};

GS_KERNEL(256, 2) av_loss_backward(GS_PARAMETER(Loss) p) {
  GS_SHARED LossBackwardShared s;
  const Region at = region_of(p);
  const u64 map = (u64)(u32)p.batch * 3 * (u32)p.height * (u32)p.width;
  const i32 column = (i32)threadIdx.x % kLossWidth, row = (i32)threadIdx.x / kLossWidth * kDown, x = at.left + column;
  const i32 wide_row = (i32)threadIdx.x / (kLossWidth / kRun), wide_column = (i32)threadIdx.x % (kLossWidth / kRun) * kRun;
  for (i32 k = 0; k < 3; k++) {
    __syncthreads();
    load_wide(p, at, p.maps + (u64)(u32)k * map, s.map);
    __syncthreads();
    if (wide_row >= kWideRows) continue;
    float in[kRun + 2 * kRadius], out[kRun];
#pragma unroll
    for (i32 i = 0; i < kRun + 2 * kRadius; i++) in[i] = s.map[wide_row][wide_column + i];
    blur<kRun>(in, out);
#pragma unroll
    for (i32 i = 0; i < kRun; i++) s.blurred[k][wide_row][wide_column + i] = out[i];
  }
  __syncthreads();
  float by_mean[kDown], by_squares[kDown], by_product[kDown];
  blur_columns(s.blurred[0], column, row, by_mean);
  blur_columns(s.blurred[1], column, row, by_squares);
  blur_columns(s.blurred[2], column, row, by_product);
  const float l1_scale = (float)((1.0 - (double)p.ssim_weight) * p.out[3]), ssim_scale = (float)(-(double)p.ssim_weight * p.out[3]);
#pragma unroll
  for (i32 k = 0; k < kDown; k++) {
    const i32 y = at.top + row + k;
    if (x >= p.width || y >= p.height) continue;
    const u64 i = (u64)(u32)y * (u32)p.width + (u32)x;
    const float a = p.image[at.plane + i], b = p.target[at.plane + i], d = a - b;
    const float w = (p.weight ? p.weight[at.weights + i] : 1.0f) * l1_scale;
    float g = d > 0.0f ? w : d < 0.0f ? -w : 0.0f;
    if (ssim_scale != 0.0f) g += ssim_scale * (by_mean[k] + a * by_squares[k] + b * by_product[k]);
    p.grad[at.plane + i] = g;
  }
}

}  // namespace gpu
}  // namespace gs
