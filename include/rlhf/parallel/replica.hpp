/// @file
/// How many copies of a model its ranks hold, by the reference's rules. Layer: parallel.
#pragma once

#include <rlhf/parallel/layout.hpp>

#include <cstdint>

namespace rlhf::inline v0 {

/// Whether a module trains (and is the source of weights) or only computes.
enum class Role : std::uint8_t { trainer, inference };

/// How a module's ranks form replicas: the units that prompts are dealt to.
struct Replicas {
  int count = 1;
  int ranks_each = 1;

  /// The replica that the rank at this coordinate belongs to.
  [[nodiscard]] constexpr int of(Coordinate const& at) const noexcept {
    return count == 1 ? 0 : at.data;
  }
  constexpr bool operator==(Replicas const&) const noexcept = default;
};

/// A trainer is one replica of all its ranks (its data parallelism is internal); an inference
/// module has one replica for each index of the data axis.
///
/// Errors: incompatible_policy where the layout does not fit that number of ranks.
[[nodiscard]] constexpr Replicas replicas(Layout const& layout, int ranks, Role role) {
  Layout const fitted = layout.on_ranks(ranks);
  if (role == Role::trainer) {
    return Replicas{1, ranks};
  }
  return Replicas{fitted.data, fitted.ranks_per_replica()};
}

}  // namespace rlhf::inline v0
