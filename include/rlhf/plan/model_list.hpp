/// @file
/// A model as a list of parameters, and how a side spreads it. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0::plan {

/// One parameter of a model, however it is spread.
struct ModelParameter {
  std::string name;
  Shape shape{};
  DType dtype = DType::bf16;
  int tensor_dimension = -1;   ///< The dimension that tensor parallelism cuts; -1: none.
  int heads = 0;               ///< Along that dimension; a cut never divides one. 0: none.
  int layer = -1;              ///< -1: before all layers,
  bool behind_layers = false;  ///< or behind.
  int expert = -1;             ///< -1: not one of several experts.
  std::string tied_to;         ///< The parameter that is the same memory, if any.
  bool listed = false;         ///< Tied, and yet taken under its own name (`list_tied`).
  std::int64_t padded = 0;     ///< Extent that the tensor cut counts in; 0: the shape's. What lies
                               ///< behind the shape is padding: on some ranks, never sent.
};

/// A model's parameters, in order.
template <class T = void>
struct BasicModelList {
  std::string name;
  int layers = 0;
  int experts = 0;
  rlhf::detail::late_vector<ModelParameter, T> parameters;
};
using ModelList = BasicModelList<>;

/// How one side of a sync spreads a model.
template <class T = void>
struct BasicSide {
  Layout layout{};
  int expert_tensor = 0;  ///< Tensor size of experts; 0: the layout's. Other ranks of the
                          ///< tensor axis then count as further expert ranks.
  rlhf::detail::late_vector<int, T> stage_of_layer;  ///< Empty: even, first stages larger.
  rlhf::detail::late_vector<int, T> world_ranks;     ///< Of the module's ranks; empty: 0, 1, ...
  rlhf::detail::late_vector<int, T> expert_slots;    ///< The expert in each physical slot, slots
                                                     ///< dealt to expert ranks in even runs; an
                                                     ///< expert may have several, each on a rank
                                                     ///< of its own. Empty: in order.
};
using Side = BasicSide<>;

}  // namespace rlhf::inline v0::plan
