/// @file
/// Bytes from every sender to every receiver, neighbours put together where they are many.
#pragma once

#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace planner {

/// One side of the matrix: runs of ranks, and the domain of each run.
struct MatrixAxis {
  std::vector<std::vector<int>> groups;
  std::vector<int> domains;  ///< Of every group: of its first rank.
  bool domains_fit = true;   ///< Every group lies in one domain.
  int domain_count = 0;
  std::size_t ranks = 0;
};

struct FlowMatrix {
  MatrixAxis senders;
  MatrixAxis receivers;
  std::vector<std::int64_t> bytes;  ///< Row by row: sender, then receiver.
  std::int64_t most = 0;
};

/// At most `most_cells` groups a side.
[[nodiscard]] FlowMatrix flow_matrix(rlhf::plan::Plan const& plan,
                                     rlhf::plan::Topology const& topology,
                                     std::size_t most_cells = 64);

}  // namespace planner
