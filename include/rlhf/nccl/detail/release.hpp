/// @file
/// Gives things back without waiting for ever. Layer: nccl, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/nccl/detail/backoff.hpp>

#include <atomic>
#include <new>

#include <nccl.h>

#include <pthread.h>

namespace rlhf::inline v0::nccl::detail {

/// Runs something that may never return on a thread of its own. When it does not end in time, the
/// thread is left behind with what it works on.
///
/// For `ncclCommAbort` and `ncclCommDestroy`, which take from 0.1 s to for ever (a captured graph
/// that is still alive, a driver that hangs), and for `cudaFree`, which waits for everything on its
/// device.
class Release {
 public:
  using Run = void (*)(void*);

  Release() noexcept = default;
  Release(Run run, void* object) noexcept {
    if (object == nullptr) {
      return;
    }
    job_ = new (std::nothrow) Job{run, object};
    if (job_ == nullptr || pthread_create(&thread_, nullptr, &Release::start, job_) != 0) {
      delete job_;
      job_ = nullptr;
      lost_ = true;
    }
  }
  static Release aborting(ncclComm_t comm) noexcept {
    return {[](void* object) { static_cast<void>(ncclCommAbort(static_cast<ncclComm_t>(object))); },
            comm};
  }
  static Release destroying(ncclComm_t comm) noexcept {
    return {
        [](void* object) { static_cast<void>(ncclCommDestroy(static_cast<ncclComm_t>(object))); },
        comm};
  }

  /// Waits until it has ended. False where it was left behind.
  [[nodiscard]] bool finish(Deadline const& deadline) noexcept {
    if (job_ == nullptr) {
      return !lost_;
    }
    while (job_->state.load(std::memory_order_acquire) == State::running) {
      if (deadline.passed()) {
        State expected = State::running;
        if (job_->state.compare_exchange_strong(expected, State::abandoned)) {
          pthread_detach(thread_);
          job_ = nullptr;
          lost_ = true;
          return false;
        }
        break;  // it ended just now
      }
      sleep_nanoseconds(200'000);
    }
    pthread_join(thread_, nullptr);
    delete job_;
    job_ = nullptr;
    return true;
  }

 private:
  enum class State : unsigned char { running, done, abandoned };
  struct Job {
    Run run;
    void* object;
    std::atomic<State> state{State::running};
  };

  static void* start(void* job_pointer) noexcept {
    Job* const job = static_cast<Job*>(job_pointer);
    job->run(job->object);
    State expected = State::running;
    if (!job->state.compare_exchange_strong(expected, State::done)) {
      delete job;  // nobody waits any more
    }
    return nullptr;
  }

  Job* job_ = nullptr;
  pthread_t thread_{};
  bool lost_ = false;
};

}  // namespace rlhf::inline v0::nccl::detail
