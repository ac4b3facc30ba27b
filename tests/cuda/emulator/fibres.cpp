// The emulator's scheduler. A fibre runs until it meets others; warps run one after the other up to the next barrier.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cuda.h"
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

extern "C" char __start_gs_shared[], __stop_gs_shared[];

namespace emulator {

Dim3 thread, block, block_size, grid_size;

namespace {

enum class State { kReady, kAtWarp, kAtBarrier, kDone };
constexpr size_t kStack = 128 << 10;

#if defined(__x86_64__)
// Saves what a function must keep, swaps stacks, and goes on where the other stack stopped.
asm(R"(
.text
.globl emulator_switch
.type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch, .-emulator_switch
)");
extern "C" void emulator_switch(void** from, void* to);
typedef void* Context;
#else
typedef ucontext_t Context;
#endif

struct Fibre {
  std::unique_ptr<char[]> stack;
  Context context;
  State state;
  Operation operation;
  unsigned mask;
  int line;
  int phase;
};
struct Warp { uint64_t words[2][32]; };

std::vector<Fibre> fibres;
std::vector<Warp> warps;
Context scheduler;
unsigned current, count;
bool votes, verdict;
const std::function<void()>* body;
std::string error;

void leave() {
#if defined(__x86_64__)
  emulator_switch(&fibres[current].context, scheduler);
#else
  swapcontext(&fibres[current].context, &scheduler);
#endif
}

void resume(unsigned i) {
  current = i;
  thread.x = i;
#if defined(__x86_64__)
  emulator_switch(&scheduler, fibres[i].context);
#else
  swapcontext(&scheduler, &fibres[i].context);
#endif
}

void entry() {
  (*body)();
  fibres[current].state = State::kDone;
  leave();
  std::abort();
}

void start(Fibre& f) {
  if (!f.stack) f.stack.reset(new char[kStack]);
  f.state = State::kReady;
  f.phase = 0;
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(f.stack.get()) + kStack) & ~(uintptr_t)63);
  *--top = nullptr;                           // a call leaves the stack 8 bytes past a multiple of 16
  *--top = reinterpret_cast<void*>(&entry);   // where the first switch returns to
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f.context = top;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.get();
  f.context.uc_stack.ss_size = kStack;
  f.context.uc_link = nullptr;
  makecontext(&f.context, entry, 0);
#endif
}

std::vector<unsigned> ordered(unsigned n, unsigned order) {
  std::vector<unsigned> list(n);
  std::iota(list.begin(), list.end(), 0u);
  if (order == 1) std::reverse(list.begin(), list.end());
  if (order > 1) std::shuffle(list.begin(), list.end(), std::mt19937(order));
  return list;
}

void report(const std::string& message) { if (error.empty()) error = message; }

// Runs one warp until all its lanes wait at a barrier or have finished.
void run_warp(unsigned warp, const std::vector<unsigned>& lanes) {
  const unsigned first = warp * 32, size = std::min(32u, count - first);
  for (;;) {
    for (unsigned lane : lanes)
      if (lane < size && fibres[first + lane].state == State::kReady) {
        resume(first + lane);
        if (!error.empty()) return;
      }
    unsigned waiting = 0;
    const Fibre* one = nullptr;
    for (unsigned lane = 0; lane < size; lane++) {
      const Fibre& f = fibres[first + lane];
      if (f.state != State::kAtWarp) continue;
      waiting |= 1u << lane;
      if (!one) one = &f;
      if (f.operation != one->operation || f.line != one->line || f.mask != one->mask)
        return report("lanes of a warp wait at different operations, lines " + std::to_string(one->line) + " and " + std::to_string(f.line));
    }
    if (!waiting) return;
    if (waiting != one->mask) return report("a warp operation is not reached by all its lanes, line " + std::to_string(one->line));
    for (unsigned lane = 0; lane < size; lane++) fibres[first + lane].state = State::kReady;
  }
}

void run_block(unsigned order) {
  const std::vector<unsigned> warp_order = ordered((count + 31) / 32, order), lanes = ordered(32, order);
  for (unsigned i = 0; i < count; i++) start(fibres[i]);
  std::memset(__start_gs_shared, 0xff, (size_t)(__stop_gs_shared - __start_gs_shared));
  for (;;) {
    votes = true;
    for (unsigned warp : warp_order) {
      run_warp(warp, lanes);
      if (!error.empty()) return;
    }
    unsigned waiting = 0;
    int line = 0;
    for (unsigned i = 0; i < count; i++) {
      if (fibres[i].state != State::kAtBarrier) continue;
      if (waiting++ && fibres[i].line != line)
        return report("threads wait at different barriers, lines " + std::to_string(line) + " and " + std::to_string(fibres[i].line));
      line = fibres[i].line;
    }
    if (!waiting) return;
    if (waiting < count) return report("a barrier is not reached by every thread, line " + std::to_string(line));
    verdict = votes;
    for (unsigned i = 0; i < count; i++) fibres[i].state = State::kReady;
  }
}

}  // namespace

void fail(const char* message, int line) {
  report(std::string(message) + ", line " + std::to_string(line));
  leave();
}

int barrier(bool vote, int line) {
  Fibre& f = fibres[current];
  votes &= vote;
  f.state = State::kAtBarrier;
  f.line = line;
  leave();
  return verdict;
}

const uint64_t* meet(unsigned mask, uint64_t word, Operation operation, int line) {
  Fibre& f = fibres[current];
  uint64_t* words = warps[current / 32].words[f.phase ^= 1];  // two sets: a lane may be one meeting ahead
  words[current & 31] = word;
  f.state = State::kAtWarp;
  f.operation = operation;
  f.mask = mask;
  f.line = line;
  leave();
  return words;
}

const char* run(Dim3 grid, unsigned threads, unsigned order, const std::function<void()>& kernel) {
  error.clear();
  count = threads;
  body = &kernel;
  if (fibres.size() < threads) fibres.resize(threads);
  warps.resize((threads + 31) / 32);
  block_size = {threads, 1, 1};
  grid_size = grid;
  for (unsigned i : ordered(grid.x * grid.y * grid.z, order)) {
    block = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
    run_block(order);
    if (!error.empty()) return error.c_str();
  }
  return nullptr;
}

}  // namespace emulator
