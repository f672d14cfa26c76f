/// @file
/// Grouped experts: which expert lies in which slot of which expert rank. Layer: parallel.
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

/// A rule for tensors [slots, ...] of the global tensor [experts, ...]. Made by `shard::experts`.
/// (A template so that including this costs little.)
template <class T = void>
struct BasicExpertShard {
  std::vector<detail::late<int, T>> table;  ///< The expert of every slot, rank after rank.
  int experts = 0;                          ///< How many there are.
  Shard cuts{};                             ///< Of the rank's [slots, ...].

  /// This rule with one more cut, of a dimension of [slots, ...].
  [[nodiscard]] BasicExpertShard then(Axis axis, int dimension, int sections = 1) const {
    BasicExpertShard out = *this;
    out.cuts = cuts.then(axis, dimension, sections);
    return out;
  }
  /// This rule for a tensor of that global shape.
  [[nodiscard]] BasicExpertShard of(Shape const& shape) const {
    BasicExpertShard out = *this;
    out.cuts.global = shape;
    return out;
  }

  /// Errors: invalid_argument where the table does not fit the expert axis or the shapes, or gives
  /// a rank the same expert twice.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    Shape whole = cuts.global;
    if (whole.rank() == 0 && local.rank() != 0) {
      whole = detail::whole_of(cuts, local, layout);
      whole[0] = experts;
    }
    return cut(whole, &local, layout, at).finish(local);
  }
  /// The shape of the rank's tensor. Requires the global shape.
  [[nodiscard]] Shape local_shape(Layout const& layout, Coordinate const& at) const {
    return cut(cuts.global, nullptr, layout, at).held;
  }

 private:
  [[nodiscard]] detail::Cutting<T> cut(Shape const& whole, Shape const* local, Layout const& layout,
                                       Coordinate const& at) const {
    auto const ranks = static_cast<std::size_t>(layout.expert);
    if (table.size() % ranks != 0) {
      fail(Errc::invalid_argument,
           text("a table of ", table.size(), " expert slots does not divide over ", layout.expert,
                " ranks of the expert axis"));
    }
    if (whole.rank() == 0 || whole[0] != experts) {
      fail(Errc::invalid_argument, text("grouped experts need a global tensor of shape (", experts,
                                        ", ...), not ", to_string(whole)));
    }
    std::size_t const slots = table.size() / ranks;
    std::size_t const first = slots * static_cast<std::size_t>(at.expert);
    detail::Cutting<T> cutting(whole);
    bool const has_elements = !cutting.boxes.empty();
    cutting.held[0] = static_cast<std::int64_t>(slots);
    cutting.boxes.clear();
    // Without replicas, experts that follow each other make one box. With replicas, all boxes are
    // of one expert, so that those of several ranks are equal.
    bool const merges = table.size() == static_cast<std::size_t>(experts);
    for (std::size_t slot = 0; slot < slots; ++slot) {
      int const expert = table[first + slot];
      for (std::size_t other = 0; other < slot; ++other) {
        if (table[first + other] == expert) {
          fail(Errc::invalid_argument,
               text("expert ", expert, " lies in slots ", other, " and ", slot, " of expert rank ",
                    at.expert, "; a rank may hold an expert once"));
        }
      }
      if (merges && !cutting.boxes.empty() && cutting.boxes.back().box.end(0) == expert) {
        ++cutting.boxes.back().box.extent[0];
      } else if (has_elements) {
        HeldBox held{Box::whole(whole), Extents::filled(whole.rank(), 0)};
        held.box.start[0] = expert;
        held.box.extent[0] = 1;
        held.local_start[0] = static_cast<std::int64_t>(slot);
        cutting.boxes.push_back(held);
      }
    }
    detail::apply_cuts(cutting, cuts, local, layout, at);
    return cutting;
  }
};
using ExpertShard = BasicExpertShard<>;

namespace shard {

/// The experts on dimension 0 are dealt out evenly: expert rank i holds the i-th equal share.
[[nodiscard]] constexpr Shard experts() {
  return split(Axis::expert, 0);
}

/// Grouped experts by a table: slot s of expert rank r holds expert `table[r * slots + s]`, where
/// slots = table.size() / expert ranks. An expert may lie on several ranks (redundant experts).
///
/// Shapes: the rank's tensor is [slots, ...], the global one [experts, ...]; `.then(axis, d)` cuts
/// further dimensions. `experts` left out: the highest in the table, plus one.
/// Errors: invalid_argument where the table names an expert that is none, or leaves one out.
/// Source: the physical-to-logical map of expert load balancers (EPLB).
template <class T = void>
[[nodiscard]] BasicExpertShard<T> experts(std::vector<detail::late<int, T>> table,
                                          int experts = 0) {
  if (experts == 0) {
    for (int const expert : table) {
      experts = expert < experts ? experts : expert + 1;
    }
  }
  expects(experts > 0, "a table of experts needs at least one");
  std::vector<detail::late<std::uint8_t, T>> held(static_cast<std::size_t>(experts), 0);
  for (std::size_t slot = 0; slot < table.size(); ++slot) {
    if (table[slot] < 0 || table[slot] >= experts) {
      fail(Errc::invalid_argument,
           text("slot ", slot, " holds expert ", table[slot], " of ", experts));
    }
    held[static_cast<std::size_t>(table[slot])] = 1;
  }
  for (std::size_t expert = 0; expert < held.size(); ++expert) {
    if (held[expert] == 0) {
      fail(Errc::invalid_argument, text("expert ", expert, " of ", experts, " lies in no slot"));
    }
  }
  BasicExpertShard<T> rule;
  rule.table = std::move(table);
  rule.experts = experts;
  return rule;
}

}  // namespace shard
}  // namespace rlhf::inline v0
