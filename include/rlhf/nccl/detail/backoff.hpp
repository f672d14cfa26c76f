/// @file
/// Pauses of loops that look for the end of something. Layer: nccl, private.
#pragma once

#include <sched.h>
#include <time.h>

namespace rlhf::inline v0::nccl::detail {

inline void sleep_nanoseconds(long nanoseconds) noexcept {
  timespec const time{0, nanoseconds};
  nanosleep(&time, nullptr);
}

/// Longer and longer pauses: a call that ends soon is noticed soon, one that does not costs
/// nothing.
class Backoff {
 public:
  void pause() noexcept {
    ++turns_;
    if (turns_ < 2'000) {
      sched_yield();
    } else {
      sleep_nanoseconds(turns_ < 4'000 ? 20'000 : 200'000);
    }
  }

 private:
  int turns_ = 0;
};

}  // namespace rlhf::inline v0::nccl::detail
