/// @file
/// Bytes and durations as types, with literals. Layer: core.
#pragma once

#include <compare>
#include <cstdint>

namespace rlhf::inline v0 {

/// A number of bytes. Structural, so it can be a template argument: `TwoStage<256_MiB>`.
struct Bytes {
  std::int64_t count = 0;

  constexpr auto operator<=>(Bytes const&) const noexcept = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) noexcept { return Bytes{a.count + b.count}; }
  friend constexpr Bytes operator*(Bytes a, std::int64_t n) noexcept { return Bytes{a.count * n}; }
};

/// A duration. Steady time; never a date.
struct Milliseconds {
  std::int64_t count = 0;

  constexpr auto operator<=>(Milliseconds const&) const noexcept = default;
};

namespace literals {

[[nodiscard]] consteval Bytes operator""_B(unsigned long long n) {
  return Bytes{static_cast<std::int64_t>(n)};
}
[[nodiscard]] consteval Bytes operator""_KiB(unsigned long long n) {
  return Bytes{static_cast<std::int64_t>(n) << 10};
}
[[nodiscard]] consteval Bytes operator""_MiB(unsigned long long n) {
  return Bytes{static_cast<std::int64_t>(n) << 20};
}
[[nodiscard]] consteval Bytes operator""_GiB(unsigned long long n) {
  return Bytes{static_cast<std::int64_t>(n) << 30};
}
[[nodiscard]] consteval Milliseconds operator""_ms(unsigned long long n) {
  return Milliseconds{static_cast<std::int64_t>(n)};
}
[[nodiscard]] consteval Milliseconds operator""_s(unsigned long long n) {
  return Milliseconds{static_cast<std::int64_t>(n) * 1000};
}

}  // namespace literals
}  // namespace rlhf::inline v0
