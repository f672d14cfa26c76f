/// @file
/// Other orders of micro-batches and samples for further passes over a training set. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/keyed_order.hpp>
#include <rlhf/data/rows.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0::data {

/// The numbers 0 .. samples-1 in an order of (seed, pass) alone: `select(batch, order)` is the
/// training set of that pass. (The Python reference shuffles with a generator that nobody seeds.)
///
/// Errors: invalid_argument for samples < 0 or pass < 0.
[[nodiscard]] inline std::vector<std::int64_t> shuffled(std::int64_t samples, std::uint64_t seed,
                                                        std::int64_t pass) {
  expects(samples >= 0 && pass >= 0, "0 or more samples are shuffled, for a pass of 0 or more");
  std::vector<std::int64_t> order;
  if (samples > 0) {
    KeyedOrder::Permutation const permutation(seed, pass, samples);
    for (std::int64_t i = 0; i < samples; ++i) {
      order.push_back(permutation[i]);
    }
  }
  return order;
}

/// Groups in such an order; what is in a group stays together. None is dropped.
[[nodiscard]] inline Rows<std::int64_t> shuffled(Rows<std::int64_t> const& groups,
                                                 std::uint64_t seed, std::int64_t pass) {
  Rows<std::int64_t> out;
  for (std::int64_t const group : shuffled(groups.size(), seed, pass)) {
    out.push_back(groups[group]);
  }
  return out;
}

}  // namespace rlhf::inline v0::data
