// A CUDA block on the CPU, for tests: every thread is a fibre with a stack of its own, one block runs at a time.
//
// Understood: barriers, full-warp shuffles, votes, shared memory, atomics on integers. Caught: a barrier or a warp
// operation that not every thread reaches, threads that wait at different ones or leave before one, shared memory
// read before it was written (it starts as NaN). A missing barrier shows as a result that changes with the order of
// the threads, which the caller chooses. Not seen: faults of the memory model between barriers, register use, speed.
// With one of the kernels' 29 barriers taken out, some test fails for 24 of them; the other five (in av_combine_backward and
// sort_list) wait for what another barrier, or the same thread, has settled already.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>

struct Dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(16) float4 { float x, y, z, w; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulator {

extern Dim3 thread, block, block_size, grid_size;

enum class Operation { kNone, kSync, kShuffle, kShuffleUp, kShuffleXor, kBallot };

int barrier(bool vote, int line);  // 1 where every vote was true
// Meets the other 31 lanes and returns everyone's word.
const uint64_t* meet(unsigned mask, uint64_t word, Operation operation, int line);
void fail(const char* message, int line);

// Orders: 0 ascending, 1 descending, else a shuffle with this seed; of blocks, of warps and of lanes. Returns null, or
// what went wrong.
const char* run(Dim3 grid, unsigned threads, unsigned order, const std::function<void()>& kernel);

template <class T> uint64_t word_of(T x) {
  static_assert(sizeof(T) <= 8, "one word at a time");
  uint64_t word = 0;
  std::memcpy(&word, &x, sizeof x);
  return word;
}
template <class T> T value_of(uint64_t word) {
  T x;
  std::memcpy(&x, &word, sizeof x);
  return x;
}
inline unsigned lane() { return thread.x & 31; }
template <class T> T shuffle(unsigned mask, T x, unsigned from, Operation operation, int line) {
  const uint64_t* words = meet(mask, word_of(x), operation, line);
  return from < 32 ? value_of<T>(words[from]) : x;
}
inline unsigned ballot(unsigned mask, bool vote, int line) {
  const uint64_t* words = meet(mask, vote, Operation::kBallot, line);
  unsigned bits = 0;
  for (int i = 0; i < 32; i++) bits |= (unsigned)words[i] << i;
  return bits;
}

}  // namespace emulator

#define threadIdx (emulator::thread)
#define blockIdx (emulator::block)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
#define __syncthreads() ((void)emulator::barrier(true, __LINE__))
#define __syncthreads_and(vote) (emulator::barrier(vote, __LINE__))
#define __syncwarp() ((void)emulator::meet(0xffffffffu, 0, emulator::Operation::kSync, __LINE__))
#define __shfl_sync(mask, x, from) (emulator::shuffle(mask, x, (from) & 31, emulator::Operation::kShuffle, __LINE__))
#define __shfl_xor_sync(mask, x, bit) (emulator::shuffle(mask, x, emulator::lane() ^ (unsigned)(bit), emulator::Operation::kShuffleXor, __LINE__))
#define __shfl_up_sync(mask, x, by) (emulator::shuffle(mask, x, emulator::lane() - (unsigned)(by), emulator::Operation::kShuffleUp, __LINE__))
#define __ballot_sync(mask, vote) (emulator::ballot(mask, vote, __LINE__))
#define __any_sync(mask, vote) (emulator::ballot(mask, vote, __LINE__) != 0)
#define __all_sync(mask, vote) (emulator::ballot(mask, vote, __LINE__) == 0xffffffffu)

inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline unsigned __float_as_uint(float x) { return emulator::value_of<unsigned>(emulator::word_of(x)); }
inline unsigned atomicAdd(unsigned* p, unsigned x) { const unsigned old = *p; *p += x; return old; }
inline unsigned atomicOr(unsigned* p, unsigned x) { const unsigned old = *p; *p |= x; return old; }
inline unsigned atomicMax(unsigned* p, unsigned x) { const unsigned old = *p; *p = old > x ? old : x; return old; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

namespace gs::gpu {
inline float exp2_fast(float x) { return std::exp2(x); }
inline float log2_fast(float x) { return std::log2(x); }
inline float reciprocal_fast(float x) { return 1.0f / x; }
inline void hide_origin(float&) {}
inline void hide_origin(unsigned&) {}
}  // namespace gs::gpu

#define GS_KERNEL(threads, blocks) extern "C" void
#define GS_SHARED static __attribute__((section("gs_shared")))
#define GS_DEVICE inline
#define GS_PARAMETER(Type) const Type&
