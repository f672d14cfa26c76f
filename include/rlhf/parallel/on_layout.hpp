/// @file
/// A rule under another layout of the same ranks: experts cut otherwise than dense layers. Layer:
/// parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/parallel/layout.hpp>

namespace rlhf::inline v0 {

/// `Rule` as the ranks stand in `layout`. Made by `shard::on`.
template <class Rule>
struct OnLayout {
  Layout layout{};
  Rule rule{};

  /// Errors: invalid_argument where the layouts are not of the same number of ranks.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& outer,
                                Coordinate const& at) const {
    Layout const inner = filled(outer);
    return rule.holding(local, inner, inner.coordinate(outer.rank(at)));
  }
  [[nodiscard]] Shape local_shape(Layout const& outer,
                                  Coordinate const& at) const requires SizedShardRule<Rule> {
    Layout const inner = filled(outer);
    return rule.local_shape(inner, inner.coordinate(outer.rank(at)));
  }

 private:
  [[nodiscard]] Layout filled(Layout const& outer) const {
    int const ranks = outer.ranks();
    if (layout.fault_on(ranks) != LayoutFault::none) {
      fail(Errc::invalid_argument, text("a rule on another layout of the same ranks: ",
                                        describe(layout.fault_on(ranks), layout, ranks)));
    }
    return layout.on_ranks(ranks);
  }
};

namespace shard {

/// `rule`, with every rank at its coordinate in `layout` instead of the module's. Both have the
/// same number of ranks (`data = Layout::any` fits itself); rank numbers stay. For expert tensors
/// cut over other sizes than the dense ones (Megatron's expert tensor parallel size):
/// `shard::on({.tensor = 1, .expert = 8}, shard::experts())`.
template <ShardRule Rule>
[[nodiscard]] constexpr OnLayout<Rule> on(Layout const& layout, Rule const& rule) {
  return {layout, rule};
}

}  // namespace shard
}  // namespace rlhf::inline v0
