/// @file
/// What one rank does in a plan, bucket by bucket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "study.hpp"

namespace planner {

/// A bucket that a rank sends, receives or passes on.
struct Transfer {
  int round = 0;
  std::string action;  ///< `send`, `broadcast`, `receive`, `forward`.
  std::vector<int> peers;
  std::int64_t bytes = 0;  ///< Of the bucket.
  std::size_t pieces = 0;
  std::string first;  ///< The first piece, in words.
};

struct RankReport {
  int rank = 0;
  std::vector<Transfer> transfers;  ///< In the rank's order.
  std::vector<std::string> copies;  ///< What it has and needs, in words.
  std::int64_t sent = 0;
  std::int64_t received = 0;
  std::int64_t copied = 0;
};

[[nodiscard]] RankReport rank_report(Study const& study, int rank);
[[nodiscard]] std::string rank_text(RankReport const& report);

}  // namespace planner
