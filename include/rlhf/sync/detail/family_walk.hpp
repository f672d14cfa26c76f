/// @file
/// Walks a family's table for one rank. Layer: sync.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/lora.hpp>
#include <rlhf/parallel/on_layout.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/plan/family.hpp>
#include <rlhf/plan/model_list.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::sync {

/// What a model has under a name: a tensor, and the adapter of low rank that it may have.
struct FoundTensor {
  TensorView weight;
  Adapter adapter{};
  bool adapted = false;

  FoundTensor(TensorView const& view) : weight(view) {}  // NOLINT: implicit, a view is enough
  FoundTensor(TensorView const& view, Adapter const& factors)
      : weight(view),
        adapter(factors),
        adapted(true) {}
};

namespace detail {

/// Walks a family's table for one rank.
template <class T, class Find, class Visit>
class FamilyWalk {
  template <class X>
  using Vector = rlhf::detail::late_vector<X, T>;
  using Row = plan::BasicFamilyTensor<T>;
  using Style = plan::FamilyStyle;

 public:
  FamilyWalk(plan::BasicFamily<T> const& family, plan::ModelSizes const& sizes, Style style,
             plan::BasicSide<T> const& side, Coordinate const& at, Find& find, Visit& visit)
      : family_(family),
        sizes_(sizes),
        style_(style),
        layout_(side.layout),
        at_(at),
        find_(find),
        visit_(visit) {
    plan::check_family(family);
    deal_layers(side);
    deal_experts(side);
  }

  void walk() {
    int const last = layout_.pipeline - 1;
    for (Row const& row : family_.tensors) {
      if (row.untied_only && sizes_.tied) {
        continue;
      }
      if (row.place == plan::FamilyPlace::layers) {
        for (std::size_t i = 0; i < layers_.size(); ++i) {
          add(row, layers_[i], static_cast<std::int64_t>(i));
        }
        continue;
      }
      bool const on_first = row.place == plan::FamilyPlace::first;
      // Servers and canonical models use a tied embedding on the last stage, too.
      bool const tied_output = on_first && row.cut == plan::FamilyCut::vocabulary && sizes_.tied &&
                               style_ != Style::trainer && at_.pipeline == last;
      if (at_.pipeline == (on_first ? 0 : last) || tied_output) {
        add(row, 0, 0);
      }
    }
  }

 private:
  void deal_layers(plan::BasicSide<T> const& side) {
    Vector<int> stage_of = side.stage_of_layer;
    if (stage_of.empty()) {
      for (int stage = 0; stage < layout_.pipeline; ++stage) {
        auto const count = split_evenly(sizes_.layers, layout_.pipeline, stage).size();
        stage_of.insert(stage_of.end(), static_cast<std::size_t>(count), stage);
      }
    }
    if (std::ssize(stage_of) != sizes_.layers) {
      fail(Errc::invalid_argument,
           text("the stage map has ", stage_of.size(), " layers, the model ", sizes_.layers));
    }
    for (std::size_t layer = 0; layer < stage_of.size(); ++layer) {
      if (stage_of[layer] < 0 || stage_of[layer] >= layout_.pipeline) {
        fail(Errc::invalid_argument,
             text("the stage map names stage ", stage_of[layer], " of ", layout_.pipeline));
      }
      if (stage_of[layer] == at_.pipeline) {
        layers_.push_back(static_cast<std::int64_t>(layer));
      }
    }
  }
  /// The experts of this rank, and the layout that cuts them.
  void deal_experts(plan::BasicSide<T> const& side) {
    expert_layout_ = layout_;
    int const inner = layout_.tensor * layout_.expert;
    int const cut = side.expert_tensor == 0 ? layout_.tensor : side.expert_tensor;
    if (cut < 1 || inner % cut != 0) {
      fail(Errc::incompatible_policy, text("expert tensor size ", cut, " does not divide the ",
                                           inner, " ranks of the tensor and expert axes"));
    }
    expert_layout_.tensor = cut;
    expert_layout_.expert = inner / cut;
    int const mine = expert_layout_.coordinate(layout_.rank(at_)).expert;
    std::int64_t const slots =
        side.expert_slots.empty() ? sizes_.experts : std::ssize(side.expert_slots);
    if (slots % expert_layout_.expert != 0) {
      fail(Errc::incompatible_policy,
           text(slots, " experts cannot be dealt to ", expert_layout_.expert, " expert ranks"));
    }
    std::int64_t const each = slots / expert_layout_.expert;
    for (std::int64_t slot = mine * each; slot < (mine + 1) * each; ++slot) {
      experts_.push_back(side.expert_slots.empty()
                             ? static_cast<int>(slot)
                             : side.expert_slots[static_cast<std::size_t>(slot)]);
    }
  }

  void add(Row const& row, std::int64_t layer, std::int64_t local_layer) {
    if (!row.experts) {
      add_one(row, layer, local_layer, -1, -1);
      return;
    }
    if (style_ != Style::server) {
      for (std::size_t slot = 0; slot < experts_.size(); ++slot) {
        add_one(row, layer, local_layer, experts_[slot], static_cast<std::int64_t>(slot));
      }
      return;
    }
    Shape stacked{std::ssize(experts_)};
    Shape const one = fused_shape(row);
    for (int d = 0; d < one.rank(); ++d) {
      stacked.push_back(one[d]);
    }
    FoundTensor const tensor = found(plan::name_of(row.server, layer), stacked, false);
    for (std::size_t slot = 0; slot < experts_.size(); ++slot) {
      pieces(row, layer, experts_[slot], tensor,
             fused::slot(tensor.weight, static_cast<std::int64_t>(slot)));
    }
  }
  /// A row that is a tensor, or on canonical sides several.
  void add_one(Row const& row, std::int64_t layer, std::int64_t local_layer, int expert,
               std::int64_t slot) {
    if (style_ != Style::canonical) {
      bool const trainer = style_ == Style::trainer;
      std::string const name = trainer ? plan::name_of(row.trainer, local_layer, slot)
                                       : plan::name_of(row.server, layer, expert);
      FoundTensor const tensor =
          found(name, fused_shape(row), row.cut == plan::FamilyCut::vocabulary);
      pieces(row, layer, expert, tensor, tensor.weight);
      return;
    }
    for (std::size_t p = 0; p < row.pieces.size(); ++p) {
      std::string const name = plan::name_of(row.pieces[p].name, layer, expert);
      Shape shape = fused_shape(row);
      shape[0] = rows_of(row, p);
      FoundTensor const tensor = found(name, shape, row.cut == plan::FamilyCut::vocabulary);
      piece(row, name, p, tensor, tensor.weight);
    }
  }
  void pieces(Row const& row, std::int64_t layer, int expert, FoundTensor const& tensor,
              TensorView const& view) {
    if (row.cut == plan::FamilyCut::heads) {
      std::string const query = plan::name_of(row.pieces[0].name, layer, expert);
      std::string const key = plan::name_of(row.pieces[1].name, layer, expert);
      std::string const value = plan::name_of(row.pieces[2].name, layer, expert);
      auto const each = [&, this](std::string_view name, TensorView const& part, auto const& rule) {
        this->pass(tensor, name, part, rule);
      };
      fused::qkv(
          each, view, {query, key, value}, {sizes_.heads, sizes_.kv_heads, sizes_.head_dim},
          layout_.tensor,
          style_ == Style::trainer ? fused::QkvOrder::interleaved : fused::QkvOrder::concatenated);
      return;
    }
    std::int64_t begin = 0;
    for (std::size_t p = 0; p < row.pieces.size(); ++p) {
      std::int64_t const rows =
          row.cut == plan::FamilyCut::vocabulary ? view.shape[0] : rows_of(row, p);
      piece(row, plan::name_of(row.pieces[p].name, layer, expert), p, tensor,
            fused::slice(view, 0, begin, rows));
      begin += rows;
    }
  }
  /// Visits a canonical tensor, and the factors of its adapter.
  template <class Rule>
  void pass(FoundTensor const& tensor, std::string_view name, TensorView const& view,
            Rule const& rule) {
    if (tensor.adapted) {
      lora::parameters(visit_, tensor.weight, tensor.adapter,
                       [&](auto&& each) { each(name, view, rule); });
    } else {
      visit_(name, view, rule);
    }
  }
  void piece(Row const& row, std::string const& name, std::size_t number, FoundTensor const& tensor,
             TensorView const& view) {
    Shard rule = shard::replicated();
    switch (row.cut) {
      case plan::FamilyCut::whole:
        break;
      case plan::FamilyCut::rows:
        rule = shard::rows();
        break;
      case plan::FamilyCut::columns:
        rule = shard::columns();
        break;
      case plan::FamilyCut::heads:
        rule = shard::heads(0, number == 0 ? sizes_.heads : sizes_.kv_heads);
        break;
      case plan::FamilyCut::vocabulary:
        rule = shard::padded(0, plan::extent_of(row.pieces[number].rows, sizes_));
        break;
    }
    if (row.experts) {
      pass(tensor, name, view, shard::on(expert_layout_, rule));
    } else {
      pass(tensor, name, view, rule);
    }
  }

  [[nodiscard]] std::int64_t ranks_of(Row const& row) const noexcept {
    return row.experts ? expert_layout_.tensor : layout_.tensor;
  }
  [[nodiscard]] std::int64_t divided(Row const& row, std::int64_t extent,
                                     std::string_view what) const {
    std::int64_t const ranks = ranks_of(row);
    if (extent % ranks != 0) {
      fail(Errc::incompatible_policy,
           text("family ", family_.name, ", ", style_ == Style::trainer ? row.trainer : row.server,
                ": ", what, " = ", extent, " does not divide over ", ranks, " tensor ranks"));
    }
    return extent / ranks;
  }
  /// Rows of a canonical tensor on this rank.
  [[nodiscard]] std::int64_t rows_of(Row const& row, std::size_t number) const {
    std::int64_t const rows = plan::extent_of(row.pieces[number].rows, sizes_);
    switch (row.cut) {
      case plan::FamilyCut::rows:
        return divided(row, rows, row.pieces[number].rows);
      case plan::FamilyCut::heads:
        return sizes_.head_dim * (number == 0 ? sizes_.heads / layout_.tensor
                                  : sizes_.kv_heads < layout_.tensor
                                      ? 1
                                      : sizes_.kv_heads / layout_.tensor);
      case plan::FamilyCut::vocabulary: {
        std::int64_t const ranks = layout_.tensor;
        std::int64_t multiple = style_ == Style::trainer ? family_.trainer_vocab_multiple * ranks
                                                         : family_.server_vocab_multiple;
        for (std::int64_t const step = multiple; multiple % ranks != 0;) {
          multiple += step;
        }
        return align_up(rows, multiple) / ranks;
      }
      case plan::FamilyCut::whole:
      case plan::FamilyCut::columns:
        return rows;
    }
    return rows;
  }
  /// The rank's tensor with all pieces.
  [[nodiscard]] Shape fused_shape(Row const& row) const {
    std::int64_t rows = 0;
    for (std::size_t p = 0; p < row.pieces.size(); ++p) {
      rows += rows_of(row, p);
    }
    Shape shape{rows};
    if (!row.columns.empty()) {
      std::int64_t const columns = plan::extent_of(row.columns, sizes_);
      shape.push_back(row.cut == plan::FamilyCut::columns ? divided(row, columns, row.columns)
                                                          : columns);
    }
    return shape;
  }
  /// Errors: invalid_argument where the model's tensor has another shape; padding may differ.
  [[nodiscard]] FoundTensor found(std::string const& name, Shape const& expected, bool padded) {
    FoundTensor const tensor = find_(std::string_view(name), expected);
    TensorView const& view = tensor.weight;
    bool fits = view.shape.rank() == expected.rank();
    for (int d = 0; fits && d < expected.rank(); ++d) {
      fits = view.shape[d] == expected[d] || (padded && d == 0);
    }
    if (!fits) {
      fail(Errc::invalid_argument,
           text("family ", family_.name, ": ", to_string(style_), " tensor ", name, " has shape ",
                to_string(view.shape), "; by the sizes and the layout it should be ",
                to_string(expected)));
    }
    return tensor;
  }

  plan::BasicFamily<T> const& family_;
  plan::ModelSizes const& sizes_;
  Style style_;
  Layout layout_;
  Layout expert_layout_;
  Coordinate at_;
  Find& find_;
  Visit& visit_;
  Vector<std::int64_t> layers_;
  Vector<int> experts_;
};

}  // namespace detail

}  // namespace rlhf::inline v0::sync
