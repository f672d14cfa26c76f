/// @file
/// Which ranks are close, how fast links are, and what a transfer costs. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan {

/// A two-level machine: ranks of one domain (a host, an NVLink domain) are joined by fast links,
/// domains by slow ones. The time of transfers is `calls x call_seconds + bytes / bandwidth`, per
/// rank and direction; the defaults are H200s of one host and a 400 Gb/s adapter a rank.
template <class T = void>
struct BasicTopology {
  rlhf::detail::late_vector<int, T> domains;  ///< Of every world rank; empty: all in one.
  double fast_bytes_per_second = 360e9;       ///< Of one rank, each way, inside its domain.
  double slow_bytes_per_second = 46e9;        ///< Of one rank, each way, to other domains.
  double call_seconds = 20e-6;                ///< Of one transfer of one bucket.

  [[nodiscard]] int domain_of(int world_rank) const noexcept {
    auto const index = static_cast<std::size_t>(world_rank);
    return index < domains.size() ? domains[index] : 0;
  }
  [[nodiscard]] bool is_flat() const noexcept { return domains.empty(); }

  /// Consecutive world ranks, `ranks_per_domain` in each domain.
  [[nodiscard]] static BasicTopology of_hosts(int world, int ranks_per_domain) {
    expects(world > 0 && ranks_per_domain > 0, "a topology needs at least one rank a domain");
    BasicTopology out;
    for (int rank = 0; rank < world; ++rank) {
      out.domains.push_back(rank / ranks_per_domain);
    }
    return out;
  }
};
using Topology = BasicTopology<>;

}  // namespace rlhf::inline v0::plan
