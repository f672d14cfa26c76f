/// @file
/// Where the parameters of a module lie: distinct boxes, and the ranks that hold each. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/detail/distinct.hpp>
#include <rlhf/plan/listing.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// A box of a parameter and the set of ranks that hold all of it.
struct Part {
  Box box{};
  std::int32_t ranks = 0;  ///< Index into `Placement::rank_sets`.

  constexpr bool operator==(Part const&) const noexcept = default;
};

/// A parameter of a module, wherever its parts lie.
struct PlacedParameter {
  std::string name;
  DType dtype = DType::f32;
  Shape global{};
  std::int32_t pattern = 0;  ///< Index into `Placement::patterns`.
};

/// One side of a sync in a compact form: parameters that lie alike share a pattern, so that the
/// size is that of the distinct patterns, not of ranks times parameters.
///
/// Made by `placement_of` from what every rank listed, or from rules alone by `PlacementBuilder`.
/// (A template so that including this costs little; `Placement` is the only instance.)
template <class T = void>
struct BasicPlacement {
  Layout layout{};
  rlhf::detail::late_vector<int, T> world_ranks;  ///< Of the module's ranks, in module order.
  rlhf::detail::late_vector<PlacedParameter, T>
      parameters;  ///< In a fixed order; names are distinct.
  rlhf::detail::late_vector<std::vector<Part>, T> patterns;  ///< Parts in order of their boxes.
  rlhf::detail::late_vector<std::vector<int>, T> rank_sets;  ///< Module ranks, ascending.
};
using Placement = BasicPlacement<>;

/// The order of boxes in patterns: by start, then by extent.
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

/// Builds a placement parameter by parameter. `T` as in `BasicPlacement`.
template <class T = void>
class PlacementBuilder {
 public:
  /// A module of that layout on those world ranks. Errors: invalid_argument where they differ in
  /// number.
  PlacementBuilder(Layout const& layout, rlhf::detail::late_vector<int, T> world_ranks) {
    expects(static_cast<int>(world_ranks.size()) == layout.ranks(),
            "a description needs one entry for each rank of its layout");
    placement_.layout = layout;
    placement_.world_ranks = std::move(world_ranks);
  }

  PlacementBuilder(PlacementBuilder&&) = delete;  // parts of it refer to others
  PlacementBuilder(PlacementBuilder const&) = delete;
  PlacementBuilder& operator=(PlacementBuilder&&) = delete;
  PlacementBuilder& operator=(PlacementBuilder const&) = delete;
  ~PlacementBuilder() = default;

  /// The set of these module ranks, which ascend.
  [[nodiscard]] std::int32_t ranks(rlhf::detail::late_vector<int, T> ascending) {
    return sets_.add(std::move(ascending),
                     [](Fingerprint& print, auto const& set) { detail::add(print, set); });
  }
  /// The pattern of these parts.
  [[nodiscard]] std::int32_t pattern(rlhf::detail::late_vector<Part, T> parts) {
    rlhf::detail::sort_by(parts, [](Part const& a, Part const& b) { return before(a.box, b.box); });
    return patterns_.add(std::move(parts), [](Fingerprint& print, auto const& all) {
      for (Part const& part : all) {
        detail::add(print, part.box);
        print.add(static_cast<std::uint64_t>(part.ranks));
      }
    });
  }
  /// Adds a parameter. Errors: invalid_argument where the name is there already.
  void add(std::string_view name, DType dtype, Shape const& global, std::int32_t pattern) {
    std::size_t const count = placement_.parameters.size();
    PlacedParameter& added = parameter(find_or_add(name, dtype, global));
    if (placement_.parameters.size() == count) {
      fail(Errc::invalid_argument, text("parameter ", name, " is listed twice"));
    }
    added.pattern = pattern;
  }
  /// The number of the parameter of that name, which is added where it is not there.
  [[nodiscard]] int find_or_add(std::string_view name, DType dtype, Shape const& global) {
    std::uint64_t const hash = Fingerprint().add(name).value();
    int number = names_.find(hash, [&, this](int other) { return parameter(other).name == name; });
    if (number < 0) {
      number = static_cast<int>(placement_.parameters.size());
      names_.add(hash, number);
      placement_.parameters.push_back(PlacedParameter{std::string(name), dtype, global, 0});
    }
    return number;
  }
  [[nodiscard]] std::size_t parameters() const { return placement_.parameters.size(); }
  /// Makes room for so many.
  void reserve(std::size_t parameters) { placement_.parameters.reserve(parameters); }
  [[nodiscard]] PlacedParameter& parameter(int number) {
    return placement_.parameters[static_cast<std::size_t>(number)];
  }
  [[nodiscard]] BasicPlacement<T> take() { return std::move(placement_); }

 private:
  BasicPlacement<T> placement_;
  detail::Distinct<rlhf::detail::late_vector<int, T>> sets_{placement_.rank_sets};
  detail::Distinct<rlhf::detail::late_vector<Part, T>> patterns_{placement_.patterns};
  rlhf::detail::HashIndex<T> names_;
};

namespace detail {

/// Turns a listing into a placement. A parameter lies by the kinds in which it is listed, and kinds
/// are few: each set of kinds in which any parameter is listed is looked at once.
template <class T>
class ListingPlacer {
 public:
  ListingPlacer(BasicListing<T> const& listing, char const* side)
      : listing_(listing),
        side_(side),
        builder_(listing.layout, world_ranks(listing)) {}

  [[nodiscard]] BasicPlacement<T> place() {
    number_parameters();
    number_boxes();
    rlhf::detail::late_vector<std::int32_t, T> pattern_of(sets_.size() + 1, -1);
    for (std::size_t p = 0; p < set_of_.size(); ++p) {
      std::int32_t& pattern = pattern_of[static_cast<std::size_t>(set_of_[p] + 1)];
      if (pattern < 0) {
        pattern = this->pattern(set_of_[p]);
      }
      builder_.parameter(static_cast<int>(p)).pattern = pattern;
    }
    return builder_.take();
  }

 private:
  /// A set of kinds: one more kind than another set has.
  struct KindSet {
    std::int32_t rest = -1;  // index of the other one; -1: the empty set
    std::int32_t grouping = 0;
    std::int32_t kind = 0;
  };

  [[nodiscard]] static rlhf::detail::late_vector<int, T> world_ranks(
      BasicListing<T> const& listing) {
    rlhf::detail::late_vector<int, T> ranks;
    for (auto const& rank : listing.ranks) {
      ranks.push_back(rank.world_rank);
    }
    return ranks;
  }

  /// Gives parameters their numbers, by first appearance, and finds the set of each.
  void number_parameters() {
    rlhf::detail::late_vector<std::vector<int>, T> numbers(listing_.lists.size());
    rlhf::detail::late_vector<std::uint8_t, T> is_numbered(listing_.lists.size(), 0);
    ranks_of_.resize(listing_.groupings.size());
    std::size_t longest = 0;
    for (auto const& list : listing_.lists) {
      longest = list.entries.size() > longest ? list.entries.size() : longest;
    }
    builder_.reserve(longest);
    for (std::size_t r = 0; r < listing_.ranks.size(); ++r) {
      auto const g = static_cast<std::size_t>(listing_.ranks[r].grouping);
      auto const& grouping = listing_.groupings[g];
      auto const list = static_cast<std::size_t>(grouping.list);
      ranks_of_[g].push_back(static_cast<int>(r));
      if (ranks_of_[g].size() > 1) {
        continue;
      }
      if (is_numbered[list] == 0) {
        is_numbered[list] = 1;
        numbers[list] = numbers_of(listing_.lists[list], listing_.ranks[r].world_rank);
      }
      grouping.for_each(listing_.lists[list], [&, this](std::size_t p, int kind) {
        std::int32_t& set = set_of_[static_cast<std::size_t>(numbers[list][p])];
        set = with(set, static_cast<std::int32_t>(g), kind);
      });
    }
  }
  [[nodiscard]] std::vector<int> numbers_of(BasicParameterList<T> const& list, int world_rank) {
    rlhf::detail::late_vector<int, T> numbers;
    numbers.reserve(list.entries.size());
    for (std::size_t p = 0; p < list.entries.size(); ++p) {
      ParameterType const& type = list.types[static_cast<std::size_t>(list.entries[p].type)];
      int const number = builder_.find_or_add(list.name(p), type.dtype, type.global);
      if (builder_.parameters() > first_rank_.size()) {
        first_rank_.push_back(world_rank);
        set_of_.push_back(-1);
      }
      auto const& known = builder_.parameter(number);
      if (type.dtype != known.dtype || type.global != known.global) {
        fail(Errc::incompatible_policy,
             text("parameter ", known.name, " is ", rlhf::to_string(known.dtype), " ",
                  to_string(known.global), " on rank ",
                  first_rank_[static_cast<std::size_t>(number)], ", but ",
                  rlhf::to_string(type.dtype), " ", to_string(type.global), " on ", side_, " rank ",
                  world_rank, "; global shape and type must be equal on all ranks of a module"),
             world_rank);
      }
      numbers.push_back(number);
    }
    return numbers;
  }
  [[nodiscard]] std::int32_t with(std::int32_t rest, std::int32_t grouping, std::int32_t kind) {
    std::uint64_t const hash =
        Fingerprint()
            .add(static_cast<std::uint64_t>(rest))
            .add(static_cast<std::uint64_t>(grouping) << 32 | static_cast<std::uint64_t>(kind))
            .value();
    int found = set_index_.find(hash, [&, this](int number) {
      KindSet const& set = sets_[static_cast<std::size_t>(number)];
      return set.rest == rest && set.grouping == grouping && set.kind == kind;
    });
    if (found < 0) {
      found = static_cast<int>(sets_.size());
      set_index_.add(hash, found);
      sets_.push_back(KindSet{rest, grouping, kind});
    }
    return found;
  }

  void number_boxes() {
    Distinct<Box> distinct(boxes_);
    for (auto const& boxes : listing_.holdings) {
      auto& numbers = boxes_of_.emplace_back();
      for (Box const& box : boxes) {
        numbers.push_back(
            distinct.add(box, [](Fingerprint& print, Box const& b) { detail::add(print, b); }));
      }
    }
  }

  [[nodiscard]] std::int32_t pattern(std::int32_t set) {
    rlhf::detail::late_vector<std::uint64_t, T> held;  // number of the box, then rank
    for (; set >= 0; set = sets_[static_cast<std::size_t>(set)].rest) {
      KindSet const& one = sets_[static_cast<std::size_t>(set)];
      for (int const rank : ranks_of_[static_cast<std::size_t>(one.grouping)]) {
        int const holding = listing_.ranks[static_cast<std::size_t>(rank)]
                                .holdings[static_cast<std::size_t>(one.kind)];
        for (int const box : boxes_of_[static_cast<std::size_t>(holding)]) {
          held.push_back(static_cast<std::uint64_t>(box) << 32 | static_cast<std::uint32_t>(rank));
        }
      }
    }
    rlhf::detail::sort(held);
    struct Group {
      Box const* box = nullptr;
      std::size_t begin = 0;
    };
    rlhf::detail::late_vector<Group, T> groups;
    for (std::size_t i = 0; i < held.size(); ++i) {
      if (i == 0 || held[i] >> 32 != held[i - 1] >> 32) {
        groups.push_back(Group{&boxes_[static_cast<std::size_t>(held[i] >> 32)], i});
      }
    }
    rlhf::detail::sort_by(groups,
                          [](Group const& a, Group const& b) { return before(*a.box, *b.box); });
    rlhf::detail::late_vector<Part, T> parts;
    for (Group const& group : groups) {
      rlhf::detail::late_vector<int, T> ranks;
      for (std::size_t i = group.begin; i < held.size() && held[i] >> 32 == held[group.begin] >> 32;
           ++i) {
        if (i == group.begin || held[i] != held[i - 1]) {
          ranks.push_back(static_cast<int>(held[i] & 0xffffffffU));
        }
      }
      parts.push_back(Part{*group.box, builder_.ranks(std::move(ranks))});
    }
    return builder_.pattern(std::move(parts));
  }

  BasicListing<T> const& listing_;
  char const* side_;
  PlacementBuilder<T> builder_;
  rlhf::detail::late_vector<int, T> first_rank_;             // of every parameter
  rlhf::detail::late_vector<std::int32_t, T> set_of_;        // of every parameter
  rlhf::detail::late_vector<std::vector<int>, T> ranks_of_;  // of every grouping, ascending
  rlhf::detail::late_vector<KindSet, T> sets_;
  rlhf::detail::HashIndex<T> set_index_;
  rlhf::detail::late_vector<Box, T> boxes_;
  rlhf::detail::late_vector<std::vector<int>, T> boxes_of_;  // of every holding
};

}  // namespace detail

/// The placement of what every rank of a module lists; parameters in order of first appearance.
///
/// Errors: incompatible_policy naming the parameter and rank where ranks disagree on its shape or
/// type. `side` is for messages. Cost: a hash for each parameter of each distinct list; the ranks
/// of each distinct way of lying, n log n.
template <class T>
[[nodiscard]] BasicPlacement<T> placement_of(BasicListing<T> const& listing,
                                             char const* side = "a") {
  return detail::ListingPlacer<T>(listing, side).place();
}

/// The same for what every rank described. Cost: two hashes more for each parameter of each rank.
template <class T>
[[nodiscard]] BasicPlacement<T> placement_of(BasicDescription<T> const& description,
                                             char const* side = "a") {
  return placement_of(listing_of(description), side);
}

}  // namespace rlhf::inline v0::plan
