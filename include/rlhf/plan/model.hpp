/// @file
/// Where a layout puts the parameters of a model. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/model_list.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/ties.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

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
  if (parameter.padded != 0 && parameter.padded < extent) {
    fail(Errc::invalid_argument, text("parameter ", parameter.name, ": padded to ",
                                      parameter.padded, ", less than its extent ", extent));
  }
  std::int64_t const chunk =
      ceil_div(parameter.padded == 0 ? extent : parameter.padded, static_cast<std::int64_t>(ranks));
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
    deal_experts(side);
  }

  [[nodiscard]] BasicPlacement<T> place() {
    auto const roots = tie_roots(model_);
    rlhf::detail::late_vector<rlhf::detail::late_vector<int, T>, T> stages(roots.size());
    for (std::size_t p = 0; p < roots.size(); ++p) {
      auto& all = stages[static_cast<std::size_t>(roots[p])];
      int const stage = stage_of(model_.parameters[p]);
      if (!rlhf::detail::contains(all, stage)) {
        all.push_back(stage);
        rlhf::detail::sort(all);
      }
    }
    for (std::size_t p = 0; p < roots.size(); ++p) {
      auto const& parameter = model_.parameters[p];
      auto const root = static_cast<std::size_t>(roots[p]);
      if (root != p && !parameter.listed) {
        continue;
      }
      auto const& memory = model_.parameters[root];
      Look const look{
          parameter.shape,
          memory.tensor_dimension,
          memory.heads,
          memory.expert < 0 ? -1 : set_of_expert_[static_cast<std::size_t>(memory.expert)],
          memory.padded,
          stages[root]};
      std::int32_t const known = looks_.add(look, [](Fingerprint& print, Look const& one) {
        add(print, one.shape);
        print.add(static_cast<std::uint64_t>(one.tensor_dimension))
            .add(static_cast<std::uint64_t>(one.heads))
            .add(static_cast<std::uint64_t>(one.expert))
            .add(static_cast<std::uint64_t>(one.padded));
        add(print, one.stages);
      });
      if (static_cast<std::size_t>(known) == patterns_.size()) {
        patterns_.push_back(pattern_of(memory, look));
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
    int expert = -1;  // index into expert_sets_
    std::int64_t padded = 0;
    rlhf::detail::late_vector<int, T> stages;  // ascending; several where it is tied
    bool operator==(Look const&) const = default;
  };

  [[nodiscard]] static rlhf::detail::late_vector<int, T> ranks_of(BasicSide<T> const& side) {
    rlhf::detail::late_vector<int, T> ranks = side.world_ranks;
    for (int rank = 0; side.world_ranks.empty() && rank < side.layout.ranks(); ++rank) {
      ranks.push_back(rank);
    }
    return ranks;
  }
  /// Which expert ranks hold each expert.
  void deal_experts(BasicSide<T> const& side) {
    bool const has_table = !side.expert_slots.empty();
    auto const slots =
        has_table ? static_cast<std::int64_t>(side.expert_slots.size()) : model_.experts;
    if (has_table && model_.experts == 0) {
      fail(Errc::invalid_argument,
           text("the expert table has ", slots, " slots, but the model has no experts"));
    }
    if (slots % expert_ranks_ != 0) {
      fail(Errc::incompatible_policy,
           has_table ? text("the expert table's ", slots, " slots cannot be dealt to ",
                            expert_ranks_, " expert ranks; choose a multiple")
                     : text("the model's ", slots, " experts cannot be dealt to ", expert_ranks_,
                            " expert ranks; choose a divisor"));
    }
    rlhf::detail::late_vector<rlhf::detail::late_vector<int, T>, T> ranks_of_expert(
        static_cast<std::size_t>(model_.experts));
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      int const expert =
          has_table ? side.expert_slots[static_cast<std::size_t>(slot)] : static_cast<int>(slot);
      if (expert < 0 || expert >= model_.experts) {
        fail(Errc::invalid_argument, text("the expert table's slot ", slot, " holds expert ",
                                          expert, "; the model has ", model_.experts));
      }
      auto& ranks = ranks_of_expert[static_cast<std::size_t>(expert)];
      std::int64_t const each = slots / expert_ranks_;
      auto const rank = static_cast<int>(slot / each);
      if (!ranks.empty() && ranks.back() == rank) {  // slots ascend, so ranks do
        std::int64_t other = rank * each;
        while (side.expert_slots[static_cast<std::size_t>(other)] != expert) {
          ++other;
        }
        fail(Errc::invalid_argument, text("expert ", expert, " lies in slots ", other - rank * each,
                                          " and ", slot - rank * each, " of expert rank ", rank,
                                          "; a rank may hold an expert once"));
      }
      ranks.push_back(rank);
    }
    Distinct<rlhf::detail::late_vector<int, T>> sets(expert_sets_);
    for (std::size_t expert = 0; expert < ranks_of_expert.size(); ++expert) {
      if (ranks_of_expert[expert].empty()) {
        fail(Errc::invalid_argument, text("the expert table has no slot for expert ", expert));
      }
      set_of_expert_.push_back(
          sets.add(std::move(ranks_of_expert[expert]),
                   [](Fingerprint& print, auto const& ranks) { detail::add(print, ranks); }));
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
    for (int const stage : look.stages) {
      for (int data = 0; data < layout_.data; ++data) {
        int const first = ((stage * layout_.data + data) * layout_.sharded() + shard) * inner;
        for (int at = 0; at < inner; ++at) {
          bool const right_piece = !is_cut || at % cut == piece;
          if (right_piece &&
              (look.expert < 0 ||
               rlhf::detail::contains(expert_sets_[static_cast<std::size_t>(look.expert)],
                                      at / expert_tensor_))) {
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
  rlhf::detail::late_vector<std::int32_t, T> patterns_;                          // of every look
  rlhf::detail::late_vector<rlhf::detail::late_vector<int, T>, T> expert_sets_;  // expert ranks
  rlhf::detail::late_vector<std::int32_t, T> set_of_expert_;
};

}  // namespace detail

/// Where a layout puts a model's parameters: layers to pipeline stages, experts (or the slots
/// of a table) to expert ranks in even runs, cuts over the tensor axis (in ceil(extent / ranks)
/// rows where it does not divide), rows over the sharded axis. Parameters that are tied are one,
/// under the name of the one that is tied to no other, in the stages of them all.
///
/// Errors: incompatible_policy or invalid_argument naming the parameter or number where model and
/// layout do not fit. Cost: a hash a parameter; the ranks once for each way of lying.
template <class T>
[[nodiscard]] BasicPlacement<T> place(BasicModelList<T> const& model, BasicSide<T> const& side) {
  return detail::ModelPlacer<T>(model, side).place();
}

}  // namespace rlhf::inline v0::plan
