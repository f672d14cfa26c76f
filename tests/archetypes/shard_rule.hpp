// The least that a user may write for the cut of a parameter.
#pragma once

#include <rlhf/parallel/shard.hpp>

namespace archetype {

/// Rows over the tensor axis in turn: rank t of n holds rows t, t + n, ...; no stock shard can say
/// so.
struct EveryNthRow {
  EveryNthRow() = default;
  EveryNthRow(EveryNthRow const&) = delete;
  EveryNthRow& operator=(EveryNthRow const&) = delete;

  rlhf::Holding holding(rlhf::Shape const& local, rlhf::Layout const& layout,
                        rlhf::Coordinate const& at) const {
    rlhf::Holding holding;
    holding.global = {local[0] * layout.tensor, local[1]};
    for (std::int64_t row = 0; row < local[0]; ++row) {
      holding.boxes.push_back(
          rlhf::HeldBox{rlhf::Box{{row * layout.tensor + at.tensor, 0}, {1, local[1]}}, {row, 0}});
    }
    return holding;
  }
};

}  // namespace archetype
