/// @file
/// What each rank of a module holds: the input of a plan. Layer: plan.
#pragma once

#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <string>
#include <vector>

namespace rlhf::inline v0::plan {

/// One parameter of one rank: global name and shape, element type, the boxes held.
struct HeldParameter {
  std::string name;
  DType dtype = DType::f32;
  Holding holding;

  bool operator==(HeldParameter const&) const = default;
};

/// All parameters of one rank, in the order in which the model lists them.
struct RankDescription {
  int world_rank = 0;
  std::vector<HeldParameter> parameters;

  bool operator==(RankDescription const&) const = default;
};

/// One side of a sync: every rank of a module, in module rank order.
struct Description {
  Layout layout{};
  std::vector<RankDescription> ranks;

  bool operator==(Description const&) const = default;
};

}  // namespace rlhf::inline v0::plan
