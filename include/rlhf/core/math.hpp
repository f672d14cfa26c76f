/// @file
/// Integer arithmetic that says when it does not fit. Layer: core.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>

#include <cstdint>
#include <type_traits>

namespace rlhf::inline v0 {

/// The smallest integer not below a / b. Requires a >= 0 and b > 0.
template <class Integer>
[[nodiscard]] RLHF_HOST_DEVICE constexpr Integer ceil_div(Integer a, Integer b) noexcept {
  return static_cast<Integer>(a / b + (a % b != 0 ? 1 : 0));
}

/// The smallest multiple of `alignment` not below `value`.
template <class Integer>
[[nodiscard]] RLHF_HOST_DEVICE constexpr Integer align_up(Integer value,
                                                          Integer alignment) noexcept {
  return static_cast<Integer>(ceil_div(value, alignment) * alignment);
}

/// a * b, or `Error{invalid_argument}` naming both where the product does not fit.
template <class Integer>
[[nodiscard]] constexpr Integer checked_multiply(
    Integer a, Integer b, SourceLocation location = SourceLocation::current()) {
  Integer product{};
  if (__builtin_mul_overflow(a, b, &product)) {
    fail(Errc::invalid_argument, text("the product of ", a, " and ", b, " does not fit"), -1,
         location);
  }
  return product;
}

/// The value as another integer type, or `Error{invalid_argument}` where it would change.
template <class To, class From>
[[nodiscard]] constexpr To narrow(From value, SourceLocation location = SourceLocation::current()) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  To const result = static_cast<To>(value);
  if (static_cast<From>(result) != value || ((result < To{}) != (value < From{}))) {
    fail(Errc::invalid_argument, text("the value ", value, " does not fit the narrower type"), -1,
         location);
  }
  return result;
}

/// Half-open range of indices.
struct IndexRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  [[nodiscard]] constexpr std::int64_t size() const noexcept { return end - begin; }
  constexpr bool operator==(IndexRange const&) const noexcept = default;
};

/// Part `index` of `total` things cut into `parts` contiguous ranges, the first `total % parts`
/// of them one longer. Requires 0 <= index < parts. Parts partition [0, total) in order.
[[nodiscard]] constexpr IndexRange split_evenly(std::int64_t total, std::int64_t parts,
                                                std::int64_t index) noexcept {
  std::int64_t const base = total / parts;
  std::int64_t const longer = total % parts;
  std::int64_t const begin = index * base + (index < longer ? index : longer);
  return IndexRange{begin, begin + base + (index < longer ? 1 : 0)};
}

}  // namespace rlhf::inline v0
