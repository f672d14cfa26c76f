/// @file
/// What ranks do in a plan: flows, cut into buckets, in an order. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/bucket.hpp>
#include <rlhf/plan/detail/bucket_cutter.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule_size.hpp>
#include <rlhf/plan/turns.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// A piece that a rank has in its source module and needs in its destination module.
struct LocalCopy {
  int rank = 0;  ///< World rank.
  Piece piece;

  bool operator==(LocalCopy const&) const = default;
};

/// The part of a plan that concerns one rank, or all of it: every flow that passes the rank, its
/// buckets in the order in which the rank deals with them, the rank's own copies.
///
/// The order is a single one over all ranks and buckets, and a rank's schedule is the rank's share
/// of it, so ranks that follow theirs cannot wait for each other in a circle. It goes turn by turn
/// (plan/turns.hpp): in one turn different sources send to different receivers. All ranks cut a
/// flow alike without a word: they see the same pieces.
template <class T = void>
struct BasicSchedule {
  rlhf::detail::late_vector<Flow, T> flows;
  rlhf::detail::late_vector<Bucket, T> buckets;
  rlhf::detail::late_vector<LocalCopy, T> copies;

  bool operator==(BasicSchedule const&) const = default;
};
using Schedule = BasicSchedule<>;

namespace detail {

/// One rank's schedule in the making; rank -1 stands for all ranks.
template <class T>
class Scheduler {
 public:
  Scheduler(BasicPlan<T> const& plan, int rank) : plan_(plan), rank_(rank) {
    passes_.assign(plan.paths.size(), static_cast<std::uint8_t>(rank < 0));
    for (std::size_t p = 0; rank >= 0 && p < plan.paths.size(); ++p) {
      auto const& path = plan.paths[p];
      bool passes = rlhf::detail::contains(path.receivers, rank);
      for (auto const& forward : path.forwards) {
        passes = passes || forward.to == rank || forward.from == rank;
      }
      passes_[p] = static_cast<std::uint8_t>(passes);
    }
    contains_.assign(plan.rank_sets.size(), static_cast<std::uint8_t>(rank < 0));
    for (std::size_t s = 0; rank >= 0 && s < plan.rank_sets.size(); ++s) {
      contains_[s] = static_cast<std::uint8_t>(rlhf::detail::contains(plan.rank_sets[s], rank));
    }
  }

  [[nodiscard]] BasicSchedule<T> schedule() {
    for (std::size_t m = 0; m < plan_.moves.size(); ++m) {
      add_units(static_cast<std::int32_t>(m));
    }
    rlhf::detail::sort_by(units_, [](Unit const& a, Unit const& b) {
      return a.source != b.source         ? a.source < b.source
             : a.path != b.path           ? a.path < b.path
             : a.parameter != b.parameter ? a.parameter < b.parameter
                                          : a.move < b.move;
    });
    for (std::size_t i = 0; i < units_.size();) {
      std::size_t const begin = i;
      while (i < units_.size() && units_[i].source == units_[begin].source &&
             units_[i].path == units_[begin].path) {
        ++i;
      }
      add_flow(begin, i);
    }
    sort_buckets();
    for (auto const& copy : plan_.copies) {
      auto const& ranks = plan_.rank_sets[static_cast<std::size_t>(copy.ranks)];
      if (contains_[static_cast<std::size_t>(copy.ranks)] == 0) {
        continue;
      }
      for (int const rank : ranks) {
        if (rank_ < 0 || rank == rank_) {
          for (std::int32_t const p : plan_.kinds[static_cast<std::size_t>(copy.kind)].parameters) {
            out_.copies.push_back(LocalCopy{rank, Piece{p, copy.box}});
          }
        }
      }
    }
    rlhf::detail::sort_by(out_.copies, [](auto const& a, auto const& b) {
      return a.rank != b.rank ? a.rank < b.rank : a.piece.parameter < b.piece.parameter;
    });
    return std::move(out_);
  }

 private:
  struct Unit {
    std::int32_t source;
    std::int32_t path;
    std::int32_t parameter;
    std::int32_t move;
  };

  /// The units of a move that pass the rank.
  void add_units(std::int32_t number) {
    auto const& move = plan_.moves[static_cast<std::size_t>(number)];
    bool const sends = contains_[static_cast<std::size_t>(move.sources)] != 0;
    bool passes = sends;
    for (std::size_t p = 0; !passes && p < move.paths.size(); ++p) {
      passes = passes_[static_cast<std::size_t>(move.paths[p])] != 0;
    }
    if (!passes) {
      return;
    }
    auto const& sources = plan_.rank_sets[static_cast<std::size_t>(move.sources)];
    auto const& parameters = plan_.kinds[static_cast<std::size_t>(move.kind)].parameters;
    std::int64_t const each = move.parameters();
    for (std::size_t s = 0; s < sources.size(); ++s) {
      bool const mine = rank_ < 0 || sources[s] == rank_;
      for (std::int64_t unit = move.first[s]; unit < move.first[s + 1];) {
        std::int64_t const at = unit / each;
        std::int64_t const end =
            (at + 1) * each < move.first[s + 1] ? (at + 1) * each : move.first[s + 1];
        std::int32_t const path = move.paths[static_cast<std::size_t>(at)];
        if (mine || passes_[static_cast<std::size_t>(path)] != 0) {
          for (; unit < end; ++unit) {
            auto const j = static_cast<std::size_t>(move.begin + unit % each);
            units_.push_back(Unit{sources[s], path, parameters[j], number});
          }
        }
        unit = end;
      }
    }
  }

  /// The flow of units [begin, end), cut into buckets.
  void add_flow(std::size_t begin, std::size_t end) {
    auto const flow = static_cast<std::int32_t>(out_.flows.size());
    out_.flows.push_back(Flow{units_[begin].source, units_[begin].path, 0});
    BucketCutter<T> cutter(flow, plan_.bucket_bytes, out_.buckets);
    for (std::size_t i = begin; i < end; ++i) {
      auto const& move = plan_.moves[static_cast<std::size_t>(units_[i].move)];
      cutter.add(Piece{units_[i].parameter, move.box},
                 plan_.kinds[static_cast<std::size_t>(move.kind)].wire());
    }
    out_.flows.back().bytes = cutter.finish();
  }

  /// Puts the buckets into the order of all ranks.
  void sort_buckets() {
    auto const all = flows_of(plan_);
    auto const turns = turns_of(plan_, all);
    rlhf::detail::late_vector<std::size_t, T> place;  // of my flows among all
    for (auto const& flow : out_.flows) {
      place.push_back(rlhf::detail::first_not(all, [&](Flow const& one) {
        return one.source != flow.source ? one.source < flow.source : one.path < flow.path;
      }));
    }
    for (auto& bucket : out_.buckets) {
      bucket.turn = turns.of(place[static_cast<std::size_t>(bucket.flow)], bucket.round);
    }
    auto const beyond = [&](Bucket const& bucket) {
      return turns.beyond(place[static_cast<std::size_t>(bucket.flow)], bucket.round);
    };
    rlhf::detail::sort_by(out_.buckets, [&](Bucket const& a, Bucket const& b) {
      std::int64_t const late_a = beyond(a);
      std::int64_t const late_b = beyond(b);
      return a.turn != b.turn   ? a.turn < b.turn
             : late_a != late_b ? late_a < late_b
             : a.flow != b.flow ? a.flow < b.flow
                                : a.round < b.round;
    });
  }

  BasicPlan<T> const& plan_;
  int rank_;
  rlhf::detail::late_vector<std::uint8_t, T>
      passes_;  // of every path: whether the rank gets or forwards
  rlhf::detail::late_vector<std::uint8_t, T> contains_;  // of every rank set
  rlhf::detail::late_vector<Unit, T> units_;
  BasicSchedule<T> out_;
};

}  // namespace detail

/// What one world rank does. Errors: invalid_argument where a rank would have more than
/// `most_buckets` (plan/schedule_size.hpp). Cost: the plan's moves, n log n in the rank's own
/// pieces.
template <class T>
[[nodiscard]] BasicSchedule<T> schedule(BasicPlan<T> const& plan, int world_rank) {
  check_buckets(plan);
  return detail::Scheduler<T>(plan, world_rank).schedule();
}

/// What all ranks do together, for looking at and proving: as large as ranks times parameters.
/// Errors: as of one rank's.
template <class T>
[[nodiscard]] BasicSchedule<T> schedule(BasicPlan<T> const& plan) {
  check_buckets(plan);
  return detail::Scheduler<T>(plan, -1).schedule();
}

}  // namespace rlhf::inline v0::plan
