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

namespace detail {

template <class T = void>
void add(Fingerprint& print, Extents const& extents) {
  print.add(static_cast<std::uint64_t>(extents.rank()));
  for (int d = 0; d < extents.rank(); ++d) {
    print.add(static_cast<std::uint64_t>(extents[d]));
  }
}
template <class T = void>
void add(Fingerprint& print, Box const& box) {
  add(print, box.start);
  add(print, box.extent);
}
template <class T = void>
void add(Fingerprint& print, rlhf::detail::late_vector<int, T> const& ranks) {
  print.add(static_cast<std::uint64_t>(ranks.size()));
  for (int const rank : ranks) {
    print.add(static_cast<std::uint64_t>(rank));
  }
}

/// Lists without repeats: `add` gives the number of an equal one that is there already.
template <class Item>
class Distinct {
 public:
  explicit Distinct(std::vector<Item>& items) : items_(&items) {}

  template <class Print>
  std::int32_t add(Item item, Print&& print_of) {
    Fingerprint print;
    print_of(print, item);
    std::uint64_t const hash = print.value();
    int found = index_.find(
        hash, [&](int number) { return (*items_)[static_cast<std::size_t>(number)] == item; });
    if (found < 0) {
      found = static_cast<int>(items_->size());
      items_->push_back(std::move(item));
      index_.add(hash, found);
    }
    return found;
  }

 private:
  std::vector<Item>* items_;
  rlhf::detail::HashIndex<rlhf::detail::late<void, Item>> index_;
};

}  // namespace detail

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
    std::uint64_t const hash = Fingerprint().add(name).value();
    if (find(hash, name) >= 0) {
      fail(Errc::invalid_argument, text("parameter ", name, " is listed twice"));
    }
    names_.add(hash, static_cast<int>(placement_.parameters.size()));
    placement_.parameters.push_back(PlacedParameter{std::string(name), dtype, global, pattern});
  }
  /// The number of a parameter, or -1.
  [[nodiscard]] int find(std::string_view name) const {
    return find(Fingerprint().add(name).value(), name);
  }
  [[nodiscard]] PlacedParameter& parameter(int number) {
    return placement_.parameters[static_cast<std::size_t>(number)];
  }
  [[nodiscard]] BasicPlacement<T> take() { return std::move(placement_); }

 private:
  [[nodiscard]] int find(std::uint64_t hash, std::string_view name) const {
    return names_.find(hash, [&](int number) {
      return placement_.parameters[static_cast<std::size_t>(number)].name == name;
    });
  }

  BasicPlacement<T> placement_;
  detail::Distinct<rlhf::detail::late_vector<int, T>> sets_{placement_.rank_sets};
  detail::Distinct<rlhf::detail::late_vector<Part, T>> patterns_{placement_.patterns};
  rlhf::detail::HashIndex<T> names_;
};

/// The placement of what every rank of a module listed; parameters in order of first appearance.
///
/// Errors: incompatible_policy naming the parameter and rank where ranks disagree on its shape or
/// type. `side` is for messages. Cost: n log n in the boxes that all ranks list.
template <class T = void>
[[nodiscard]] BasicPlacement<T> placement_of(BasicDescription<T> const& description,
                                             char const* side = "a") {
  rlhf::detail::late_vector<int, T> world_ranks;
  for (auto const& rank : description.ranks) {
    world_ranks.push_back(rank.world_rank);
  }
  PlacementBuilder<T> builder(description.layout, std::move(world_ranks));
  struct Held {
    Box box{};
    int rank = 0;
  };
  rlhf::detail::late_vector<std::vector<Held>, T> held_of;
  rlhf::detail::late_vector<int, T> first_rank;
  for (std::size_t r = 0; r < description.ranks.size(); ++r) {
    int const world_rank = description.ranks[r].world_rank;
    for (auto const& held : description.ranks[r].parameters) {
      int number = builder.find(held.name);
      if (number < 0) {
        number = static_cast<int>(held_of.size());
        builder.add(held.name, held.dtype, held.holding.global, 0);
        held_of.emplace_back();
        first_rank.push_back(world_rank);
      }
      auto const& known = builder.parameter(number);
      if (held.dtype != known.dtype || held.holding.global != known.global) {
        fail(
            Errc::incompatible_policy,
            text("parameter ", held.name, " is ", rlhf::to_string(known.dtype), " ",
                 to_string(known.global), " on rank ", first_rank[static_cast<std::size_t>(number)],
                 ", but ", rlhf::to_string(held.dtype), " ", to_string(held.holding.global), " on ",
                 side, " rank ", world_rank,
                 "; global shape and type must be equal on all ranks of a module"),
            world_rank);
      }
      for (HeldBox const& box : held.holding.boxes) {
        held_of[static_cast<std::size_t>(number)].push_back(Held{box.box, static_cast<int>(r)});
      }
    }
  }
  for (std::size_t p = 0; p < held_of.size(); ++p) {
    auto& held = held_of[p];
    rlhf::detail::sort_by(held, [](Held const& a, Held const& b) {
      return a.box != b.box ? before(a.box, b.box) : a.rank < b.rank;
    });
    rlhf::detail::late_vector<Part, T> parts;
    for (std::size_t i = 0; i < held.size();) {
      Box const box = held[i].box;
      rlhf::detail::late_vector<int, T> ranks;
      for (; i < held.size() && held[i].box == box; ++i) {
        if (ranks.empty() || ranks.back() != held[i].rank) {
          ranks.push_back(held[i].rank);
        }
      }
      parts.push_back(Part{box, builder.ranks(std::move(ranks))});
    }
    builder.parameter(static_cast<int>(p)).pattern = builder.pattern(std::move(parts));
  }
  return builder.take();
}

}  // namespace rlhf::inline v0::plan
