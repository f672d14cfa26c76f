/// @file
/// Which of several source ranks sends what. Layer: plan, private.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// How badly a source rank fits a destination rank in the reference's pairing; 0 fits.
[[nodiscard]] constexpr int distance(Layout const& source, Coordinate const& from,
                                     Layout const& destination, Coordinate const& to) noexcept {
  int const tensor = to.tensor * source.tensor / destination.tensor;
  return (from.data != to.data % source.data ? 4 : 0) + (from.tensor != tensor ? 2 : 0) +
         (from.expert != to.expert % source.expert ? 1 : 0);
}

/// Deals `units` of `cost` each to ranks with these loads, each to the one with the least so far
/// (the first of several). Adds to the loads; returns how many each got.
///
/// The same as one after the other, in r log(units) steps: those units go out whose turn, the load
/// that their rank has before them, comes first.
template <class T = void>
[[nodiscard]] rlhf::detail::late_vector<std::int64_t, T> deal(
    rlhf::detail::late_vector<std::int64_t, T>& loads, std::int64_t units, std::int64_t cost) {
  rlhf::detail::late_vector<std::int64_t, T> got(loads.size(), 0);
  if (loads.size() == 1 || cost == 0) {
    got[0] = units;
    loads[0] += units * cost;
    return got;
  }
  auto const before_turn = [&](std::int64_t turn, std::int64_t load) {
    return turn > load ? (turn - load + cost - 1) / cost : 0;
  };
  std::int64_t least = loads[0];
  for (std::int64_t const load : loads) {
    least = load < least ? load : least;
  }
  // The largest turn before which at most `units` go out.
  std::int64_t low = least;
  std::int64_t high = least + units * cost + 1;
  while (low + 1 < high) {
    std::int64_t const turn = low + (high - low) / 2;
    std::int64_t out = 0;
    for (std::int64_t const load : loads) {
      out += before_turn(turn, load);
      if (out > units) {
        break;
      }
    }
    (out <= units ? low : high) = turn;
  }
  std::int64_t left = units;
  for (std::size_t i = 0; i < loads.size(); ++i) {
    got[i] = before_turn(low, loads[i]);
    left -= got[i];
  }
  for (std::size_t i = 0; i < loads.size() && left > 0; ++i) {
    if (loads[i] + got[i] * cost == low) {
      ++got[i];
      --left;
    }
  }
  for (std::size_t i = 0; i < loads.size(); ++i) {
    loads[i] += got[i] * cost;
  }
  return got;
}

/// Longest processing time first: the units of the largest boxes choose first, each the source rank
/// with the fewest bytes to send so far. Fills in `Move::first`.
///
/// With `narrow`, moves of fewer units than sources keep only the sources that got one, or plans of
/// many small moves between thousands of ranks would be mostly empty shares. `add_ranks(ranks)`
/// gives the number of a rank set.
template <class T, class AddRanks>
void choose_balanced(BasicPlan<T>& plan, bool narrow, AddRanks&& add_ranks) {
  rlhf::detail::late_vector<std::size_t, T> order(plan.moves.size());
  rlhf::detail::late_vector<std::int64_t, T> bytes(plan.moves.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    auto const& move = plan.moves[i];
    bytes[i] = wire_bytes(plan.kinds[static_cast<std::size_t>(move.kind)], move.box);
  }
  rlhf::detail::sort_by(order, [&](std::size_t a, std::size_t b) { return bytes[a] > bytes[b]; });
  rlhf::detail::late_vector<std::int64_t, T> sent(static_cast<std::size_t>(plan.world), 0);
  rlhf::detail::late_vector<std::int64_t, T> loads;
  for (std::size_t const i : order) {
    auto& move = plan.moves[i];
    auto const& sources = plan.rank_sets[static_cast<std::size_t>(move.sources)];
    loads.clear();
    for (int const rank : sources) {
      loads.push_back(sent[static_cast<std::size_t>(rank)]);
    }
    auto const& path = plan.paths[static_cast<std::size_t>(move.paths.front())];
    auto const copies = path.method == Method::broadcast
                            ? std::int64_t{1}
                            : static_cast<std::int64_t>(path.receivers.size());
    std::int64_t const units = move.parameters() * static_cast<std::int64_t>(move.paths.size());
    auto const got = deal(loads, units, bytes[i] * copies);
    move.first.assign(1, 0);
    for (std::size_t s = 0; s < sources.size(); ++s) {
      sent[static_cast<std::size_t>(sources[s])] = loads[s];
      move.first.push_back(move.first.back() + got[s]);
    }
    if (narrow && units < std::ssize(sources)) {
      rlhf::detail::late_vector<int, T> used;
      rlhf::detail::late_vector<std::int64_t, T> first(1, 0);
      for (std::size_t s = 0; s < sources.size(); ++s) {
        if (got[s] > 0) {
          used.push_back(sources[s]);
          first.push_back(first.back() + got[s]);
        }
      }
      move.first = std::move(first);
      move.sources = add_ranks(std::move(used));  // `sources` is gone from here on
    }
  }
}

}  // namespace rlhf::inline v0::plan::detail
