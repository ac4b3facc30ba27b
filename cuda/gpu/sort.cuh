// Sorts a tile's list by its 64-bit keys: in shared memory where it fits, else in pieces that are merged in global
// memory. Keys are unique, so the result does not depend on the order of arrival.
#pragma once
#include "device.cuh"

namespace gs {
namespace gpu {

constexpr u32 kSortShared = 2048;  // keys in shared memory: 16 KB, twice
constexpr u32 kMergeItems = 16;    // keys that a thread merges in one go in global memory

// Sorts one key a lane, ascending (bitonic, Batcher 1968).
GS_DEVICE u64 sort_warp(u64 key) {
  const u32 lane = threadIdx.x & 31;
#pragma unroll
  for (u32 run = 2; run <= 32; run <<= 1)
#pragma unroll
    for (u32 distance = run >> 1; distance; distance >>= 1) {
      const u64 other = __shfl_xor_sync(kAll, key, distance);
      const bool lower = ((lane & distance) == 0) == ((lane & run) == 0);
      if ((other < key) == lower) key = other;
    }
  return key;
}

// How many of the sorted keys[0 .. length) come before `key`, and with `equal` those that are the same; length <= run,
// a power of two. Every lane takes as many steps.
GS_DEVICE u32 rank_in(const u64* keys, u32 length, u32 run, u64 key, bool equal) {
  u32 rank = 0;
  for (u32 step = run; step; step >>= 1) {
    if (rank + step > length) continue;
    const u64 other = keys[rank + step - 1];
    if (other < key || (equal && other == key)) rank += step;
  }
  return rank;
}

// Sorts list[0 .. n), n <= kSortShared, in shared memory: runs of a warp's 32 keys, then pairs of runs are merged by
// finding each key's rank in the other run. Returns where the sorted keys lie: a or b.
GS_DEVICE u64* sort_piece(const u64* list, u32 n, u64* a, u64* b) {
  const u32 size = (n + 31) / 32 * 32;
  for (u32 i = threadIdx.x; i < size; i += kThreads) a[i] = sort_warp(i < n ? list[i] : ~0ull);
  __syncthreads();
  for (u32 run = 32; run < size; run <<= 1) {
    for (u32 i = threadIdx.x; i < size; i += kThreads) {
      const u32 base = i & ~(2 * run - 1), right = i & run, other = right ? base : least(base + run, size);
      const u64 key = a[i];
      b[(i & ~run) + rank_in(a + other, least(run, size - other), run, key, right != 0)] = key;
    }
    __syncthreads();
    u64* const swap = a;
    a = b;
    b = swap;
  }
  return a;
}

// How many of the first `take` keys of the merged runs a and b come from a.
GS_DEVICE u32 merge_split(const u64* a, u32 na, const u64* b, u32 nb, u32 take) {
  u32 low = take > nb ? take - nb : 0, high = take < na ? take : na;
  while (low < high) {
    const u32 middle = (low + high) >> 1;
    if (a[middle] < b[take - 1 - middle]) low = middle + 1;
    else high = middle;
  }
  return low;
}

GS_DEVICE void merge_runs(const u64* from, u64* to, u32 n, u32 run) {
  for (u32 first = threadIdx.x * kMergeItems; first < n; first += kThreads * kMergeItems) {
    const u32 base = first / (2 * run) * (2 * run);  // kMergeItems divides run: a thread never crosses two pairs
    const u32 na = least(run, n - base), nb = least(run, n - base - na), take = first - base;
    const u64 *a = from + base, *b = a + na;
    u32 i = merge_split(a, na, b, nb, take), j = take - i;
    const u32 end = least(first + kMergeItems, least(base + 2 * run, n));
    for (u32 k = first; k < end; k++) {
      const bool left = j >= nb || (i < na && a[i] < b[j]);
      to[k] = left ? a[i++] : b[j++];
    }
  }
}

// Sorts list[0 .. n) of any length in place, through `spare` of the same length; a and b are shared scratch.
GS_DEVICE void sort_long(u64* list, u64* spare, u32 n, u64* a, u64* b) {
  for (u32 first = 0; first < n; first += kSortShared) {
    const u32 length = least(kSortShared, n - first);
    const u64* sorted = sort_piece(list + first, length, a, b);
    for (u32 i = threadIdx.x; i < length; i += kThreads) list[first + i] = sorted[i];
    __syncthreads();
  }
  u64 *from = list, *to = spare;
  for (u64 run = kSortShared; run < n; run *= 2) {
    merge_runs(from, to, n, (u32)run);
    __syncthreads();
    u64* const swap = from;
    from = to;
    to = swap;
  }
  if (from == list) return;
  for (u32 i = threadIdx.x; i < n; i += kThreads) list[i] = from[i];
  __syncthreads();
}

}  // namespace gpu
}  // namespace gs
