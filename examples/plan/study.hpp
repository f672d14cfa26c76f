/// @file
/// A plan and everything that reports say about it.
#pragma once

#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "options.hpp"
#include "timeline.hpp"

namespace planner {

struct Study {
  std::string title;   ///< The model's name, or the plan's file.
  std::string source;  ///< Layout in words; empty where unknown.
  std::string destination;
  rlhf::plan::Plan plan;
  rlhf::plan::Topology topology;
  rlhf::plan::Prediction prediction;
  Timeline timeline;                ///< Of pictures only.
  double plan_seconds = 0;          ///< Placing the model twice and planning, or reading the plan.
  std::int64_t peak_rss_bytes = 0;  ///< Of this process, when the plan was there.
  std::string proof;                ///< `exact cover`, what is wrong, or why it was not looked for.
  bool faulty = false;
  std::uint64_t fingerprint = 0;
  std::int64_t staging_bytes = 0;  ///< No rank stages more than slots times a bucket.
  /// Known where model and layouts are.
  std::optional<std::int64_t> bytes_minimum;            ///< From the placements, not from the plan.
  std::optional<std::int64_t> bytes_slow_link_minimum;  ///< The same over slow links.
  std::optional<std::int64_t> peak_rank_bytes;  ///< Weights of both sides and staging of one rank.

  [[nodiscard]] std::vector<int> const& source_ranks() const {
    return plan.rank_sets[static_cast<std::size_t>(plan.source_ranks)];
  }
  [[nodiscard]] std::vector<int> const& destination_ranks() const {
    return plan.rank_sets[static_cast<std::size_t>(plan.destination_ranks)];
  }
};

/// Plans, or reads the plan, and works out the numbers. Errors: rlhf::Error.
[[nodiscard]] Study study(Options const& options);

}  // namespace planner
