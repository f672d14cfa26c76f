/// @file
/// What every rank of a module holds, without repeats: the form in which ranks exchange it.
/// Layer: plan.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/detail/distinct.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// Element type and global shape.
struct ParameterType {
  DType dtype = DType::f32;
  Shape global{};

  constexpr bool operator==(ParameterType const&) const noexcept = default;
};

/// Names and types of one rank's parameters, in its order. Tensor and data peers have equal ones.
template <class T = void>
struct BasicParameterList {
  struct Entry {
    std::size_t name_end = 0;  ///< In `names`; the name begins where the one before ends.
    std::int32_t type = 0;     ///< Index into `types`.

    constexpr bool operator==(Entry const&) const noexcept = default;
  };
  std::string names;  ///< One after the other.
  rlhf::detail::late_vector<Entry, T> entries;
  rlhf::detail::late_vector<ParameterType, T> types;  ///< Distinct, in order of first appearance.

  [[nodiscard]] std::string_view name(std::size_t parameter) const {
    std::size_t const begin = parameter == 0 ? 0 : entries[parameter - 1].name_end;
    return std::string_view(names).substr(begin, entries[parameter].name_end - begin);
  }
  bool operator==(BasicParameterList const&) const = default;
};
using ParameterList = BasicParameterList<>;

/// Which parameters of a list a rank holds, and which of them lie alike: those of equal type with
/// equal boxes are of one kind. Most ranks have one run; ranks that hold little of a long list, as
/// flat shards do, have few.
template <class T = void>
struct BasicGrouping {
  struct Run {
    std::size_t end = 0;    ///< The first parameter behind it.
    std::int32_t kind = 0;  ///< 1: the first kind of their types, 2: the second, ...; 0: none held.

    constexpr bool operator==(Run const&) const noexcept = default;
  };
  std::int32_t list = 0;  ///< Index into `Listing::lists`.
  rlhf::detail::late_vector<Run, T> runs;
  rlhf::detail::late_vector<int, T> type_of;  ///< Of each kind, by first appearance.

  /// Calls `visit(parameter, kind)` for each parameter that is held, in order.
  template <class Visit>
  void for_each(BasicParameterList<T> const& all, Visit&& visit) const {
    rlhf::detail::late_vector<std::vector<int>, T> kinds(all.types.size());
    for (std::size_t kind = 0; kind < type_of.size(); ++kind) {
      kinds[static_cast<std::size_t>(type_of[kind])].push_back(static_cast<int>(kind));
    }
    std::size_t begin = 0;
    for (Run const& run : runs) {
      for (std::size_t p = begin; run.kind > 0 && p < run.end; ++p) {
        auto const& of_type = kinds[static_cast<std::size_t>(all.entries[p].type)];
        visit(p, of_type[static_cast<std::size_t>(run.kind - 1)]);
      }
      begin = run.end;
    }
  }
  bool operator==(BasicGrouping const&) const = default;
};
using Grouping = BasicGrouping<>;

/// One rank: its grouping, and the boxes of each kind.
template <class T = void>
struct BasicRankHoldings {
  int world_rank = 0;
  std::int32_t grouping = 0;                   ///< Index into `Listing::groupings`.
  rlhf::detail::late_vector<int, T> holdings;  ///< Of each kind, index into `Listing::holdings`.

  bool operator==(BasicRankHoldings const&) const = default;
};

/// What every rank of a module holds: as a `Description`, but lists, groupings and holdings that
/// several ranks have are there once, and where boxes lie in a rank's memory is left out.
///
/// Size: distinct lists times their parameters, plus ranks times kinds.
template <class T = void>
struct BasicListing {
  Layout layout{};
  rlhf::detail::late_vector<BasicParameterList<T>, T> lists;  ///< All by first appearance.
  rlhf::detail::late_vector<BasicGrouping<T>, T> groupings;
  rlhf::detail::late_vector<std::vector<Box>, T> holdings;
  rlhf::detail::late_vector<BasicRankHoldings<T>, T> ranks;  ///< In module rank order.

  bool operator==(BasicListing const&) const = default;
};
using Listing = BasicListing<>;

/// One rank's parameters, split into what its peers have as well and what is its own.
template <class T = void>
struct BasicRankListing {
  BasicParameterList<T> list;
  BasicGrouping<T> grouping;                                ///< Its `list` is not set.
  rlhf::detail::late_vector<std::vector<Box>, T> holdings;  ///< Of each kind.
};
using RankListing = BasicRankListing<>;

/// Splits what a rank lists. Cost: two hashes a parameter.
template <class T>
[[nodiscard]] BasicRankListing<T> listing_of(BasicRankDescription<T> const& rank) {
  BasicRankListing<T> out;
  std::size_t bytes = 0;
  for (HeldParameter const& held : rank.parameters) {
    bytes += held.name.size();
  }
  out.list.names.reserve(bytes);
  out.list.entries.reserve(rank.parameters.size());
  rlhf::detail::HashIndex<T> types;
  rlhf::detail::HashIndex<T> kinds;
  rlhf::detail::late_vector<std::int32_t, T> kinds_of_type;  // how many
  rlhf::detail::late_vector<std::int32_t, T> place;          // of each kind among its type's
  for (HeldParameter const& held : rank.parameters) {
    Fingerprint print;
    print.add(static_cast<std::uint64_t>(held.dtype));
    detail::add(print, held.holding.global);
    int type = types.find(print.value(), [&](int number) {
      auto const& known = out.list.types[static_cast<std::size_t>(number)];
      return known.dtype == held.dtype && known.global == held.holding.global;
    });
    if (type < 0) {
      type = static_cast<int>(out.list.types.size());
      types.add(print.value(), type);
      out.list.types.push_back(ParameterType{held.dtype, held.holding.global});
      kinds_of_type.push_back(0);
    }
    for (HeldBox const& one : held.holding.boxes) {
      detail::add(print, one.box);
    }
    int kind = kinds.find(print.value(), [&](int number) {
      auto const& boxes = out.holdings[static_cast<std::size_t>(number)];
      bool same = out.grouping.type_of[static_cast<std::size_t>(number)] == type &&
                  boxes.size() == held.holding.boxes.size();
      for (std::size_t b = 0; same && b < boxes.size(); ++b) {
        same = boxes[b] == held.holding.boxes[b].box;
      }
      return same;
    });
    if (kind < 0 && !held.holding.boxes.empty()) {
      kind = static_cast<int>(out.holdings.size());
      kinds.add(print.value(), kind);
      out.grouping.type_of.push_back(type);
      place.push_back(++kinds_of_type[static_cast<std::size_t>(type)]);
      auto& boxes = out.holdings.emplace_back();
      for (HeldBox const& one : held.holding.boxes) {
        boxes.push_back(one.box);
      }
    }
    out.list.names += held.name;
    out.list.entries.push_back({out.list.names.size(), type});
    std::int32_t const run_kind = kind < 0 ? 0 : place[static_cast<std::size_t>(kind)];
    if (out.grouping.runs.empty() || out.grouping.runs.back().kind != run_kind) {
      out.grouping.runs.push_back({0, run_kind});
    }
    out.grouping.runs.back().end = out.list.entries.size();
  }
  return out;
}

/// Builds a listing rank by rank. `T` as in `BasicPlacement`.
template <class T = void>
class ListingBuilder {
 public:
  explicit ListingBuilder(Layout const& layout) { listing_.layout = layout; }

  ListingBuilder(ListingBuilder&&) = delete;  // parts of it refer to others
  ListingBuilder(ListingBuilder const&) = delete;
  ListingBuilder& operator=(ListingBuilder&&) = delete;
  ListingBuilder& operator=(ListingBuilder const&) = delete;
  ~ListingBuilder() = default;

  /// The number of an equal list.
  [[nodiscard]] std::int32_t list(BasicParameterList<T> list) {
    return lists_.add(std::move(list), [](Fingerprint& print, auto const& one) {
      print.add(one.names);
      for (auto const& entry : one.entries) {
        print.add(static_cast<std::uint64_t>(entry.name_end))
            .add(static_cast<std::uint64_t>(entry.type));
      }
      for (ParameterType const& type : one.types) {
        print.add(static_cast<std::uint64_t>(type.dtype));
        detail::add(print, type.global);
      }
    });
  }
  [[nodiscard]] std::int32_t grouping(BasicGrouping<T> grouping) {
    return groupings_.add(std::move(grouping), [](Fingerprint& print, auto const& one) {
      print.add(static_cast<std::uint64_t>(one.list));
      for (auto const& run : one.runs) {
        print.add(static_cast<std::uint64_t>(run.end)).add(static_cast<std::uint64_t>(run.kind));
      }
      detail::add(print, one.type_of);
    });
  }
  [[nodiscard]] std::int32_t holding(std::vector<Box> boxes) {
    return holdings_.add(std::move(boxes), [](Fingerprint& print, auto const& all) {
      for (Box const& box : all) {
        detail::add(print, box);
      }
    });
  }
  /// The next rank of the module.
  void add_rank(int world_rank, std::int32_t grouping, rlhf::detail::late_vector<int, T> holdings) {
    listing_.ranks.push_back({world_rank, grouping, std::move(holdings)});
  }
  [[nodiscard]] BasicListing<T> const& listing() const { return listing_; }
  [[nodiscard]] BasicListing<T> take() { return std::move(listing_); }

 private:
  BasicListing<T> listing_;
  detail::Distinct<BasicParameterList<T>> lists_{listing_.lists};
  detail::Distinct<BasicGrouping<T>> groupings_{listing_.groupings};
  detail::Distinct<std::vector<Box>> holdings_{listing_.holdings};
};

/// The listing of what every rank of a module described. Cost: two hashes a parameter of a rank.
template <class T>
[[nodiscard]] BasicListing<T> listing_of(BasicDescription<T> const& description) {
  ListingBuilder<T> builder(description.layout);
  for (auto const& rank : description.ranks) {
    BasicRankListing<T> own = listing_of(rank);
    own.grouping.list = builder.list(std::move(own.list));
    rlhf::detail::late_vector<int, T> holdings;
    for (auto& boxes : own.holdings) {
      holdings.push_back(builder.holding(std::move(boxes)));
    }
    builder.add_rank(rank.world_rank, builder.grouping(std::move(own.grouping)),
                     std::move(holdings));
  }
  return builder.take();
}

}  // namespace rlhf::inline v0::plan
