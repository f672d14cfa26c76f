/// @file
/// When ranks send and receive, bucket by bucket, by the cost model.
#pragma once

#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace planner {

/// One transfer, or several without a visible gap between them.
struct Bar {
  double begin = 0;  ///< Seconds.
  double end = 0;
  bool slow = false;  ///< To or from another domain.
  std::int64_t buckets = 0;
  std::int64_t bytes = 0;
};

/// One rank of the picture.
struct TimelineRow {
  int rank = 0;
  std::string note;  ///< `slowest`, `median`, ...
  std::vector<Bar> sends;
  std::vector<Bar> receives;
};

struct Timeline {
  std::vector<TimelineRow> rows;
  double seconds = 0;  ///< Until the last bucket of any rank has arrived.
  int ranks = 0;       ///< That send or receive at all; the rows may be a choice of them.
};

/// What rlhf::plan::simulate says about the ranks that a picture shows.
///
/// Up to 16 ranks have a row each; of more, the slowest, the median, `wanted` and others at equal
/// distances. Cost: the buckets of all ranks, n log n; a bar is several buckets where there are
/// very many.
[[nodiscard]] Timeline timeline_of(rlhf::plan::Plan const& plan,
                                   rlhf::plan::Topology const& topology,
                                   rlhf::plan::Prediction const& prediction,
                                   std::optional<int> wanted);

}  // namespace planner
