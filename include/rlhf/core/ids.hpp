/// @file
/// Counters that must not be mixed up. Layer: core.
#pragma once

#include <compare>
#include <cstdint>

namespace rlhf::inline v0 {

/// A module's own iteration, from 0.
struct Step {
  std::int64_t value = 0;

  constexpr auto operator<=>(Step const&) const noexcept = default;
  constexpr Step& operator++() noexcept {
    ++value;
    return *this;
  }
};

/// One round of generation and training, from 0.
struct Episode {
  std::int64_t value = 0;

  constexpr auto operator<=>(Episode const&) const noexcept = default;
  constexpr Episode& operator++() noexcept {
    ++value;
    return *this;
  }
};

/// Which training step weights are from. Version 0 is what the source starts with.
struct Version {
  std::int64_t value = 0;

  constexpr auto operator<=>(Version const&) const noexcept = default;
};

}  // namespace rlhf::inline v0
