/// @file
/// What a rank holds of a parameter, and what a rule that says so is. Layer: parallel.
#pragma once

#include <rlhf/parallel/layout.hpp>
#include <rlhf/tensor/box.hpp>

#include <concepts>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0 {

/// One box of a global tensor that a rank holds, and where it lies in the rank's own tensor.
///
/// Either from `local_start` on, dimension by dimension; or, where the local tensor has other
/// dimensions than the global one (flat shards), at element `offset` of the local tensor with
/// strides of its own. Offset and strides count elements in row-major order of the local tensor,
/// which must then be contiguous.
struct HeldBox {
  static constexpr std::int64_t by_start = -1;

  Box box{};
  Extents local_start{};           ///< Unused where `offset` is given.
  std::int64_t offset = by_start;  ///< Of the box's first element; `by_start`: see `local_start`.
  Extents strides{};               ///< One a dimension of the box; unused without `offset`.

  /// Whether the box lies by offset and strides.
  [[nodiscard]] constexpr bool strided() const noexcept { return offset >= 0; }
  constexpr bool operator==(HeldBox const&) const noexcept = default;
};

/// All that a rank holds of one parameter.
struct Holding {
  Shape global{};
  std::vector<HeldBox> boxes;

  bool operator==(Holding const&) const = default;
};

/// A description of how a parameter is cut: `Shard`, or a user's own type.
///
/// `rule.holding(local_shape, layout, coordinate)` gives the global shape and the boxes; all ranks
/// must give the same global shape, boxes must lie inside it and be disjoint on a rank.
template <class R>
concept ShardRule = requires(R const& rule, Shape const& local, Layout const& layout,
                             Coordinate const& at) {
  { rule.holding(local, layout, at) } -> std::same_as<Holding>;
};

/// A rule that also says what shape the tensor of a rank has: `rule.local_shape(layout, at)`. What
/// can be flattened (`shard::flat`).
template <class R>
concept SizedShardRule = ShardRule<R> &&
    requires(R const& rule, Layout const& layout, Coordinate const& at) {
  { rule.local_shape(layout, at) } -> std::same_as<Shape>;
};

}  // namespace rlhf::inline v0
