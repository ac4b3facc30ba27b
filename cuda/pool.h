// The library's own threads. Work is cut into tasks whose results do not depend on which thread runs them.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>
#include <type_traits>

namespace gs {

// Calls body(context, task, worker) for every task in [0, tasks), worker in [0, threads). The caller works too.
// A call made while another thread uses the pool runs on the caller alone. The body must not throw.
void run_tasks(int threads, int tasks, void (*body)(void*, int, int), void* context);

template <class Body> void parallel(int threads, int tasks, Body&& body) {
  auto call = [](void* context, int task, int worker) { (*static_cast<std::remove_reference_t<Body>*>(context))(task, worker); };
  run_tasks(threads, tasks, call, &body);
}

// Uninitialised aligned memory that only grows.
template <class T> class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }
  T* reserve(size_t count) {
    if (count > capacity_) {
      if (count > (size_t(1) << 46) / sizeof(T)) throw std::bad_alloc();
      std::free(data_);
      capacity_ = 0;
      const size_t bytes = (count + count / 4) * sizeof(T);
      data_ = static_cast<T*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
      if (!data_) throw std::bad_alloc();
      capacity_ = count + count / 4;
    }
    return data_;
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace gs
