// A clock that stands still until a test moves it; every thread has its own.
#pragma once

#include <cstdint>

struct StillClock final {
  [[nodiscard]] static std::int64_t now() noexcept { return time; }
  [[nodiscard]] static std::uint64_t id() noexcept { return which; }
  static inline thread_local std::int64_t time = 0;
  static inline thread_local std::uint64_t which = 0;
};
