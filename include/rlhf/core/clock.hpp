/// @file
/// Steady time and deadlines, without the cost of <chrono>. Layer: core.
#pragma once

#include <rlhf/core/units.hpp>

#include <cstdint>

#include <time.h>

namespace rlhf::inline v0 {

/// Nanoseconds of the monotonic clock. For differences only.
[[nodiscard]] inline std::int64_t steady_nanoseconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// A moment after which a wait gives up.
class Deadline {
 public:
  /// `timeout` from now. A timeout of zero or less has already passed.
  [[nodiscard]] static Deadline after(Milliseconds timeout) noexcept {
    return Deadline(steady_nanoseconds() + timeout.count * 1'000'000);
  }
  [[nodiscard]] bool passed() const noexcept { return steady_nanoseconds() >= at_; }
  [[nodiscard]] timespec as_timespec() const noexcept {
    timespec at{};
    at.tv_sec = static_cast<time_t>(at_ / 1'000'000'000);
    at.tv_nsec = static_cast<long>(at_ % 1'000'000'000);
    return at;
  }

 private:
  explicit Deadline(std::int64_t at) noexcept : at_(at) {}
  std::int64_t at_;
};

}  // namespace rlhf::inline v0
