/// @file
/// What each rank of a module lists: the input of a placement. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
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
template <class T = void>
struct BasicRankDescription {
  int world_rank = 0;
  rlhf::detail::late_vector<HeldParameter, T> parameters;

  bool operator==(BasicRankDescription const&) const = default;
};
using RankDescription = BasicRankDescription<>;

/// One side of a sync: every rank of a module, in module rank order.
template <class T = void>
struct BasicDescription {
  Layout layout{};
  rlhf::detail::late_vector<BasicRankDescription<T>, T> ranks;

  bool operator==(BasicDescription const&) const = default;
};
using Description = BasicDescription<>;

}  // namespace rlhf::inline v0::plan
