/// @file
/// What a sync policy asks of a plan. Layer: plan.
#pragma once

#include <rlhf/parallel/layout.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::plan {

/// How bytes get from source ranks to destination ranks.
enum class Route : std::uint8_t {
  point_to_point,  ///< Every destination rank gets its own bytes from one source rank.
  broadcast,       ///< Ranks that need the same bytes get them in one broadcast.
  two_stage,       ///< To one rank of each group of destination ranks, which passes them on.
  hierarchical,    ///< Into each domain of the topology once, striped over its ranks, then inside.
  automatic,       ///< Of all but two_stage, and of bucket sizes up to the given one, what is
                   ///< predicted to be quickest.
};

[[nodiscard]] constexpr std::string_view to_string(Route route) noexcept {
  constexpr std::string_view names[] = {"point_to_point", "broadcast", "two_stage", "hierarchical",
                                        "automatic"};
  return names[static_cast<int>(route)];
}

/// Which of several ranks that hold the same bytes sends them.
enum class SourceChoice : std::uint8_t {
  balanced,  ///< The one with the fewest bytes to send so far, largest pieces first.
  paired,    ///< Destination replica r takes from source replica r modulo their number, and from
             ///< the tensor rank above it: the reference's pairing.
};

/// What a policy decides about a plan.
struct Options {
  Route route = Route::point_to_point;
  SourceChoice choice = SourceChoice::balanced;
  std::int64_t bucket_bytes = std::int64_t{64} << 20;
  int slots = 4;  ///< Buckets that a rank stages at most; an even number.

  /// Bytes of staging memory that no rank exceeds.
  [[nodiscard]] constexpr std::int64_t staging_bytes() const noexcept {
    return slots * bucket_bytes;
  }
};

/// Why a route cannot serve a pair of layouts.
enum class PairFault : std::uint8_t { none, tensor_not_multiple, pipeline_not_multiple };

/// What keeps the two-stage route from serving a pair: it forwards inside the group of destination
/// tensor ranks that share one source tensor rank, so those groups must exist.
[[nodiscard]] constexpr PairFault two_stage_fault(Layout const& source,
                                                  Layout const& destination) noexcept {
  if (destination.tensor % source.tensor != 0) {
    return PairFault::tensor_not_multiple;
  }
  if (source.pipeline % destination.pipeline != 0) {
    return PairFault::pipeline_not_multiple;
  }
  return PairFault::none;
}

/// A sentence about such a fault.
template <class = void>
[[nodiscard]] std::string describe(PairFault fault, Layout const& source,
                                   Layout const& destination) {
  if (fault == PairFault::tensor_not_multiple) {
    return text(
        "sync::TwoStage needs a destination tensor size that is a multiple of the source's; "
        "got source ",
        source.tensor, ", destination ", destination.tensor,
        "; use sync::PointToPoint or sync::Broadcast");
  }
  if (fault == PairFault::pipeline_not_multiple) {
    return text(
        "sync::TwoStage needs a source pipeline size that is a multiple of the "
        "destination's; got source ",
        source.pipeline, ", destination ", destination.pipeline,
        "; use sync::PointToPoint or sync::Broadcast");
  }
  return "the layouts fit";
}

}  // namespace rlhf::inline v0::plan
