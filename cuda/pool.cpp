#include "pool.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace gs {
namespace {

// A call consists of several short jobs: who waits for the next one looks out for some 30 us before it goes to sleep,
// because waking up costs as much.
constexpr int kGlances = 1000;

template <class Ready> bool glance(const Ready& ready) {
  for (int i = 0; i < kGlances; i++) {
    if (ready()) return true;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  return false;
}

struct Job {
  void (*body)(void*, int, int);
  void* context;
  int tasks;
};

class Pool {
 public:
  std::mutex owner;
  const pid_t process = getpid();

  void run(int threads, const Job& job) {
    const int helpers = threads - 1;
    bool asleep;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while ((int)workers_.size() < helpers) {
        const int worker = (int)workers_.size() + 1;
        const uint64_t seen = generation_;
        workers_.emplace_back([this, worker, seen] { work(worker, seen); });
        workers_.back().detach();  // they sleep until the process ends
      }
      job_ = job;
      next_.store(0, std::memory_order_relaxed);
      helpers_ = helpers;
      open_ = true;
      generation_++;
      asleep = asleep_ > 0;
    }
    if (asleep) wake_.notify_all();
    drain(job, 0);
    // A helper that a busy machine has not let wake up yet is not waited for: it finds the job closed.
    {
      std::lock_guard<std::mutex> lock(mutex_);
      open_ = false;
    }
    const auto done = [this] { return active_ == 0; };
    if (glance(done)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, done);
  }

 private:
  void drain(const Job& job, int worker) {
    for (int task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < job.tasks;) job.body(job.context, task, worker);
  }

  void work(int worker, uint64_t seen) {
    const auto called = [&] { return generation_ != seen; };
    for (;;) {
      const bool soon = glance(called);
      std::unique_lock<std::mutex> lock(mutex_);
      asleep_++;
      if (!soon) wake_.wait(lock, called);
      asleep_--;
      seen = generation_;
      if (!open_ || worker > helpers_) continue;
      active_++;
      const Job job = job_;
      lock.unlock();
      drain(job, worker);
      lock.lock();
      if (--active_ == 0) done_.notify_one();  // under the lock: the caller cannot miss it between its look and its sleep
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  std::atomic<int> next_{0};
  Job job_{};
  int helpers_ = 0, asleep_ = 0;
  bool open_ = false;
  std::atomic<int> active_{0};
  std::atomic<uint64_t> generation_{0};
};

// Never destroyed: sleeping workers may outlive static destructors. A forked child has no workers and makes a new pool.
std::atomic<Pool*> current{nullptr};
std::mutex making;

Pool& pool() {
  Pool* p = current.load(std::memory_order_acquire);
  if (p && p->process == getpid()) return *p;
  std::lock_guard<std::mutex> lock(making);
  p = current.load(std::memory_order_acquire);
  if (!p || p->process != getpid()) {
    p = new Pool();
    current.store(p, std::memory_order_release);
  }
  return *p;
}

}  // namespace

void run_tasks(int threads, int tasks, void (*body)(void*, int, int), void* context) {
  if (threads > tasks) threads = tasks;
  if (threads > 1) {
    Pool& p = pool();
    std::unique_lock<std::mutex> mine(p.owner, std::try_to_lock);
    if (mine.owns_lock()) return p.run(threads, {body, context, tasks});
  }
  for (int task = 0; task < tasks; task++) body(context, task, 0);
}

}  // namespace gs
