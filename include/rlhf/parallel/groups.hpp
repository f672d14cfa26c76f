/// @file
/// Communicators along each axis of a layout. Layer: parallel.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/parallel/layout.hpp>

namespace rlhf::inline v0 {

/// For one rank, the ranks that differ from it in one axis only (or in the axes named), in order of
/// that axis.
template <comm::Communicator C>
struct Groups {
  C tensor;
  C expert;
  C sharded;
  C data;
  C pipeline;
  C replica;     ///< All ranks of this rank's data index: one whole copy.
  C dense_data;  ///< Data and expert together: the ranks that hold the same non-expert shards.
};

/// The color that ranks share when they differ in the given axes only.
[[nodiscard]] constexpr int color_without(Layout const& layout, Coordinate at, Axis axis,
                                          Axis also) noexcept {
  auto const clear = [&at](Axis which) {
    switch (which) {
      case Axis::tensor:
        at.tensor = 0;
        break;
      case Axis::expert:
        at.expert = 0;
        break;
      case Axis::sharded:
        at.sharded = 0;
        break;
      case Axis::data:
        at.data = 0;
        break;
      case Axis::pipeline:
        at.pipeline = 0;
        break;
    }
  };
  clear(axis);
  clear(also);
  return layout.rank(at);
}

/// Splits a module's communicator along every axis. Collective: seven splits.
///
/// Errors: incompatible_policy where `comm` has another number of ranks than the layout.
template <comm::Communicator C>
[[nodiscard]] Groups<C> make_groups(C& comm, Layout const& layout) {
  Layout const fitted = layout.on_ranks(comm.size());
  int const rank = comm.rank();
  Coordinate const at = fitted.coordinate(rank);
  auto const along = [&](Axis axis, Axis also) {
    return comm.split(color_without(fitted, at, axis, also), rank);
  };
  // In this order on every rank: splits are collective.
  C tensor = along(Axis::tensor, Axis::tensor);
  C expert = along(Axis::expert, Axis::expert);
  C sharded = along(Axis::sharded, Axis::sharded);
  C data = along(Axis::data, Axis::data);
  C pipeline = along(Axis::pipeline, Axis::pipeline);
  C replica = comm.split(at.data, rank);
  C dense_data = along(Axis::data, Axis::expert);
  return Groups<C>{static_cast<C&&>(tensor),    static_cast<C&&>(expert),
                   static_cast<C&&>(sharded),   static_cast<C&&>(data),
                   static_cast<C&&>(pipeline),  static_cast<C&&>(replica),
                   static_cast<C&&>(dense_data)};
}

}  // namespace rlhf::inline v0
