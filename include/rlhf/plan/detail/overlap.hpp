/// @file
/// What each destination rank lacks of a kind of parameter, and which source ranks have it.
/// Layer: plan, private.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// The parts of one source pattern, for quick search: by place, and by rank.
template <class T>
class PatternIndex {
 public:
  PatternIndex() = default;
  /// `wanted_rank(r)` says whether module rank r will be asked for by `of_rank`.
  template <class Wanted>
  PatternIndex(BasicPlacement<T> const& placement, std::int32_t pattern, Wanted&& wanted_rank)
      : parts_(&placement.patterns[static_cast<std::size_t>(pattern)]) {
    int const rank = parts_->empty() ? 0 : parts_->front().box.rank();
    std::size_t best = 0;
    for (int d = 0; d < rank; ++d) {
      rlhf::detail::late_vector<std::int64_t, T> starts;
      for (Part const& part : *parts_) {
        starts.push_back(part.box.start[d]);
      }
      rlhf::detail::sort(starts);
      std::size_t distinct = 0;
      for (std::size_t i = 0; i < starts.size(); ++i) {
        if (i == 0 || starts[i] != starts[i - 1]) {
          ++distinct;
        }
      }
      if (distinct > best) {
        best = distinct;
        dimension_ = d;
      }
    }
    for (std::size_t i = 0; i < parts_->size(); ++i) {
      order_.push_back(static_cast<std::int32_t>(i));
      Part const& part = (*parts_)[i];
      if (rank != 0) {
        longest_ = longest_ < part.box.extent[dimension_] ? part.box.extent[dimension_] : longest_;
      }
      for (int const holder : placement.rank_sets[static_cast<std::size_t>(part.ranks)]) {
        if (wanted_rank(holder)) {
          of_rank_.push_back({holder, static_cast<std::int32_t>(i)});
        }
      }
    }
    if (rank != 0) {
      rlhf::detail::sort_by(order_, [&, this](std::int32_t a, std::int32_t b) {
        return start_of(a) != start_of(b) ? start_of(a) < start_of(b) : a < b;
      });
    }
    rlhf::detail::sort(of_rank_);
  }

  [[nodiscard]] Part const& part(std::int32_t index) const {
    return (*parts_)[static_cast<std::size_t>(index)];
  }
  /// Calls `visit(index)` for each part that may share something with the box.
  template <class Visit>
  void for_each_near(Box const& box, Visit&& visit) const {
    std::size_t i = 0;
    if (box.rank() != 0) {
      std::int64_t const from = box.start[dimension_] - longest_;
      i = rlhf::detail::first_not(order_,
                                  [&, this](std::int32_t p) { return start_of(p) <= from; });
    }
    for (; i < order_.size() && (box.rank() == 0 || start_of(order_[i]) < box.end(dimension_));
         ++i) {
      visit(order_[i]);
    }
  }
  /// The parts that a rank holds, ascending.
  [[nodiscard]] rlhf::detail::late_vector<std::int32_t, T> of_rank(int rank) const {
    rlhf::detail::late_vector<std::int32_t, T> out;
    for (std::size_t i = rlhf::detail::first_not(
             of_rank_, [&](auto const& entry) { return entry.first < rank; });
         i < of_rank_.size() && of_rank_[i].first == rank; ++i) {
      out.push_back(of_rank_[i].second);
    }
    return out;
  }

 private:
  [[nodiscard]] std::int64_t start_of(std::int32_t index) const {
    return part(index).box.start[dimension_];
  }

  rlhf::detail::late_vector<Part, T> const* parts_ = nullptr;
  rlhf::detail::late_vector<std::int32_t, T> order_;                    // by start along dimension_
  rlhf::detail::late_vector<std::pair<int, std::int32_t>, T> of_rank_;  // (module rank, part)
  std::int64_t longest_ = 0;
  int dimension_ = 0;
};

/// A box that ranks of the destination need from a part of the source, or have of it.
struct Need {
  std::int32_t part = 0;
  Box box{};
  std::vector<int> ranks;  ///< Destination module ranks, ascending.
};

/// Puts needs of the same box of the same part together.
template <class T = void>
void merge_needs(rlhf::detail::late_vector<Need, T>& needs) {
  rlhf::detail::sort_by(needs, [](Need const& a, Need const& b) {
    return a.part != b.part ? a.part < b.part : before(a.box, b.box);
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < needs.size(); ++i) {
    if (kept != 0 && needs[kept - 1].part == needs[i].part && needs[kept - 1].box == needs[i].box) {
      rlhf::detail::late_vector<int, T>& ranks = needs[kept - 1].ranks;
      ranks.insert(ranks.end(), needs[i].ranks.begin(), needs[i].ranks.end());
      rlhf::detail::sort(ranks);
    } else {
      if (kept != i) {
        needs[kept] = std::move(needs[i]);
      }
      ++kept;
    }
  }
  needs.resize(kept);
}

/// Cuts `wanted` along the parts of the source: first the rank's own, then any. Calls
/// `copy(part, box)` and `move(part, box)`; returns what no part has.
template <class T, class CopyBox, class MoveBox>
[[nodiscard]] rlhf::detail::late_vector<Box, T> cover(
    Box const& wanted, PatternIndex<T> const& source,
    rlhf::detail::late_vector<std::int32_t, T> const& own, CopyBox&& copy, MoveBox&& move) {
  rlhf::detail::late_vector<Box, T> missing;
  if (!wanted.empty()) {
    missing.push_back(wanted);
  }
  rlhf::detail::late_vector<Box, T> next;
  auto const take = [&](std::int32_t index, auto& found) {
    Box const& candidate = source.part(index).box;
    bool any = false;
    for (Box const& box : missing) {
      Box const shared = intersection(box, candidate);
      if (!shared.empty()) {
        found(index, shared);
        any = true;
      }
    }
    if (any) {
      next.clear();
      for (Box const& box : missing) {
        subtract(box, candidate, next);
      }
      missing.swap(next);
    }
  };
  for (std::int32_t const index : own) {
    take(index, copy);
  }
  if (!missing.empty()) {
    source.for_each_near(wanted, [&](std::int32_t index) {
      if (!missing.empty()) {
        take(index, move);
      }
    });
  }
  return missing;
}

}  // namespace rlhf::inline v0::plan::detail
