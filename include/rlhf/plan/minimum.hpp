/// @file
/// The fewest bytes that a sync must move, from the placements alone. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// Bytes that the destination's ranks hold and that they lack on the source side.
struct MinimumBytes {
  std::int64_t needed = 0;   ///< That all destination ranks hold.
  std::int64_t lacking = 0;  ///< Of those, not on the same rank as a source: at least these move.

  constexpr bool operator==(MinimumBytes const&) const noexcept = default;
};

namespace detail {

/// Counts elements of one pair of patterns, rank by rank.
template <class T>
class LackCounter {
 public:
  LackCounter(BasicPlacement<T> const& source, BasicPlacement<T> const& destination)
      : source_(source),
        destination_(destination),
        own_(destination.world_ranks.size()) {
    rlhf::detail::late_vector<int, T> source_of;
    for (std::size_t s = 0; s < source.world_ranks.size(); ++s) {
      auto const world = static_cast<std::size_t>(source.world_ranks[s]);
      if (source_of.size() <= world) {
        source_of.resize(world + 1, -1);
      }
      source_of[world] = static_cast<int>(s);
    }
    held_.resize(source.world_ranks.size());
    for (std::size_t d = 0; d < own_.size(); ++d) {
      auto const world = static_cast<std::size_t>(destination.world_ranks[d]);
      own_[d] = world < source_of.size() ? source_of[world] : -1;
    }
  }

  /// Elements of one parameter that lies so on both sides.
  [[nodiscard]] MinimumBytes elements(std::int32_t from, std::int32_t to) {
    for (auto& boxes : held_) {
      boxes.clear();
    }
    for (Part const& part : source_.patterns[static_cast<std::size_t>(from)]) {
      for (int const rank : source_.rank_sets[static_cast<std::size_t>(part.ranks)]) {
        held_[static_cast<std::size_t>(rank)].push_back(&part.box);
      }
    }
    MinimumBytes out;
    for (Part const& part : destination_.patterns[static_cast<std::size_t>(to)]) {
      std::int64_t const elements = part.box.elements();
      for (int const rank : destination_.rank_sets[static_cast<std::size_t>(part.ranks)]) {
        int const own = own_[static_cast<std::size_t>(rank)];
        out.needed += elements;
        out.lacking += own < 0 ? elements : without(part.box, held_[static_cast<std::size_t>(own)]);
      }
    }
    return out;
  }

 private:
  [[nodiscard]] std::int64_t without(Box const& box, std::vector<Box const*> const& held) {
    rest_.assign(1, box);
    for (Box const* const other : held) {
      next_.clear();
      for (Box const& part : rest_) {
        subtract(part, *other, next_);
      }
      rest_.swap(next_);
    }
    std::int64_t elements = 0;
    for (Box const& part : rest_) {
      elements += part.elements();
    }
    return elements;
  }

  BasicPlacement<T> const& source_;
  BasicPlacement<T> const& destination_;
  rlhf::detail::late_vector<int, T> own_;  // destination module rank to source module rank, or -1
  rlhf::detail::late_vector<std::vector<Box const*>, T>
      held_;  // by source module rank, of one pattern
  rlhf::detail::late_vector<Box, T> rest_;
  rlhf::detail::late_vector<Box, T> next_;
};

/// Calls `visit(from pattern, to pattern, bytes)` for every pair of ways of lying, with the bytes
/// on the links of one element of all parameters that lie so.
///
/// Errors: incompatible_policy where the source lacks a parameter.
template <class T, class Visit>
void for_each_pair(BasicPlacement<T> const& source, BasicPlacement<T> const& destination,
                   Visit&& visit) {
  rlhf::detail::HashIndex<T> by_name;
  for (std::size_t s = 0; s < source.parameters.size(); ++s) {
    by_name.add(Fingerprint().add(source.parameters[s].name).value(), static_cast<int>(s));
  }
  struct Pair {
    std::int32_t from = 0;
    std::int32_t to = 0;
    std::int64_t bytes = 0;
  };
  rlhf::detail::late_vector<Pair, T> pairs;
  rlhf::detail::HashIndex<T> by_pair;
  for (PlacedParameter const& wanted : destination.parameters) {
    int const found = by_name.find(Fingerprint().add(wanted.name).value(), [&](int number) {
      return source.parameters[static_cast<std::size_t>(number)].name == wanted.name;
    });
    if (found < 0) {
      fail(Errc::incompatible_policy, text("the source has no parameter ", wanted.name));
    }
    PlacedParameter const& given = source.parameters[static_cast<std::size_t>(found)];
    std::uint64_t const hash = Fingerprint()
                                   .add(static_cast<std::uint64_t>(given.pattern))
                                   .add(static_cast<std::uint64_t>(wanted.pattern))
                                   .value();
    int pair = by_pair.find(hash, [&](int number) {
      Pair const& known = pairs[static_cast<std::size_t>(number)];
      return known.from == given.pattern && known.to == wanted.pattern;
    });
    if (pair < 0) {
      pair = static_cast<int>(pairs.size());
      by_pair.add(hash, pair);
      pairs.push_back(Pair{given.pattern, wanted.pattern, 0});
    }
    pairs[static_cast<std::size_t>(pair)].bytes +=
        size_of(Kind{given.dtype, wanted.dtype, {}, {}}.wire());
  }
  for (Pair const& pair : pairs) {
    visit(pair.from, pair.to, pair.bytes);
  }
}

/// The distinct boxes of a pattern in each domain that holds any.
template <class T>
class DomainBoxes {
 public:
  DomainBoxes(BasicPlacement<T> const& side, std::int32_t pattern,
              BasicTopology<T> const& topology) {
    std::int32_t number = 0;
    for (Part const& part : side.patterns[static_cast<std::size_t>(pattern)]) {
      for (int const rank : side.rank_sets[static_cast<std::size_t>(part.ranks)]) {
        all_.emplace_back(topology.domain_of(side.world_ranks[static_cast<std::size_t>(rank)]),
                          number);
      }
      boxes_.push_back(part.box);
      ++number;
    }
    rlhf::detail::sort(all_);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (kept == 0 || all_[kept - 1] != all_[i]) {
        all_[kept++] = all_[i];
      }
    }
    all_.resize(kept);
  }

  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  [[nodiscard]] int domain(std::size_t at) const { return all_[at].first; }
  [[nodiscard]] Box const& box(std::size_t at) const {
    return boxes_[static_cast<std::size_t>(all_[at].second)];
  }
  /// The first of a domain's boxes.
  [[nodiscard]] std::size_t first_of(int domain) const {
    return rlhf::detail::first_not(all_, [&](auto const& one) { return one.first < domain; });
  }

 private:
  rlhf::detail::late_vector<std::pair<int, std::int32_t>, T> all_;  // (domain, box)
  rlhf::detail::late_vector<Box, T> boxes_;
};

/// Elements that the domains need and do not have, each domain's once.
template <class T>
[[nodiscard]] std::int64_t lacking_in_domains(DomainBoxes<T> const& held,
                                              DomainBoxes<T> const& needed) {
  std::int64_t elements = 0;
  rlhf::detail::late_vector<Box, T> rest;
  rlhf::detail::late_vector<Box, T> next;
  auto const without = [&](Box const& other) {
    next.clear();
    for (Box const& box : rest) {
      subtract(box, other, next);
    }
    rest.swap(next);
  };
  for (std::size_t i = 0; i < needed.size(); ++i) {
    int const domain = needed.domain(i);
    rest.assign(1, needed.box(i));
    for (std::size_t j = i; !rest.empty() && j-- > 0 && needed.domain(j) == domain;) {
      without(needed.box(j));
    }
    for (std::size_t j = held.first_of(domain);
         !rest.empty() && j < held.size() && held.domain(j) == domain; ++j) {
      without(held.box(j));
    }
    for (Box const& box : rest) {
      elements += box.elements();
    }
  }
  return elements;
}

}  // namespace detail

/// What any plan between these placements must move at least. No plan is asked, so that a plan's
/// own count can be held against it: equal means that no byte is sent that a rank has.
///
/// Errors: incompatible_policy where the source lacks a parameter. Cost: for every pair of ways of
/// lying, the ranks that hold it.
template <class T>
[[nodiscard]] MinimumBytes minimum_bytes(BasicPlacement<T> const& source,
                                         BasicPlacement<T> const& destination) {
  detail::LackCounter<T> counter(source, destination);
  MinimumBytes out;
  detail::for_each_pair(source, destination,
                        [&](std::int32_t from, std::int32_t to, std::int64_t bytes) {
                          MinimumBytes const elements = counter.elements(from, to);
                          out.needed += elements.needed * bytes;
                          out.lacking += elements.lacking * bytes;
                        });
  return out;
}

/// The fewest bytes that must cross between domains, whatever the route: of every domain, the
/// distinct bytes that its destination ranks need and none of its source ranks has. 0 for a flat
/// topology.
///
/// Errors: incompatible_policy where the source lacks a parameter. Cost: for every pair of ways of
/// lying the ranks that hold it, and the boxes of each domain, squared.
template <class T>
[[nodiscard]] std::int64_t slow_link_minimum(BasicPlacement<T> const& source,
                                             BasicPlacement<T> const& destination,
                                             BasicTopology<T> const& topology) {
  std::int64_t out = 0;
  if (!topology.is_flat()) {
    detail::for_each_pair(
        source, destination, [&](std::int32_t from, std::int32_t to, std::int64_t bytes) {
          out +=
              bytes * detail::lacking_in_domains(detail::DomainBoxes<T>(source, from, topology),
                                                 detail::DomainBoxes<T>(destination, to, topology));
        });
  }
  return out;
}

}  // namespace rlhf::inline v0::plan
