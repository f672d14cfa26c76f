/// @file
/// Cuts into parts whose sizes are named one by one. Layer: parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/shard.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0 {

/// A rule that gives each rank of an axis a number of elements of its own. Made by
/// `shard::uneven`. (A template so that including this costs little.)
template <class T = void>
struct BasicUnevenShard {
  Axis axis = Axis::tensor;
  int dimension = 0;
  std::vector<detail::late<std::int64_t, T>> sizes;  ///< One a rank of the axis.
  Shard cuts{};                                      ///< Of what this leaves on the rank.

  /// This rule with one more cut.
  [[nodiscard]] BasicUnevenShard then(Axis other, int d, int sections = 1) const {
    BasicUnevenShard out = *this;
    out.cuts = cuts.then(other, d, sections);
    return out;
  }
  /// This rule for a tensor of that global shape.
  [[nodiscard]] BasicUnevenShard of(Shape const& shape) const {
    BasicUnevenShard out = *this;
    out.cuts.global = shape;
    return out;
  }

  /// Errors: invalid_argument where the sizes are not one a rank or do not add up to the extent.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    Shape whole = cuts.global;
    if (whole.rank() == 0) {
      whole = detail::whole_of(cuts, local, layout);
      if (dimension < whole.rank()) {
        whole[dimension] = total();
      }
    }
    return cut(whole, &local, layout, at).finish(local);
  }
  /// The shape of the rank's tensor. Requires the global shape.
  [[nodiscard]] Shape local_shape(Layout const& layout, Coordinate const& at) const {
    expects(cuts.global.rank() != 0,
            "the shape of a rank's tensor needs the global shape; give it: rule.of(shape)");
    return cut(cuts.global, nullptr, layout, at).held;
  }

 private:
  [[nodiscard]] std::int64_t total() const {
    std::int64_t sum = 0;
    for (std::int64_t const size : sizes) {
      sum += size;
    }
    return sum;
  }
  [[nodiscard]] detail::Cutting<T> cut(Shape const& whole, Shape const* local, Layout const& layout,
                                       Coordinate const& at) const {
    if (std::ssize(sizes) != layout.size(axis)) {
      fail(Errc::invalid_argument,
           text("an uneven cut lists ", sizes.size(), " sizes for ", layout.size(axis),
                " ranks of the ", to_string(axis), " axis; it needs one a rank"));
    }
    if (dimension >= whole.rank() || total() != whole[dimension]) {
      fail(Errc::invalid_argument,
           text("an uneven cut of dimension ", dimension, " into ", total(),
                " elements does not fit a tensor of shape ", to_string(whole)));
    }
    std::int64_t begin = 0;
    auto const mine = static_cast<std::size_t>(at.on(axis));
    for (std::size_t rank = 0; rank < mine; ++rank) {
      begin += sizes[rank];
    }
    detail::Cutting<T> cutting(whole);
    cutting.keep(dimension, 1, whole[dimension], IndexRange{begin, begin + sizes[mine]});
    detail::apply_cuts(cutting, cuts, local, layout, at);
    return cutting;
  }
};
using UnevenShard = BasicUnevenShard<>;

namespace shard {

/// Dimension `dimension` is cut over the ranks of `axis`, rank i gets `sizes[i]` elements.
///
/// Errors: invalid_argument where a size or the dimension is negative.
template <class T = void>
[[nodiscard]] BasicUnevenShard<T> uneven(Axis axis, int dimension,
                                         std::vector<detail::late<std::int64_t, T>> sizes) {
  expects(dimension >= 0 && dimension < max_rank, "a cut needs a dimension below 6");
  for (std::int64_t const size : sizes) {
    expects(size >= 0, "the sizes of an uneven cut must not be negative");
  }
  BasicUnevenShard<T> rule;
  rule.axis = axis;
  rule.dimension = dimension;
  rule.sizes = std::move(sizes);
  return rule;
}

}  // namespace shard
}  // namespace rlhf::inline v0
