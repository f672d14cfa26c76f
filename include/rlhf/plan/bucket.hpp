/// @file
/// What moves together. Layer: plan.
#pragma once

#include <rlhf/tensor/box.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan {

/// A box of a parameter that moves as one.
struct Piece {
  std::int32_t parameter = 0;
  Box box{};

  bool operator==(Piece const&) const = default;
};

/// Bytes of one flow that move together, pieces one after the other.
struct Bucket {
  std::int32_t flow = 0;   ///< Index into `Schedule::flows`.
  std::int32_t round = 0;  ///< Its number in the flow.
  std::int64_t bytes = 0;
  std::vector<Piece> pieces;
  std::int32_t turn = 0;  ///< Its place in the order of all ranks (plan/turns.hpp).

  bool operator==(Bucket const&) const = default;
};

}  // namespace rlhf::inline v0::plan
