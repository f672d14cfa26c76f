/// @file
/// One plan in the making. Layer: plan, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/detail/choose.hpp>
#include <rlhf/plan/detail/kinds.hpp>
#include <rlhf/plan/detail/overlap.hpp>
#include <rlhf/plan/detail/routes.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace rlhf::inline v0::plan::detail {

/// One plan in the making.
template <class T>
class Builder {
 public:
  Builder(BasicPlacement<T> const& source, BasicPlacement<T> const& destination,
          Options const& options, BasicTopology<T> const& topology)
      : source_(source),
        destination_(destination),
        options_(options),
        routes_(source, destination, options, topology, plan_),
        own_(destination.world_ranks.size(), -1) {
    plan_.route = options.route;
    plan_.bucket_bytes = options.bucket_bytes;
    plan_.slots = options.slots;
    rlhf::detail::late_vector<int, T> source_of;  // world rank to source module rank
    for (auto const* const side : {&source.world_ranks, &destination.world_ranks}) {
      for (int const rank : *side) {
        plan_.world = rank < plan_.world ? plan_.world : rank + 1;
      }
    }
    source_of.assign(static_cast<std::size_t>(plan_.world), -1);
    for (std::size_t s = 0; s < source.world_ranks.size(); ++s) {
      source_of[static_cast<std::size_t>(source.world_ranks[s])] = static_cast<int>(s);
    }
    is_destination_.assign(source.world_ranks.size(), 0);
    for (std::size_t d = 0; d < own_.size(); ++d) {
      own_[d] = source_of[static_cast<std::size_t>(destination.world_ranks[d])];
      if (own_[d] >= 0) {
        is_destination_[static_cast<std::size_t>(own_[d])] = 1;
      }
    }
    plan_.source_ranks = routes_.add_ranks(source.world_ranks);
    plan_.destination_ranks = routes_.add_ranks(destination.world_ranks);
  }

  [[nodiscard]] BasicPlan<T> build() {
    patterns_of_ = KindMaker<T>(source_, destination_, plan_).make();
    indices_.resize(source_.patterns.size());
    indexed_.assign(source_.patterns.size(), 0);
    for (std::size_t k = 0; k < plan_.kinds.size(); ++k) {
      plan_kind(static_cast<std::int32_t>(k));
    }
    if (options_.choice == SourceChoice::balanced || options_.route == Route::hierarchical) {
      choose_balanced(plan_, options_.route == Route::hierarchical,
                      [this](rlhf::detail::late_vector<int, T> ranks) {
                        return routes_.add_ranks(std::move(ranks));
                      });
    } else {
      for (auto& move : plan_.moves) {
        move.first = {0, move.parameters() * static_cast<std::int64_t>(move.paths.size())};
      }
    }
    add_totals();
    return std::move(plan_);
  }

 private:
  [[nodiscard]] PatternIndex<T> const& index_of(std::int32_t pattern) {
    auto const at = static_cast<std::size_t>(pattern);
    if (indexed_[at] == 0) {
      indexed_[at] = 1;
      indices_[at] = PatternIndex<T>(source_, pattern, [&, this](int rank) {
        return is_destination_[static_cast<std::size_t>(rank)] != 0;
      });
    }
    return indices_[at];
  }

  /// All copies and moves of one kind.
  void plan_kind(std::int32_t kind) {
    auto const [from, to] = patterns_of_[static_cast<std::size_t>(kind)];
    PatternIndex<T> const& source = index_of(from);
    rlhf::detail::late_vector<Need, T> moves;
    rlhf::detail::late_vector<Need, T> copies;
    for (Part const& part : destination_.patterns[static_cast<std::size_t>(to)]) {
      for (auto const& group : groups_of(part, source)) {
        auto const into = [&](rlhf::detail::late_vector<Need, T>& needs) {
          return [&needs, &group](std::int32_t index, Box const& box) {
            needs.push_back(Need{index, box, group.ranks});
          };
        };
        auto copy = into(copies);
        auto move = into(moves);
        rlhf::detail::late_vector<Box, T> const missing =
            cover(part.box, source, group.own, copy, move);
        if (!missing.empty()) {
          int const rank = destination_.world_ranks[static_cast<std::size_t>(group.ranks.front())];
          Kind const& planned = plan_.kinds[static_cast<std::size_t>(kind)];
          auto const parameter = static_cast<std::size_t>(planned.parameters.front());
          fail(Errc::incompatible_policy,
               text("parameter ", plan_.parameters[parameter], ": destination rank ", rank,
                    " needs elements ", to_string(missing.front()), ", which no source rank holds"),
               rank);
        }
      }
    }
    merge_needs(copies);
    merge_needs(moves);
    for (Need& need : copies) {
      plan_.copies.push_back(
          Copy{kind, need.box, routes_.add_ranks(routes_.world_ranks_of(need.ranks))});
    }
    for (Need const& need : moves) {
      routes_.emit(kind, need.box,
                   source_.rank_sets[static_cast<std::size_t>(source.part(need.part).ranks)],
                   need.ranks);
    }
  }

  struct Group {
    rlhf::detail::late_vector<std::int32_t, T> own;  // parts that the same ranks hold as sources
    rlhf::detail::late_vector<int, T> ranks;
  };
  /// The ranks of a destination part, by what they hold on the source side themselves.
  [[nodiscard]] rlhf::detail::late_vector<Group, T> groups_of(Part const& part,
                                                              PatternIndex<T> const& source) {
    rlhf::detail::late_vector<Group, T> groups;
    for (int const rank : destination_.rank_sets[static_cast<std::size_t>(part.ranks)]) {
      int const as_source = own_[static_cast<std::size_t>(rank)];
      rlhf::detail::late_vector<std::int32_t, T> own;
      if (as_source >= 0) {
        own = source.of_rank(as_source);
        std::size_t kept = 0;
        for (std::int32_t const index : own) {
          if (!intersection(source.part(index).box, part.box).empty()) {
            own[kept++] = index;
          }
        }
        own.resize(kept);
      }
      std::size_t at = 0;
      while (at < groups.size() && groups[at].own != own) {
        ++at;
      }
      if (at == groups.size()) {
        groups.push_back(Group{std::move(own), {}});
      }
      groups[at].ranks.push_back(rank);
    }
    return groups;
  }

  void add_totals() {
    for (std::size_t k = 0; k < plan_.kinds.size(); ++k) {
      Kind const& kind = plan_.kinds[k];
      auto const to = static_cast<std::size_t>(patterns_of_[k].second);
      for (Part const& part : destination_.patterns[to]) {
        plan_.bytes_needed +=
            wire_bytes(kind, part.box) * std::ssize(kind.parameters) *
            std::ssize(destination_.rank_sets[static_cast<std::size_t>(part.ranks)]);
      }
    }
    for (Copy const& copy : plan_.copies) {
      Kind const& kind = plan_.kinds[static_cast<std::size_t>(copy.kind)];
      plan_.bytes_local += wire_bytes(kind, copy.box) * std::ssize(kind.parameters) *
                           std::ssize(plan_.rank_sets[static_cast<std::size_t>(copy.ranks)]);
    }
    for (Move const& move : plan_.moves) {
      Kind const& kind = plan_.kinds[static_cast<std::size_t>(move.kind)];
      std::int64_t const bytes = wire_bytes(kind, move.box) * move.parameters();
      for (std::int32_t const p : move.paths) {
        Path const& path = plan_.paths[static_cast<std::size_t>(p)];
        plan_.bytes_moved += bytes * std::ssize(path.destinations);
        plan_.bytes_on_links += bytes * (std::ssize(path.receivers) + std::ssize(path.forwards));
      }
    }
  }

  BasicPlacement<T> const& source_;
  BasicPlacement<T> const& destination_;
  Options const& options_;
  BasicPlan<T> plan_;
  Routes<T> routes_;
  rlhf::detail::late_vector<int, T> own_;  // destination module rank to source module rank, or -1
  rlhf::detail::late_vector<std::uint8_t, T> is_destination_;
  KindPatterns<T> patterns_of_;
  rlhf::detail::late_vector<PatternIndex<T>, T> indices_;  // of source patterns
  rlhf::detail::late_vector<std::uint8_t, T> indexed_;
};

}  // namespace rlhf::inline v0::plan::detail
