/// @file
/// Makes plans. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/detail/builder.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/relay.hpp>
#include <rlhf/plan/schedule_size.hpp>
#include <rlhf/plan/simulate.hpp>
#include <rlhf/plan/topology.hpp>

#include <cstdint>

namespace rlhf::inline v0::plan {

/// The plan that gives every destination rank what it holds, from ranks that have it.
///
/// Bytes that a rank has on both sides are copied, not sent; of the rest each byte is sent to a
/// destination rank once (over more links where a rank passes it on). Every rank that builds from
/// equal arguments gets an equal plan. `topology` matters for the hierarchical and the automatic
/// route only; the automatic one also chooses a bucket of at most `bucket_bytes`.
/// Errors: incompatible_policy naming the parameter and rank where a name, shape, type or box has
/// no source, or the route cannot serve the layouts; invalid_argument where buckets are so small
/// that a rank would have more than `most_buckets` (plan/schedule_size.hpp). Cost: about the
/// distinct ways in which parameters lie on both sides, times the ranks that hold each.
template <class T>
[[nodiscard]] BasicPlan<T> build(BasicPlacement<T> const& source,
                                 BasicPlacement<T> const& destination, Options const& options,
                                 BasicTopology<T> const& topology = {}) {
  expects(options.bucket_bytes >= 256, "a bucket needs at least 256 bytes");
  expects(options.slots >= 2 && options.slots % 2 == 0,
          "staging needs an even number of slots, at least 2");
  if (options.route == Route::two_stage) {
    PairFault const fault = two_stage_fault(source.layout, destination.layout);
    if (fault != PairFault::none) {
      fail(Errc::incompatible_policy, describe(fault, source.layout, destination.layout));
    }
  }
  if (options.route != Route::automatic) {
    BasicPlan<T> made = detail::Builder<T>(source, destination, options, topology).build();
    check_buckets(made);
    return made;
  }
  // The moves do not depend on the size of buckets, so that costs a prediction each.
  constexpr std::int64_t least_bucket = std::int64_t{1} << 20;
  constexpr std::int64_t most_steps = std::int64_t{1} << 16;
  BasicPlan<T> best;
  double least = -1;
  for (Route const route : {Route::point_to_point, Route::broadcast, Route::hierarchical}) {
    Options one = options;
    one.route = route;
    if (route == Route::hierarchical && topology.is_flat()) {
      continue;
    }
    BasicPlan<T> made = detail::Builder<T>(source, destination, one, topology).build();
    auto const flows = flows_of(made);
    for (std::int64_t bucket = options.bucket_bytes;; bucket /= 2) {
      double const seconds =
          simulate(made, flows, bucket, topology, most_steps, [](auto const&, auto const&) {});
      if (least < 0 || seconds < least) {
        least = seconds;
        best = made;
        best.bucket_bytes = bucket;
      }
      if (bucket / 2 < least_bucket) {
        break;
      }
    }
  }
  check_buckets(best);
  return best;
}

/// The same for what every rank of both modules listed.
template <class T>
[[nodiscard]] BasicPlan<T> build(BasicDescription<T> const& source,
                                 BasicDescription<T> const& destination, Options const& options,
                                 BasicTopology<T> const& topology = {}) {
  return build(placement_of(source, "source"), placement_of(destination, "destination"), options,
               topology);
}

}  // namespace rlhf::inline v0::plan
