// A z-buffer for triangle meshes on a CPU.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gs_base.h"
#include "pool.h"
#include "api.h"

using namespace gs;

namespace {

constexpr int kBand = 16;  // rows a task

struct Triangle { float x0, x1, y0, y1; double inverse_area; };

struct Out { int* face; float *barycentric, *depth; };

void draw(const float* points, const int* corner, int face, const Triangle& t, int width, int row0, int row1, const Out& out) {
  const float *a = points + (size_t)corner[0] * 3, *b = points + (size_t)corner[1] * 3, *c = points + (size_t)corner[2] * 3;
  const int y0 = std::max(row0, (int)std::ceil(std::max(t.y0 - 0.5f, (float)row0)));
  const int y1 = std::min(row1 - 1, (int)std::floor(std::min(t.y1 - 0.5f, (float)row1)));
  const int x0 = (int)std::ceil(std::max(t.x0 - 0.5f, 0.0f));
  const int x1 = std::min(width - 1, (int)std::floor(std::min(t.x1 - 0.5f, (float)width)));
  const double ia = 1.0 / a[2], ib = 1.0 / b[2], ic = 1.0 / c[2];
  for (int y = y0; y <= y1; y++)
    for (int x = x0; x <= x1; x++) {
      const double px = x + 0.5, py = y + 0.5;
      const double u = ((c[0] - (double)b[0]) * (py - b[1]) - (c[1] - (double)b[1]) * (px - b[0])) * t.inverse_area;
      const double v = ((a[0] - (double)c[0]) * (py - c[1]) - (a[1] - (double)c[1]) * (px - c[0])) * t.inverse_area;
      const double w = 1.0 - u - v;
      if (u < 0.0 || v < 0.0 || w < 0.0) continue;
      const double z = 1.0 / (u * ia + v * ib + w * ic);  // depth is linear in the plane, 1/depth on the screen
      const size_t at = (size_t)y * width + x;
      if (!((float)z < out.depth[at])) continue;  // equal depths: the first face stays
      out.depth[at] = (float)z;
      out.face[at] = face;
      float* o = out.barycentric + at * 3;
      o[0] = (float)(u * ia * z);
      o[1] = (float)(v * ib * z);
      o[2] = (float)(w * ic * z);
    }
}

}  // namespace

// points [V, 3]: x px, y px, depth. Faces with a corner not beyond `near`, not finite or out of range are skipped.
AV_API int av_mesh(int threads, int vertex_count, int face_count, int width, int height, const float* points, const int* faces,
                   float near, int* face, float* barycentric, float* depth) {
  return guarded([&] {
    const Out out = {face, barycentric, depth};
    const int bands = (height + kBand - 1) / kBand;
    std::vector<Triangle> triangles(face_count);
    std::vector<std::vector<int>> lists(bands);
    for (int f = 0; f < face_count; f++) {
      const int* k = faces + (size_t)f * 3;
      bool good = true;
      for (int i = 0; i < 3; i++) good = good && k[i] >= 0 && k[i] < vertex_count;
      if (!good) continue;
      const float *a = points + (size_t)k[0] * 3, *b = points + (size_t)k[1] * 3, *c = points + (size_t)k[2] * 3;
      for (int i = 0; i < 3; i++) good = good && a[i] - a[i] + b[i] - b[i] + c[i] - c[i] == 0.0f;
      const double area = ((double)b[0] - a[0]) * ((double)c[1] - a[1]) - ((double)b[1] - a[1]) * ((double)c[0] - a[0]);
      if (!good || !(a[2] > near && b[2] > near && c[2] > near) || area == 0.0) continue;
      Triangle& t = triangles[f];
      t = {std::min({a[0], b[0], c[0]}), std::max({a[0], b[0], c[0]}), std::min({a[1], b[1], c[1]}), std::max({a[1], b[1], c[1]}), 1.0 / area};
      if (t.x1 < 0.0f || t.x0 > width || t.y1 < 0.0f || t.y0 > height) continue;
      const int first = (int)std::max(t.y0, 0.0f) / kBand, last = (int)std::min(t.y1, height - 1.0f) / kBand;
      for (int i = first; i <= last && i < bands; i++) lists[i].push_back(f);
    }
    parallel(threads, bands, [&](int band, int) {
      const int row0 = band * kBand, row1 = std::min(height, row0 + kBand);
      const size_t begin = (size_t)row0 * width, end = (size_t)row1 * width;
      std::fill(face + begin, face + end, -1);
      std::fill(barycentric + begin * 3, barycentric + end * 3, 0.0f);
      std::fill(depth + begin, depth + end, INFINITY);
      for (int f : lists[band]) draw(points, faces + (size_t)f * 3, f, triangles[f], width, row0, row1, out);
      for (size_t i = begin; i < end; i++)
        if (face[i] < 0) depth[i] = 0.0f;
    });
    return (int)kOk;
  });
}
