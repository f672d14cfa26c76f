/// @file
/// Reads which ranks are close and how fast links are.
#pragma once

#include <rlhf/plan/topology.hpp>

#include <string>

namespace planner {

/// The topology in a JSON file, for ranks below `world`.
///
/// `{"ranks_per_domain": 8}` or `{"domains": [0, 0, 1, 1]}` (of every world rank), and optionally
/// `fast_gb_per_second`, `slow_gb_per_second` (1e9 bytes, each way) and `call_microseconds`.
/// Errors: rlhf::Error naming the file, the key and what was expected.
[[nodiscard]] rlhf::plan::Topology read_topology(std::string const& path, int world);

}  // namespace planner
