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
    }
    wake_.notify_all();
    drain(job, 0);
    // A helper that a busy machine has not let wake up yet is not waited for: it finds the job closed.
    std::unique_lock<std::mutex> lock(mutex_);
    open_ = false;
    done_.wait(lock, [this] { return active_ == 0; });
  }

 private:
  void drain(const Job& job, int worker) {
    for (int task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < job.tasks;) job.body(job.context, task, worker);
  }

  void work(int worker, uint64_t seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (!open_ || worker > helpers_) continue;
      active_++;
      const Job job = job_;
      lock.unlock();
      drain(job, worker);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  std::atomic<int> next_{0};
  Job job_{};
  int helpers_ = 0, active_ = 0;
  bool open_ = false;
  uint64_t generation_ = 0;
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
