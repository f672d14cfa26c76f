/// @file
/// What a setting may be: ranges of numbers, choices of words. Layer: config.
///
/// A section of a configuration is a plain struct with one table of its keys:
///
///     struct Optimizer {
///       double learning_rate = 1e-6;
///       std::int64_t warmup_steps = 0;
///       bool operator==(Optimizer const&) const = default;
///
///       template <class Self, class Visit>
///       static void fields(Self& self, Visit&& visit) {
///         visit("learning_rate", self.learning_rate, config::between(0.0, 1.0), "step size");
///         visit("warmup_steps", self.warmup_steps, config::at_least(0), "steps of warm-up");
///       }
///     };
///
/// Reading, writing, the schema, the fingerprint and overrides all go through that table. Members
/// may be bool, int, std::int64_t, double, std::string, enumerations with `Choices`, optionals of
/// those (null: none), lists of numbers or texts, lists of lists of texts, sections, `Named`
/// sections and `Value` (anything).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rlhf::inline v0::config {

/// The words of an enumeration whose values count from 0, in order: `static constexpr
/// std::string_view names[]`. Specialize it for enumerations of your own.
template <class E>
struct Choices;

template <class E>
concept HasChoices = requires {
  { Choices<E>::names[0] } -> std::convertible_to<std::string_view>;
};

/// The word of a value.
template <HasChoices E>
[[nodiscard]] constexpr std::string_view word_of(E value) noexcept {
  return Choices<E>::names[static_cast<std::size_t>(value)];
}

/// What a setting may be. Of lists: each element.
struct Limits {
  std::int64_t least = INT64_MIN;  ///< Of whole numbers; of texts: how many letters.
  std::int64_t most = INT64_MAX;
  double least_real = -1e308;  ///< Of numbers with a fraction.
  double most_real = 1e308;
  bool below_most = false;  ///< Of numbers with a fraction: `most_real` itself is too much.
  bool required = false;    ///< The key must be there.
};

[[nodiscard]] constexpr Limits anything() noexcept {
  return {};
}
[[nodiscard]] constexpr Limits at_least(std::int64_t least) noexcept {
  return {.least = least};
}
/// Both ends included; of two whole numbers, or of numbers with a fraction where one of them is.
template <class A, class B>
[[nodiscard]] constexpr Limits between(A least, B most) noexcept {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
    return {.least = least, .most = most};
  } else {
    return {.least_real = static_cast<double>(least), .most_real = static_cast<double>(most)};
  }
}
/// From `least` up to, but not including, `most`.
[[nodiscard]] constexpr Limits up_to(double least, double most) noexcept {
  return {.least_real = least, .most_real = most, .below_most = true};
}
/// A text that is not empty, under a key that must be there.
[[nodiscard]] constexpr Limits required_name() noexcept {
  return {.least = 1, .required = true};
}

}  // namespace rlhf::inline v0::config
