/// @file
/// Lists a fused local tensor as the canonical tensors in it: one visit for each. Layer: parallel.
///
/// Canonical tensors are unfused (q_proj, k_proj, v_proj, gate_proj, up_proj, one expert each). A
/// model whose memory is fused calls these functions in `parameters(visit)`:
///
///     rlhf::fused::rows(visit, rlhf::view(gate_up, {2 * inter, hidden}),
///                       {{"mlp.gate_proj.weight", inter}, {"mlp.up_proj.weight", inter}});
///
/// Names and views last only for the call of `visit`.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace rlhf::inline v0 {

/// A rule for a tensor whose rows lie in groups among the rows of others: the local tensor has
/// `groups` groups of `group_rows` rows, and rows [first, first + rows) of each are the rank's
/// part, by `base`, of this tensor. Made by `fused::interleaved`; its view is all of the local
/// tensor.
template <class Base>
struct InterleavedShard {
  Base base{};
  std::int64_t groups = 1;
  std::int64_t group_rows = 0;
  std::int64_t first = 0;
  std::int64_t rows = 0;

  /// Errors: invalid_argument where the groups are not what the local tensor has; what `base`
  /// reports.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    if (local.rank() == 0 || local[0] != groups * group_rows) {
      fail(Errc::invalid_argument, text(groups, " groups of ", group_rows,
                                        " rows do not fit a tensor of shape ", to_string(local)));
    }
    Shape mine = local;
    mine[0] = groups * rows;
    Holding const held = base.holding(mine, layout, at);
    Holding out{held.global, {}};
    for (HeldBox const& one : held.boxes) {
      expects(!one.strided(), "rows of a flat shard do not lie in groups");
      std::int64_t const end = one.local_start[0] + one.box.extent[0];
      for (std::int64_t row = one.local_start[0]; row < end;) {
        std::int64_t const group = row / rows;
        std::int64_t const to = (group + 1) * rows < end ? (group + 1) * rows : end;
        HeldBox part = one;
        part.box.start[0] = one.box.start[0] + row - one.local_start[0];
        part.box.extent[0] = to - row;
        part.local_start[0] = group * group_rows + first + row % rows;
        out.boxes.push_back(part);
        row = to;
      }
    }
    return out;
  }
  [[nodiscard]] Shape local_shape(Layout const& layout,
                                  Coordinate const& at) const requires SizedShardRule<Base> {
    Shape shape = base.local_shape(layout, at);
    if (shape.rank() != 0) {
      shape[0] = groups * group_rows;
    }
    return shape;
  }
};

/// Functions that turn one fused tensor into visits of canonical ones.
namespace fused {

/// A tensor in a fused one: its canonical name, and its rows on this rank (`rows`) or in one group
/// of them (`interleaved`).
struct Part {
  std::string_view name;
  std::int64_t rows = 0;
};

/// The part [begin, begin + extent) of a dimension, as a view.
///
/// Errors: invalid_argument where the part does not lie in the tensor.
template <class = void>
[[nodiscard]] TensorView slice(TensorView const& view, int dimension, std::int64_t begin,
                               std::int64_t extent) {
  if (dimension < 0 || dimension >= view.shape.rank() || begin < 0 || extent < 0 ||
      extent > view.shape[dimension] - begin) {
    fail(Errc::invalid_argument,
         text("elements ", begin, " to ", begin + extent, " of dimension ", dimension,
              " are not in a tensor of shape ", to_string(view.shape)));
  }
  TensorView part = view;
  part.shape[dimension] = extent;
  if (part.data != nullptr) {
    part.data =
        static_cast<std::byte*>(view.data) + begin * view.strides[dimension] * size_of(view.dtype);
  }
  return part;
}

/// Element `index` of dimension 0, as a view of one dimension less. Errors: as `slice`.
template <class = void>
[[nodiscard]] TensorView slot(TensorView const& view, std::int64_t index) {
  TensorView const part = slice(view, 0, index, 1);
  TensorView out = part;
  out.shape = {};
  out.strides = {};
  for (int d = 1; d < part.shape.rank(); ++d) {
    out.shape.push_back(part.shape[d]);
    out.strides.push_back(part.strides[d]);
  }
  return out;
}

/// Parts one after the other on dimension 0 (gate|up, any number), each cut by `rule`.
///
/// Shapes: view [sum of the parts' rows, ...] -> a view [rows, ...] for each part.
/// Errors: invalid_argument where the rows do not add up. Parts that are cut each in its own way:
/// visit their `slice`s.
template <class Visit, class Rule = Shard>
void rows(Visit&& visit, TensorView const& view, std::initializer_list<Part> parts,
          Rule const& rule = shard::rows()) {
  std::int64_t sum = 0;
  for (Part const& part : parts) {
    sum += part.rows;
  }
  if (view.shape.rank() == 0 || sum != view.shape[0]) {
    fail(Errc::invalid_argument, text("the parts of a fused tensor of shape ",
                                      to_string(view.shape), " have ", sum, " rows together"));
  }
  std::int64_t begin = 0;
  for (Part const& part : parts) {
    visit(part.name, slice(view, 0, begin, part.rows), rule);
    begin += part.rows;
  }
}

/// Parts that take turns on dimension 0: `groups` times all of them, `part.rows` rows each time;
/// each part, its rows of all groups put together, is cut by `rule`.
///
/// Shapes: view [groups * sum of the parts' rows, ...]. A part is no strided view of its own: all
/// are visited with the whole view, and an `InterleavedShard` says which rows are theirs.
/// Errors: invalid_argument where the rows do not add up.
template <class Visit, class Rule = Shard>
void interleaved(Visit&& visit, TensorView const& view, std::initializer_list<Part> parts,
                 std::int64_t groups, Rule const& rule = shard::rows()) {
  std::int64_t sum = 0;
  for (Part const& part : parts) {
    expects(part.rows >= 1, "a part of an interleaved tensor needs at least one row");
    sum += part.rows;
  }
  if (view.shape.rank() == 0 || checked_multiply(sum, groups) != view.shape[0]) {
    fail(Errc::invalid_argument, text("a fused tensor of shape ", to_string(view.shape), " is not ",
                                      groups, " groups of ", sum, " rows"));
  }
  std::int64_t first = 0;
  for (Part const& part : parts) {
    visit(part.name, view, InterleavedShard<Rule>{rule, groups, sum, first, part.rows});
    first += part.rows;
  }
}

/// Canonical names of a fused query|key|value tensor.
struct QkvNames {
  std::string_view query;
  std::string_view key;
  std::string_view value;
};

/// The heads of an attention layer, of all ranks together, and the rows of one head.
struct Heads {
  std::int64_t query = 1;
  std::int64_t key_value = 1;
  std::int64_t rows = 1;
};

/// How query, key and value lie in a rank's fused tensor.
enum class QkvOrder : std::uint8_t {
  concatenated,  ///< All query heads, all key heads, all value heads (vLLM, Hugging Face).
  interleaved,   ///< For each key/value head: its query heads, key, value (Megatron).
};

/// A fused query|key|value tensor of one of `tensor_ranks` ranks, weight or bias, as three tensors
/// of whole heads (`shard::heads`). With fewer key/value heads than ranks, tensor_ranks / heads
/// consecutive ranks have the same one.
///
/// Shapes: with q = query heads a rank and g = key/value heads a rank, at least 1: view
/// [(q + 2 * g) * head rows, ...]; canonical [heads * head rows, ...].
/// Errors: invalid_argument where the heads do not fit the ranks or the view.
/// Source: the reference's fix_qwen_query_key_value_ordering and regroup_qkv, whose order of keys
/// and values with several heads a destination rank is wrong there.
template <class Visit>
void qkv(Visit&& visit, TensorView const& view, QkvNames const& names, Heads const& heads,
         int tensor_ranks, QkvOrder order) {
  expects(heads.query >= 1 && heads.key_value >= 1 && heads.rows >= 1 && tensor_ranks >= 1,
          "a fused query|key|value tensor needs at least one head, row and rank");
  bool const copies = heads.key_value < tensor_ranks;
  if (heads.query % heads.key_value != 0 || heads.query % tensor_ranks != 0 ||
      (copies ? tensor_ranks % heads.key_value : heads.key_value % tensor_ranks) != 0) {
    fail(Errc::invalid_argument,
         text(heads.query, " query and ", heads.key_value, " key/value heads do not fit ",
              tensor_ranks,
              " tensor ranks: ranks and key/value heads must divide the query heads, and one of "
              "ranks and key/value heads the other"));
  }
  std::int64_t const query = heads.query / tensor_ranks * heads.rows;
  std::int64_t const groups = copies ? 1 : heads.key_value / tensor_ranks;
  std::int64_t const key = groups * heads.rows;
  if (view.shape.rank() == 0 || view.shape[0] != query + 2 * key) {
    fail(Errc::invalid_argument,
         text("a fused query|key|value tensor of ", heads.query, " query and ", heads.key_value,
              " key/value heads of ", heads.rows, " rows over ", tensor_ranks, " ranks has ",
              query + 2 * key, " rows; this one has shape ", to_string(view.shape)));
  }
  Shard const of_query = shard::heads(0, heads.query);
  Shard const of_key = shard::heads(0, heads.key_value);
  if (order == QkvOrder::concatenated) {
    visit(names.query, slice(view, 0, 0, query), of_query);
    visit(names.key, slice(view, 0, query, key), of_key);
    visit(names.value, slice(view, 0, query + key, key), of_key);
    return;
  }
  std::int64_t const query_rows = query / groups;
  std::int64_t const group_rows = query_rows + 2 * heads.rows;
  using Rule = InterleavedShard<Shard>;
  visit(names.query, view, Rule{of_query, groups, group_rows, 0, query_rows});
  visit(names.key, view, Rule{of_key, groups, group_rows, query_rows, heads.rows});
  visit(names.value, view, Rule{of_key, groups, group_rows, query_rows + heads.rows, heads.rows});
}

/// Grouped experts [slots, ...] one by one: slot s as `name(experts_of_rank[s])`, of shape [...],
/// cut by `rule`.
///
/// Errors: invalid_argument where there is not one expert a slot.
template <class Visit, class Name, class Rule>
void experts(Visit&& visit, TensorView const& view, Name&& name,
             std::span<int const> experts_of_rank, Rule const& rule) {
  if (view.shape.rank() == 0 || view.shape[0] != std::ssize(experts_of_rank)) {
    fail(Errc::invalid_argument, text("grouped experts of shape ", to_string(view.shape),
                                      " need one expert a slot, got ", experts_of_rank.size()));
  }
  std::int64_t index = 0;
  for (int const expert : experts_of_rank) {
    visit(name(expert), slot(view, index++), rule);
  }
}

/// Grouped experts whose tensors are fused, such as w13 [slots, 2 * inter, hidden]: part p of slot
/// s as `name(experts_of_rank[s])` followed by the part's name, of shape [part.rows, ...].
///
/// Errors: as `experts` and `rows`.
template <class Visit, class Name, class Rule = Shard>
void expert_rows(Visit&& visit, TensorView const& view, Name&& name,
                 std::span<int const> experts_of_rank, std::initializer_list<Part> parts,
                 Rule const& rule = shard::rows()) {
  auto const split_one = [&](auto const& prefix, TensorView const& one, Rule const&) {
    auto const pass = [&](std::string_view part, TensorView const& piece, Rule const& same) {
      visit(text(std::string_view(prefix), part), piece, same);
    };
    rows(pass, one, parts, rule);
  };
  experts(split_one, view, name, experts_of_rank, rule);
}

}  // namespace fused
}  // namespace rlhf::inline v0
