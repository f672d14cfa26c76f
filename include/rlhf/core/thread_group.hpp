/// @file
/// Threads that run one function object and are joined by their owner. Layer: core.
#pragma once

#include <rlhf/core/system_error.hpp>

#include <cstddef>
#include <vector>

#include <pthread.h>

namespace rlhf::inline v0 {

/// Threads that each call `body(index)`, index 0, 1, ... in the order they were started.
///
/// @tparam Body Called at the same time by all threads; must not throw. Outlives the group.
/// The destructor waits until every thread has returned, so its owner says first that they should.
/// Thread safety: one owner.
template <class Body>
class ThreadGroup {
 public:
  explicit ThreadGroup(Body& body) noexcept : body_(&body) {}
  ThreadGroup(ThreadGroup const&) = delete;
  ThreadGroup& operator=(ThreadGroup const&) = delete;
  ~ThreadGroup() { join(); }

  /// Starts `count` threads. Errors: io when the system refuses one; those before it run.
  void start(int count) {
    seats_.resize(static_cast<std::size_t>(count));  // before the first thread has the address
    for (int i = 0; i < count; ++i) {
      Seat& seat = seats_[static_cast<std::size_t>(i)];
      seat.body = body_;
      seat.index = i;
      if (int const error = pthread_create(&seat.thread, nullptr, &run, &seat); error != 0) {
        fail_system("start a", "thread", error);
      }
      ++started_;
    }
  }
  /// Waits until all have returned.
  void join() noexcept {
    for (; started_ > 0; --started_) {
      pthread_join(seats_[static_cast<std::size_t>(started_ - 1)].thread, nullptr);
    }
  }

 private:
  struct Seat {
    Body* body = nullptr;
    int index = 0;
    pthread_t thread{};
  };
  static void* run(void* seat) noexcept {
    Seat const& own = *static_cast<Seat const*>(seat);
    (*own.body)(own.index);
    return nullptr;
  }

  Body* body_;
  std::vector<Seat> seats_;
  int started_ = 0;
};

}  // namespace rlhf::inline v0
