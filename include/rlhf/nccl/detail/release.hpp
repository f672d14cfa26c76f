/// @file
/// Gives NCCL communicators back without waiting for ever. Layer: nccl, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/nccl/detail/backoff.hpp>

#include <atomic>
#include <new>

#include <nccl.h>

#include <pthread.h>

namespace rlhf::inline v0::nccl::detail {

/// How a communicator ends.
enum class Ending : unsigned char { abort, destroy };

/// `ncclCommAbort` and `ncclCommDestroy` take from 0.1 s to for ever (a captured graph that is
/// still alive, a driver that hangs), so they run on a thread of their own. One that does not end
/// in time is left behind with its communicator.
class Release {
 public:
  Release() noexcept = default;
  Release(ncclComm_t comm, Ending ending) noexcept {
    if (comm == nullptr) {
      return;
    }
    job_ = new (std::nothrow) Job{comm, ending};
    if (job_ == nullptr || pthread_create(&thread_, nullptr, &Release::run, job_) != 0) {
      delete job_;
      job_ = nullptr;
      lost_ = true;
    }
  }

  /// Waits until the communicator is gone. False where it was left behind.
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
    ncclComm_t comm;
    Ending ending;
    std::atomic<State> state{State::running};
  };

  static void* run(void* job_pointer) noexcept {
    Job* const job = static_cast<Job*>(job_pointer);
    if (job->ending == Ending::abort) {
      static_cast<void>(ncclCommAbort(job->comm));
    } else {
      static_cast<void>(ncclCommDestroy(job->comm));
    }
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
