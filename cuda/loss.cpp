// Photometric loss and its gradient in one pass: (1 - l) |x - y| + l (1 - SSIM), weighted per pixel.
//
// SSIM (Wang et al. 2004) with an 11-tap Gaussian window of sigma 1.5 and zero padding. Rows stream through rings of
// 11 lines that stay in cache: input -> row blur of x, y, x^2 + y^2, xy -> column blur, SSIM and its partial
// derivatives -> row blur of these -> column blur: the gradient. A task is a band of rows of one channel; no number
// depends on where the bands are cut.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "simd.h"
#include "gs_base.h"
#include "pool.h"
#include "api.h"

using namespace gs;

namespace {

constexpr int kRadius = 5, kTaps = 11, kPad = 8;
constexpr int kTaskRows = 128;  // rows of a task, which also reads 2 kRadius on either side
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;

struct Window {
  float w[kRadius + 1];
  Window() {
    double v[kRadius + 1], total = 0;
    for (int i = 0; i <= kRadius; i++) {
      v[i] = std::exp(-i * i / (2 * 1.5 * 1.5));
      total += i ? 2 * v[i] : v[i];
    }
    for (int i = 0; i <= kRadius; i++) w[i] = (float)(v[i] / total);
  }
};
const Window kWindow;

struct LossJob {
  int height, width, stride, band;
  const float *image, *target, *weight;  // weight may be null
  float l1_scale, ssim_scale;            // of the gradient
  float *grad;                           // may be null
  float *l1_rows, *ssim_rows;            // [B, 3, H] sums of a row
};

enum Input { kX, kY, kW, kInputs };
enum Moment { kMeanX, kMeanY, kSquares, kProduct, kMoments };
enum Partial { kByMean, kBySquares, kByProduct, kPartials };

// Lines of one worker; a line has kPad zeros before and after the pixels.
class Lines {
 public:
  explicit Lines(int stride) : stride_(stride) {
    const size_t total = (size_t)stride * ((kInputs + kMoments + kPartials) * kTaps + kPartials + 2);
    std::fill_n(memory_.reserve(total), total, 0.0f);
  }
  float* input(int which, int row) { return line(which * kTaps + slot(row)); }
  float* moment(int which, int row) { return line((kInputs + which) * kTaps + slot(row)); }
  float* partial(int which, int row) { return line((kInputs + kMoments + which) * kTaps + slot(row)); }
  float* scratch(int which) { return line((kInputs + kMoments + kPartials) * kTaps + which); }

 private:
  static int slot(int row) { return (row + 4 * kTaps) % kTaps; }
  float* line(int i) { return memory_.data() + (size_t)i * stride_ + kPad; }
  int stride_;
  Buffer<float> memory_;
};

void blur_row(const float* from, float* to, int width) {
  const float* w = kWindow.w;
  for (int x = 0; x < width; x += kLanes) {
    const float* p = from + x;
    VF s = load(p) * w[0] + (load(p - 1) + load(p + 1)) * w[1];
    s += (load(p - 2) + load(p + 2)) * w[2];
    s += (load(p - 3) + load(p + 3)) * w[3];
    s += (load(p - 4) + load(p + 4)) * w[4];
    s += (load(p - 5) + load(p + 5)) * w[5];
    store(to + x, s);
  }
}

struct Column {
  const float* row[kTaps];
  GS_INLINE VF at(int x) const {
    const float* w = kWindow.w;
    VF s = load(row[5] + x) * w[0] + (load(row[4] + x) + load(row[6] + x)) * w[1];
    s += (load(row[3] + x) + load(row[7] + x)) * w[2];
    s += (load(row[2] + x) + load(row[8] + x)) * w[3];
    s += (load(row[1] + x) + load(row[9] + x)) * w[4];
    s += (load(row[0] + x) + load(row[10] + x)) * w[5];
    return s;
  }
};

// Row r of the inputs and its blurred moments; rows outside the picture are zero.
void read_row(Lines& l, const LossJob& j, size_t plane, size_t weights, int r) {
  float *x = l.input(kX, r), *y = l.input(kY, r), *w = l.input(kW, r);
  if (r < 0 || r >= j.height) {
    for (int m = 0; m < kMoments; m++) std::fill_n(l.moment(m, r), j.width, 0.0f);
    return;
  }
  const size_t at = (size_t)r * j.width;
  std::copy_n(j.image + plane + at, j.width, x);
  std::copy_n(j.target + plane + at, j.width, y);
  if (j.weight) std::copy_n(j.weight + weights + at, j.width, w);
  else std::fill_n(w, j.width, 1.0f);
  float *squares = l.scratch(0), *product = l.scratch(1);
  for (int i = 0; i < j.width; i += kLanes) {
    const VF a = load(x + i), b = load(y + i);
    store(squares + i, a * a + b * b);
    store(product + i, a * b);
  }
  blur_row(x, l.moment(kMeanX, r), j.width);
  blur_row(y, l.moment(kMeanY, r), j.width);
  blur_row(squares, l.moment(kSquares, r), j.width);
  blur_row(product, l.moment(kProduct, r), j.width);
}

// SSIM of row q and, blurred along the row, its weighted derivatives; returns the row's weighted sum of 1 - SSIM.
float ssim_row(Lines& l, const LossJob& j, int q) {
  if (q < 0 || q >= j.height) {
    for (int m = 0; m < kPartials; m++) std::fill_n(l.partial(m, q), j.width, 0.0f);
    return 0.0f;
  }
  Column c[kMoments];
  for (int m = 0; m < kMoments; m++)
    for (int t = 0; t < kTaps; t++) c[m].row[t] = l.moment(m, q + t - kRadius);
  const float* weight = l.input(kW, q);
  float* by[kPartials] = {l.scratch(2), l.scratch(3), l.scratch(4)};
  VF total{};
  for (int x = 0; x < j.width; x += kLanes) {
    const VF a = c[kMeanX].at(x), b = c[kMeanY].at(x), ab = a * b, aabb = a * a + b * b;
    const VF a1 = 2.0f * ab + kC1, a2 = 2.0f * (c[kProduct].at(x) - ab) + kC2;
    const VF b1 = aabb + kC1, b2 = c[kSquares].at(x) - aabb + kC2;
    const VF r1 = 1.0f / b1, r2 = 1.0f / b2, r = r1 * r2, s = a1 * a2 * r, w = load(weight + x);
    total += masked(w != 0.0f, w * (1.0f - s));
    const VF k = w * j.ssim_scale;
    const VF dm = 2.0f * (b * (a2 - a1) * r + s * a * (r2 - r1));
    store(by[kByMean] + x, masked(w != 0.0f, k * dm));
    store(by[kBySquares] + x, masked(w != 0.0f, -2.0f * k * s * r2));
    store(by[kByProduct] + x, masked(w != 0.0f, 2.0f * k * a1 * r));
  }
  if (j.grad)
    for (int m = 0; m < kPartials; m++) blur_row(by[m], l.partial(m, q), j.width);
  return sum(total);
}

float sum_row(const float* from, int width) {
  VF total{};
  float rest = 0;
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) total += load(from + x);
  for (; x < width; x++) rest += from[x];
  return sum(total) + rest;
}

float l1_row(Lines& l, const LossJob& j, int q) {
  const float *x = l.input(kX, q), *y = l.input(kY, q), *w = l.input(kW, q);
  VF total{};
  for (int i = 0; i < j.width; i += kLanes) total += load(w + i) * fabs2(load(x + i) - load(y + i));
  return sum(total);
}

void gradient_row(Lines& l, const LossJob& j, size_t plane, int o) {
  Column c[kPartials];
  for (int m = 0; m < kPartials; m++)
    for (int t = 0; t < kTaps; t++) c[m].row[t] = l.partial(m, o + t - kRadius);
  const float *x = l.input(kX, o), *y = l.input(kY, o), *w = l.input(kW, o);
  float* out = j.grad + plane + (size_t)o * j.width;
  for (int i = 0; i < j.width; i += kLanes) {
    const VF a = load(x + i), b = load(y + i), d = a - b, k = load(w + i) * j.l1_scale;
    VF g = masked(d > 0.0f, k) - masked(d < 0.0f, k);
    if (j.ssim_scale != 0.0f) g += c[kByMean].at(i) + a * c[kBySquares].at(i) + b * c[kByProduct].at(i);
    if (i + kLanes <= j.width) store(out + i, g);
    else for (int t = 0; i + t < j.width; t++) out[i + t] = g[t];
  }
}

void run_band(Lines& l, const LossJob& j, int channel_index, int band) {
  const size_t pixels = (size_t)j.height * j.width, plane = channel_index * pixels, weights = channel_index / 3 * pixels;
  const int y0 = band * j.band, y1 = std::min(j.height, y0 + j.band);
  for (int r = y0 - 2 * kRadius; r < y1 + 2 * kRadius; r++) {
    read_row(l, j, plane, weights, r);
    const int q = r - kRadius, o = q - kRadius;
    if (q >= y0 - kRadius && q < y1 + kRadius) {
      const float s = ssim_row(l, j, q);
      if (q >= y0 && q < y1) {
        j.ssim_rows[(size_t)channel_index * j.height + q] = s;
        j.l1_rows[(size_t)channel_index * j.height + q] = l1_row(l, j, q);
      }
    }
    if (j.grad && o >= y0 && o < y1) gradient_row(l, j, plane, o);
  }
}

}  // namespace

// out[0], out[1]: weighted means of |x - y| and of 1 - SSIM. grad (may be null): of (1 - l) out[0] + l out[1].
AV_API int av_loss(int threads, int batch, int height, int width, const float* image, const float* target, const float* weight,
                   float ssim_weight, float* grad, double* out) {
  return guarded([&] {
    const size_t pixels = (size_t)height * width;
    double total = 0;
    if (weight) {
      for (size_t i = 0; i < pixels * batch; i += width) total += sum_row(weight + i, width);
    } else {
      total = (double)pixels * batch;
    }
    const double scale = total > 0 ? 1.0 / (3.0 * total) : 0.0;
    const int channels = 3 * batch, band = kTaskRows, bands = (height + band - 1) / band;
    std::vector<float> l1((size_t)channels * height), ssim((size_t)channels * height);
    const int stride = ((width + kLanes - 1) / kLanes * kLanes + 2 * kPad + 15) / 16 * 16;
    const LossJob job = {height, width, stride, band, image, target, weight, (float)((1.0 - ssim_weight) * scale),
                     (float)(-ssim_weight * scale), grad, l1.data(), ssim.data()};
    std::vector<std::unique_ptr<Lines>> lines;
    for (int i = 0; i < threads; i++) lines.push_back(std::make_unique<Lines>(stride));
    parallel(threads, channels * bands, [&](int task, int worker) { run_band(*lines[worker], job, task / bands, task % bands); });
    out[0] = out[1] = 0;
    for (float v : l1) out[0] += v;
    for (float v : ssim) out[1] += v;
    out[0] *= scale;
    out[1] *= scale;
    return (int)kOk;
  });
}
