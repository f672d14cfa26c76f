/// @file
/// A model as a list of parameters with rules, and where a layout puts them. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstdint>
#include <string>
#include <utility>
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
};
using Side = BasicSide<>;

namespace detail {

/// [begin, end) of a dimension that one of several ranks holds.
template <class T = void>
[[nodiscard]] IndexRange tensor_range(ModelParameter const& parameter, int rank, int ranks) {
  std::int64_t const extent = parameter.shape[parameter.tensor_dimension];
  if (parameter.heads > 0) {
    std::int64_t const heads = parameter.heads;
    if (extent % heads != 0 || (heads % ranks != 0 && ranks % heads != 0)) {
      fail(Errc::incompatible_policy,
           text("parameter ", parameter.name, ": ", heads, " heads cannot be cut for ", ranks,
                " tensor ranks; one number must divide the other"));
    }
    std::int64_t const width = extent / heads;
    if (heads % ranks == 0) {
      return IndexRange{rank * (heads / ranks) * width, (rank + 1) * (heads / ranks) * width};
    }
    std::int64_t const head = rank / (ranks / heads);  // the same head on neighbours
    return IndexRange{head * width, (head + 1) * width};
  }
  std::int64_t const chunk = ceil_div(extent, static_cast<std::int64_t>(ranks));
  std::int64_t const begin = chunk * rank < extent ? chunk * rank : extent;
  return IndexRange{begin, begin + chunk < extent ? begin + chunk : extent};
}

/// Places a model's parameters; patterns and rank sets are made once for each way of lying.
template <class T>
class ModelPlacer {
 public:
  ModelPlacer(BasicModelList<T> const& model, BasicSide<T> const& side)
      : model_(model),
        layout_(side.layout),
        stage_of_layer_(side.stage_of_layer),
        builder_(side.layout, ranks_of(side)),
        expert_tensor_(side.expert_tensor == 0 ? side.layout.tensor : side.expert_tensor),
        looks_(looked_) {
    std::int64_t const dense = layout_.tensor;
    std::int64_t const inner = dense * layout_.expert;
    if (expert_tensor_ < 1 || inner % expert_tensor_ != 0) {
      fail(Errc::incompatible_policy,
           text("expert tensor size ", expert_tensor_, " does not divide the ", inner,
                " ranks of the tensor and expert axes"));
    }
    expert_ranks_ = static_cast<int>(inner / expert_tensor_);
    if (stage_of_layer_.empty()) {
      for (int stage = 0; stage < layout_.pipeline; ++stage) {
        int const count =
            model.layers / layout_.pipeline + (stage < model.layers % layout_.pipeline ? 1 : 0);
        stage_of_layer_.insert(stage_of_layer_.end(), static_cast<std::size_t>(count), stage);
      }
    }
    if (static_cast<int>(stage_of_layer_.size()) != model.layers) {
      fail(Errc::invalid_argument,
           text("the stage map has ", stage_of_layer_.size(), " layers, the model ", model.layers));
    }
    for (int const stage : stage_of_layer_) {
      if (stage < 0 || stage >= layout_.pipeline) {
        fail(Errc::invalid_argument,
             text("the stage map names stage ", stage, " of ", layout_.pipeline));
      }
    }
    if (model.experts > 0 && model.experts % expert_ranks_ != 0) {
      fail(Errc::incompatible_policy,
           text("the model's ", model.experts, " experts cannot be dealt to ", expert_ranks_,
                " expert ranks; choose a divisor"));
    }
  }

  [[nodiscard]] BasicPlacement<T> place() {
    find_ties();
    for (std::size_t p = 0; p < model_.parameters.size(); ++p) {
      auto const& parameter = model_.parameters[p];
      if (is_tied_[p] != 0) {
        continue;
      }
      Look const look{
          parameter.shape,
          parameter.tensor_dimension,
          parameter.heads,
          stage_of(parameter),
          parameter.expert < 0 ? -1 : parameter.expert / (model_.experts / expert_ranks_),
          tied_stage_[p]};
      std::int32_t const known = looks_.add(look, [](Fingerprint& print, Look const& one) {
        add(print, one.shape);
        print.add(static_cast<std::uint64_t>(one.tensor_dimension))
            .add(static_cast<std::uint64_t>(one.heads))
            .add(static_cast<std::uint64_t>(one.stage))
            .add(static_cast<std::uint64_t>(one.expert))
            .add(static_cast<std::uint64_t>(one.tied_stage));
      });
      if (static_cast<std::size_t>(known) == patterns_.size()) {
        patterns_.push_back(pattern_of(parameter, look));
      }
      builder_.add(parameter.name, parameter.dtype, parameter.shape,
                   patterns_[static_cast<std::size_t>(known)]);
    }
    return builder_.take();
  }

 private:
  /// What decides where a parameter lies.
  struct Look {
    Shape shape{};
    int tensor_dimension = -1;
    int heads = 0;
    int stage = 0;
    int expert = -1;      // expert rank
    int tied_stage = -1;  // another stage that holds it under a further name
    bool operator==(Look const&) const = default;
  };

  [[nodiscard]] static rlhf::detail::late_vector<int, T> ranks_of(BasicSide<T> const& side) {
    rlhf::detail::late_vector<int, T> ranks = side.world_ranks;
    for (int rank = 0; side.world_ranks.empty() && rank < side.layout.ranks(); ++rank) {
      ranks.push_back(rank);
    }
    return ranks;
  }
  /// A parameter that is the same memory as another is no parameter of its own: where it lies in
  /// another pipeline stage, that stage holds the other one, too.
  void find_ties() {
    is_tied_.assign(model_.parameters.size(), 0);
    tied_stage_.assign(model_.parameters.size(), -1);
    for (std::size_t p = 0; p < model_.parameters.size(); ++p) {
      auto const& parameter = model_.parameters[p];
      for (std::size_t t = 0; !parameter.tied_to.empty() && t < model_.parameters.size(); ++t) {
        auto const& other = model_.parameters[t];
        if (other.name != parameter.tied_to || t == p) {
          continue;
        }
        if (other.shape != parameter.shape || other.dtype != parameter.dtype) {
          fail(Errc::invalid_argument, text("parameter ", parameter.name, " is tied to ",
                                            other.name, ", which has another shape or type"));
        }
        is_tied_[p] = 1;
        tied_stage_[t] = stage_of(parameter) == stage_of(other) ? -1 : stage_of(parameter);
      }
    }
  }

  [[nodiscard]] int stage_of(ModelParameter const& parameter) const {
    if (parameter.layer >= 0) {
      return stage_of_layer_[static_cast<std::size_t>(parameter.layer)];
    }
    return parameter.behind_layers ? layout_.pipeline - 1 : 0;
  }

  /// The module ranks that hold piece `piece` of the tensor cut and chunk `shard` of the sharded
  /// axis. A stage's inner ranks are numbered tensor fastest, then expert; dense parameters are cut
  /// over the tensor axis and repeated over the rest, experts take the same ranks anew.
  [[nodiscard]] rlhf::detail::late_vector<int, T> ranks_of(Look const& look, int piece,
                                                           int shard) const {
    int const inner = layout_.tensor * layout_.expert;
    int const cut = look.expert < 0 ? layout_.tensor : expert_tensor_;
    bool const is_cut = look.tensor_dimension >= 0;
    rlhf::detail::late_vector<int, T> ranks;
    int const stages[] = {look.stage, look.tied_stage};  // nvcc reads no such list in a loop
    for (int const stage : stages) {
      for (int data = 0; stage >= 0 && data < layout_.data; ++data) {
        int const first = ((stage * layout_.data + data) * layout_.sharded() + shard) * inner;
        for (int at = 0; at < inner; ++at) {
          bool const right_piece = !is_cut || at % cut == piece;
          if (right_piece && (look.expert < 0 || at / expert_tensor_ == look.expert)) {
            ranks.push_back(first + at);
          }
        }
      }
    }
    return ranks;
  }

  [[nodiscard]] std::int32_t pattern_of(ModelParameter const& parameter, Look const& look) {
    int const cut = look.expert < 0 ? layout_.tensor : expert_tensor_;
    bool const is_cut = look.tensor_dimension >= 0;
    struct Held {
      Box box;
      rlhf::detail::late_vector<int, T> ranks;
    };
    rlhf::detail::late_vector<Held, T> held;
    for (int piece = 0; piece < (is_cut ? cut : 1); ++piece) {
      Box box = Box::whole(look.shape);
      if (is_cut) {
        IndexRange const range = tensor_range(parameter, piece, cut);
        box.start[look.tensor_dimension] = range.begin;
        box.extent[look.tensor_dimension] = range.size();
      }
      for (int shard = 0; shard < layout_.sharded(); ++shard) {
        Box part = box;
        if (layout_.sharded() > 1 && part.rank() > 0) {  // as torch.chunk cuts rows
          std::int64_t const chunk =
              ceil_div(box.extent[0], static_cast<std::int64_t>(layout_.sharded()));
          std::int64_t const begin = chunk * shard < box.extent[0] ? chunk * shard : box.extent[0];
          part.start[0] += begin;
          part.extent[0] = begin + chunk < box.extent[0] ? chunk : box.extent[0] - begin;
        }
        if (part.empty()) {
          continue;
        }
        rlhf::detail::late_vector<int, T> const ranks = ranks_of(look, piece, shard);
        std::size_t found = 0;
        while (found < held.size() && held[found].box != part) {
          ++found;
        }
        if (found == held.size()) {
          held.push_back(Held{part, {}});
        }
        held[found].ranks.insert(held[found].ranks.end(), ranks.begin(), ranks.end());
      }
    }
    rlhf::detail::late_vector<Part, T> parts;
    for (Held& one : held) {
      rlhf::detail::sort(one.ranks);
      parts.push_back(Part{one.box, builder_.ranks(std::move(one.ranks))});
    }
    return builder_.pattern(std::move(parts));
  }

  BasicModelList<T> const& model_;
  Layout layout_;
  rlhf::detail::late_vector<int, T> stage_of_layer_;
  PlacementBuilder<T> builder_;
  int expert_tensor_ = 1;
  int expert_ranks_ = 1;
  rlhf::detail::late_vector<Look, T> looked_;
  Distinct<Look> looks_;
  rlhf::detail::late_vector<std::int32_t, T> patterns_;  // of every look
  rlhf::detail::late_vector<std::uint8_t, T> is_tied_;   // of every parameter
  rlhf::detail::late_vector<int, T> tied_stage_;         // of every parameter
};

}  // namespace detail

/// Where a layout puts a model's parameters: layers to pipeline stages, experts to expert ranks in
/// even runs, cuts over the tensor axis (in ceil(extent / ranks) rows where it does not divide),
/// rows over the sharded axis. A parameter that is tied to another of the list is that one, in one
/// more stage if it lies in another.
///
/// Errors: incompatible_policy or invalid_argument naming the parameter or number where model and
/// layout do not fit. Cost: a hash a parameter; the ranks once for each way of lying.
template <class T>
[[nodiscard]] BasicPlacement<T> place(BasicModelList<T> const& model, BasicSide<T> const& side) {
  return detail::ModelPlacer<T>(model, side).place();
}

}  // namespace rlhf::inline v0::plan
