// Learned bases and Adam (Kingma & Ba 2015), fused so that the 9 K numbers of a splat are touched as seldom as possible.
#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"
#include "gs_base.h"
#include "pool.h"
#include "api.h"

using namespace gs;

namespace {

constexpr int kRowsPerTask = 1024;

struct Adam { float b1, b2, c1, c2, eps; };  // c1, c2: what undoes the bias of the moments

Adam adam_of(int step, float beta1, float beta2, float eps) {
  return {beta1, beta2, (float)(1.0 / (1.0 - std::pow((double)beta1, step))), (float)(1.0 / (1.0 - std::pow((double)beta2, step))), eps};
}

GS_INLINE void adam_vector(const Adam& k, float* p, float* m, float* v, VF g, VF lr) {
  const VF a = load(m) * k.b1 + g * (1.0f - k.b1);
  const VF b = load(v) * k.b2 + g * g * (1.0f - k.b2);
  store(m, a);
  store(v, b);
  store(p, load(p) - lr * (a * k.c1) / (fsqrt(b * k.c2) + k.eps));
}

GS_INLINE void adam_scalar(const Adam& k, float& p, float& m, float& v, float g, float lr) {
  m = m * k.b1 + g * (1.0f - k.b1);
  v = v * k.b2 + g * g * (1.0f - k.b2);
  p -= lr * (m * k.c1) / (std::sqrt(v * k.c2) + k.eps);
}

GS_INLINE float dot_row(const float* a, const float* w, int n) {
  VF s{};
  int k = 0;
  for (; k + kLanes <= n; k += kLanes) s += load(a + k) * load(w + k);
  float total = sum(s);
  for (; k < n; k++) total += a[k] * w[k];
  return total;
}

}  // namespace

// delta[b, n, j] = sum_k bases[n, j, k] weights[b, k], for rows = 9 N.
AV_API int av_combine(int threads, int batch, int rows, int k, const float* bases, const float* weights, float* delta) {
  parallel(threads, (rows + kRowsPerTask - 1) / kRowsPerTask, [&](int task, int) {
    const int end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int r = task * kRowsPerTask; r < end; r++)
      for (int b = 0; b < batch; b++) delta[(size_t)b * rows + r] = dot_row(bases + (size_t)r * k, weights + (size_t)b * k, k);
  });
  return kOk;
}

// g_weights[b, k] = sum over rows of g_delta * bases; g_bases (may be null) = sum over b of g_delta * weights.
AV_API int av_combine_backward(int threads, int batch, int rows, int k, const float* bases, const float* weights,
                               const float* g_delta, float* g_weights, float* g_bases) {
  return guarded([&] {
    const int tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
    std::vector<float> partial((size_t)tasks * batch * k, 0.0f);
    parallel(threads, tasks, [&](int task, int) {
      const int end = std::min(rows, (task + 1) * kRowsPerTask);
      for (int b = 0; b < batch; b++) {
        float* sums = &partial[((size_t)task * batch + b) * k];
        for (int r = task * kRowsPerTask; r < end; r++) {
          const float g = g_delta[(size_t)b * rows + r];
          const float* row = bases + (size_t)r * k;
          for (int j = 0; j < k; j++) sums[j] += g * row[j];
        }
      }
      if (!g_bases) return;
      for (int r = task * kRowsPerTask; r < end; r++) {
        float* row = g_bases + (size_t)r * k;
        for (int j = 0; j < k; j++) row[j] = 0.0f;
        for (int b = 0; b < batch; b++)
          for (int j = 0; j < k; j++) row[j] += g_delta[(size_t)b * rows + r] * weights[(size_t)b * k + j];
      }
    });
    for (int i = 0; i < batch * k; i++) {
      double total = 0.0;
      for (int task = 0; task < tasks; task++) total += partial[(size_t)task * batch * k + i];
      g_weights[i] = (float)total;
    }
    return (int)kOk;
  });
}

// One step on param [n, columns], each column with its own rate.
AV_API int av_adam(int threads, long long n, int columns, float* param, const float* grad, float* m, float* v,
                   const float* lr, int step, float beta1, float beta2, float eps) {
  return guarded([&] {
    const Adam k = adam_of(step, beta1, beta2, eps);
    // Rates repeat every `columns` floats; a block of columns * kLanes floats holds whole periods.
    const int period = columns * kLanes;
    std::vector<float> rate(period);
    for (int i = 0; i < period; i++) rate[i] = lr[i % columns];
    const long long total = n * columns, block = (long long)period * std::max(1, 8192 / period);
    parallel(threads, (int)((total + block - 1) / block), [&](int task, int) {
      long long i = task * block;
      const long long end = std::min(total, i + block);
      for (int at = 0; i + kLanes <= end; i += kLanes) {
        adam_vector(k, param + i, m + i, v + i, load(grad + i), load(&rate[at]));
        at = at + kLanes == period ? 0 : at + kLanes;
      }
      for (; i < end; i++) adam_scalar(k, param[i], m[i], v[i], grad[i], lr[i % columns]);
    });
    return (int)kOk;
  });
}

// One step on bases [rows = 9 N, K] for the gradient g_delta[row] * weights[k], which is never stored.
AV_API int av_adam_outer(int threads, int rows, int columns, float* bases, float* m, float* v, const float* g_delta,
                         const float* weights, const float* lr, int step, float beta1, float beta2, float eps) {
  const Adam a = adam_of(step, beta1, beta2, eps);
  parallel(threads, (rows + kRowsPerTask - 1) / kRowsPerTask, [&](int task, int) {
    const int end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int r = task * kRowsPerTask; r < end; r++) {
      const float g = g_delta[r], rate = lr[r % 9];
      const size_t at = (size_t)r * columns;
      int k = 0;
      for (; k + kLanes <= columns; k += kLanes)
        adam_vector(a, bases + at + k, m + at + k, v + at + k, load(weights + k) * g, broadcast(rate));
      for (; k < columns; k++) adam_scalar(a, bases[at + k], m[at + k], v[at + k], g * weights[k], rate);
    }
  });
  return kOk;
}
