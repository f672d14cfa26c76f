/// @file
/// How large schedules may be. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/turns.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace rlhf::inline v0::plan {

/// Buckets, if they were all full, that one rank deals with at most: some 500 bytes each.
inline constexpr std::int64_t most_buckets = std::int64_t{1} << 21;
/// Of all ranks together: each takes 4 bytes on every rank that puts them in order.
inline constexpr std::int64_t most_world_buckets = std::int64_t{1} << 26;
/// Pieces of parameters, before they are cut, that one rank sends, receives, passes on or copies.
inline constexpr std::int64_t most_pieces = std::int64_t{1} << 24;

namespace detail {

/// The largest number of buckets of a rank, and of all ranks, at some size of buckets.
template <class T>
struct BucketCount {
  int rank = 0;
  std::int64_t of_rank = 0;
  std::int64_t of_all = 0;

  BucketCount(BasicPlan<T> const& plan, rlhf::detail::late_vector<Flow, T> const& flows,
              std::int64_t bucket_bytes) {
    rlhf::detail::late_vector<std::int64_t, T> of_path(plan.paths.size(), 0);
    rlhf::detail::late_vector<std::int64_t, T> of(static_cast<std::size_t>(plan.world), 0);
    for (Flow const& flow : flows) {
      std::int64_t const count = full_buckets(flow.bytes, bucket_bytes);
      of[static_cast<std::size_t>(flow.source)] += count;
      of_path[static_cast<std::size_t>(flow.path)] += count;
      of_all += count;
    }
    for (std::size_t p = 0; p < plan.paths.size(); ++p) {
      for (int const to : plan.paths[p].receivers) {
        of[static_cast<std::size_t>(to)] += of_path[p];
      }
      for (Forward const& forward : plan.paths[p].forwards) {
        of[static_cast<std::size_t>(forward.to)] += of_path[p];
      }
    }
    for (std::size_t r = 0; r < of.size(); ++r) {
      if (of[r] > of_rank) {
        rank = static_cast<int>(r);
        of_rank = of[r];
      }
    }
  }
  [[nodiscard]] bool fits() const noexcept {
    return of_rank <= most_buckets && of_all <= most_world_buckets;
  }
};

}  // namespace detail

/// A sentence about the rank whose schedule would have too many buckets, or nothing where all fit.
/// Cost: the shares of all moves.
template <class T>
[[nodiscard]] std::string find_bucket_fault(BasicPlan<T> const& plan) {
  auto const flows = flows_of(plan);
  detail::BucketCount<T> const count(plan, flows, plan.bucket_bytes);
  if (count.fits()) {
    return {};
  }
  constexpr std::int64_t largest = std::int64_t{1} << 61;
  for (std::int64_t larger = plan.bucket_bytes; larger < largest;) {
    larger *= 2;
    if (detail::BucketCount<T>(plan, flows, larger).fits()) {
      return text("buckets of ", plan.bucket_bytes, " bytes are too small: rank ", count.rank,
                  " would have ", count.of_rank, " of them, where ", most_buckets,
                  " are the most, and all ranks ", count.of_all, ", where ", most_world_buckets,
                  " are; give at least ", larger);
    }
  }
  return text("rank ", count.rank, " and all ranks would have at least ", count.of_rank, " and ",
              count.of_all, " buckets of any size, where ", most_buckets, " and ",
              most_world_buckets, " are the most");
}

/// The same where a plan can be large enough for one. Errors: invalid_argument with that sentence.
template <class T>
void check_buckets(BasicPlan<T> const& plan) {
  // A rank's buckets are no more than what all links carry; most plans need no counting.
  if (plan.bytes_on_links / plan.bucket_bytes > most_buckets / 2) {
    std::string const fault = find_bucket_fault(plan);
    if (!fault.empty()) {
      fail(Errc::invalid_argument, fault);
    }
  }
}

/// A sentence about the rank whose schedule would have too many pieces, or nothing where all fit.
/// Cost: the shares of all moves, and the ranks of all paths and sets.
template <class T>
[[nodiscard]] std::string find_piece_fault(BasicPlan<T> const& plan) {
  rlhf::detail::late_vector<std::int64_t, T> of(static_cast<std::size_t>(plan.world), 0);
  rlhf::detail::late_vector<std::int64_t, T> of_path(plan.paths.size(), 0);
  rlhf::detail::late_vector<std::int64_t, T> of_set(plan.rank_sets.size(), 0);
  for (Move const& move : plan.moves) {
    for_each_share(plan, move, [&](int source, std::int32_t path, std::int64_t units) {
      of[static_cast<std::size_t>(source)] += units;
      of_path[static_cast<std::size_t>(path)] += units;
    });
  }
  for (Copy const& copy : plan.copies) {
    of_set[static_cast<std::size_t>(copy.ranks)] +=
        std::ssize(plan.kinds[static_cast<std::size_t>(copy.kind)].parameters);
  }
  for (std::size_t p = 0; p < plan.paths.size(); ++p) {
    for (int const to : plan.paths[p].receivers) {
      of[static_cast<std::size_t>(to)] += of_path[p];
    }
    for (Forward const& forward : plan.paths[p].forwards) {
      of[static_cast<std::size_t>(forward.to)] += of_path[p];
    }
  }
  for (std::size_t s = 0; s < plan.rank_sets.size(); ++s) {
    for (int const rank : plan.rank_sets[s]) {
      of[static_cast<std::size_t>(rank)] += of_set[s];
    }
  }
  for (std::size_t r = 0; r < of.size(); ++r) {
    if (of[r] > most_pieces) {
      return text("rank ", r, " would deal with ", of[r], " pieces of parameters, where ",
                  most_pieces, " are the most");
    }
  }
  return {};
}

}  // namespace rlhf::inline v0::plan
