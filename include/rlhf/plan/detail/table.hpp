/// @file
/// Parameters by name, and who holds which box of them. Layer: plan, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// The parameters of the destination, numbered in order of first appearance over its ranks.
template <class = void>
class ParameterTable {
 public:
  explicit ParameterTable(Description const& destination) {
    std::vector<std::pair<std::string_view, HeldParameter const*>> seen;
    for (RankDescription const& rank : destination.ranks) {
      for (HeldParameter const& held : rank.parameters) {
        seen.emplace_back(held.name, &held);
      }
    }
    std::vector<std::size_t> order(seen.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      order[i] = i;
    }
    rlhf::detail::sort_by(order, [&](std::size_t a, std::size_t b) {
      return seen[a].first != seen[b].first ? seen[a].first < seen[b].first : a < b;
    });
    std::vector<std::uint8_t> first(seen.size(), 0);
    for (std::size_t i = 0; i < order.size(); ++i) {
      first[order[i]] = (i == 0 || seen[order[i]].first != seen[order[i - 1]].first) ? 1 : 0;
    }
    for (std::size_t i = 0; i < seen.size(); ++i) {
      if (first[i] != 0) {
        by_name_.emplace_back(seen[i].first, static_cast<int>(parameters.size()));
        parameters.push_back(PlannedParameter{std::string(seen[i].first), seen[i].second->dtype,
                                              seen[i].second->holding.global});
      }
    }
    rlhf::detail::sort(by_name_);
  }

  /// The number of a parameter, or -1.
  [[nodiscard]] int find(std::string_view name) const {
    std::size_t const at =
        rlhf::detail::first_not(by_name_, [&](auto const& entry) { return entry.first < name; });
    return at == by_name_.size() || by_name_[at].first != name ? -1 : by_name_[at].second;
  }

  /// Checks that a rank's idea of a parameter is the table's.
  void expect_same(int parameter, HeldParameter const& held, int world_rank,
                   char const* side) const {
    PlannedParameter const& known = parameters[static_cast<std::size_t>(parameter)];
    if (held.dtype != known.dtype || held.holding.global != known.global) {
      fail(Errc::incompatible_policy,
           text("parameter ", held.name, " is ", rlhf::to_string(known.dtype), " ",
                to_string(known.global), " in the destination, but ", rlhf::to_string(held.dtype),
                " ", to_string(held.holding.global), " on ", side, " rank ", world_rank,
                "; global shapes and types must be equal on all ranks"),
           world_rank);
    }
  }

  std::vector<PlannedParameter> parameters;

 private:
  std::vector<std::pair<std::string_view, int>> by_name_;
};

/// A box that some source ranks hold.
struct SourceBox {
  Box box;
  std::vector<int> holders;  ///< Source module ranks, ascending.

  template <class = void>
  [[nodiscard]] bool held_by(int rank) const {
    std::size_t const at =
        rlhf::detail::first_not(holders, [&](int other) { return other < rank; });
    return at < holders.size() && holders[at] == rank;
  }
};

[[nodiscard]] constexpr bool before(Box const& a, Box const& b) noexcept {
  for (int d = 0; d < a.rank(); ++d) {
    if (a.start[d] != b.start[d]) {
      return a.start[d] < b.start[d];
    }
  }
  for (int d = 0; d < a.rank(); ++d) {
    if (a.extent[d] != b.extent[d]) {
      return a.extent[d] < b.extent[d];
    }
  }
  return false;
}

/// For each parameter of the table, the distinct boxes of the source and who holds them, in order
/// of the boxes. Names that only the source has go to `unused`.
template <class = void>
[[nodiscard]] std::vector<std::vector<SourceBox>> source_boxes(Description const& source,
                                                               ParameterTable<> const& table,
                                                               std::vector<std::string>& unused) {
  std::vector<std::vector<std::pair<Box, int>>> held(table.parameters.size());
  for (std::size_t rank = 0; rank < source.ranks.size(); ++rank) {
    for (HeldParameter const& parameter : source.ranks[rank].parameters) {
      int const number = table.find(parameter.name);
      if (number < 0) {
        unused.push_back(parameter.name);
        continue;
      }
      table.expect_same(number, parameter, source.ranks[rank].world_rank, "source");
      for (HeldBox const& box : parameter.holding.boxes) {
        held[static_cast<std::size_t>(number)].emplace_back(box.box, static_cast<int>(rank));
      }
    }
  }
  rlhf::detail::sort(unused);
  std::size_t distinct = 0;
  for (std::size_t i = 0; i < unused.size(); ++i) {
    if (i == 0 || unused[i] != unused[distinct - 1]) {
      unused[distinct].swap(unused[i]);
      ++distinct;
    }
  }
  unused.resize(distinct);

  std::vector<std::vector<SourceBox>> boxes(held.size());
  for (std::size_t p = 0; p < held.size(); ++p) {
    rlhf::detail::sort_by(held[p],
                          [](auto const& a, auto const& b) { return before(a.first, b.first); });
    for (auto const& [box, rank] : held[p]) {
      if (boxes[p].empty() || boxes[p].back().box != box) {
        boxes[p].push_back(SourceBox{box, {}});
      }
      std::vector<int>& holders = boxes[p].back().holders;
      if (holders.empty() || holders.back() != rank) {
        holders.push_back(rank);
      }
    }
  }
  return boxes;
}

}  // namespace rlhf::inline v0::plan::detail
