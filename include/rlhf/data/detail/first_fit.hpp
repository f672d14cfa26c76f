/// @file
/// Things of different sizes into bins of one size. Layer: data, private.
#pragma once

#include <rlhf/core/sort.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data::detail {

/// Numbers 0 .. size-1, those of larger values first, equal ones in rising order.
[[nodiscard]] inline std::vector<std::int64_t> largest_first(std::span<std::int64_t const> values) {
  std::vector<std::int64_t> order;
  order.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    order.push_back(static_cast<std::int64_t>(i));
  }
  rlhf::detail::sort_by(order, [&](std::int64_t a, std::int64_t b) {
    return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
  });
  return order;
}

/// For each thing the first bin with room, in the given order of things. Values are 0 .. capacity.
///
/// With the largest first it needs at most 11/9 of the fewest bins, and 6/9 of one (Dosa 2007).
/// Cost: n log n.
[[nodiscard]] inline std::vector<std::int64_t> first_fit(std::span<std::int64_t const> values,
                                                         std::vector<std::int64_t> const& order,
                                                         std::int64_t capacity,
                                                         std::int64_t& bins) {
  std::size_t leaves = 1;
  while (leaves < values.size()) {
    leaves *= 2;
  }
  std::vector<std::int64_t> room(2 * leaves, capacity);  // a tree: most room below each node
  std::vector<std::int64_t> bin_of(values.size(), 0);
  bins = 0;
  for (std::int64_t const thing : order) {
    std::int64_t const size = values[static_cast<std::size_t>(thing)];
    std::size_t node = 1;
    while (node < leaves) {
      node = room[2 * node] >= size ? 2 * node : 2 * node + 1;
    }
    std::int64_t const bin = static_cast<std::int64_t>(node - leaves);
    bin_of[static_cast<std::size_t>(thing)] = bin;
    bins = bin + 1 > bins ? bin + 1 : bins;
    room[node] -= size;
    for (node /= 2; node > 0; node /= 2) {
      room[node] = room[2 * node] > room[2 * node + 1] ? room[2 * node] : room[2 * node + 1];
    }
  }
  return bin_of;
}

/// The members of each group, in rising order.
[[nodiscard]] inline Rows<std::int64_t> groups_of(std::vector<std::int64_t> const& group_of,
                                                  std::int64_t groups) {
  std::vector<std::int64_t> begins(static_cast<std::size_t>(groups) + 1, 0);
  for (std::int64_t const group : group_of) {
    ++begins[static_cast<std::size_t>(group) + 1];
  }
  for (std::size_t g = 1; g < begins.size(); ++g) {
    begins[g] += begins[g - 1];
  }
  std::vector<std::int64_t> next(begins.begin(), begins.end());
  std::vector<std::int64_t> members(group_of.size());
  for (std::size_t i = 0; i < group_of.size(); ++i) {
    std::size_t const group = static_cast<std::size_t>(group_of[i]);
    members[static_cast<std::size_t>(next[group]++)] = static_cast<std::int64_t>(i);
  }
  Rows<std::int64_t> out;
  out.assign(std::move(members), std::move(begins));
  return out;
}

}  // namespace rlhf::inline v0::data::detail
