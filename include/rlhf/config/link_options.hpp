/// @file
/// A link's settings as what a sync takes. Layer: config.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/sync/link_options.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/sync/verify.hpp>

#include <cstdint>

namespace rlhf::inline v0::config {

/// The policy of a link that may have left it to the runtime section.
[[nodiscard]] inline LinkPolicy policy_of(Config const& config, Link const& link) noexcept {
  return link.policy.value_or(config.runtime.param_sync_comm_type == CommType::broadcast
                                  ? LinkPolicy::broadcast
                                  : LinkPolicy::point_to_point);
}

/// Bytes of a bucket.
[[nodiscard]] inline Bytes bucket_of(Config const& config, Link const& link) noexcept {
  return Bytes{link.bucket_bytes.value_or(config.runtime.coalesced_buffer_mb << 20)};
}

/// Episodes between syncs; 0: never. Requires that the destination is a model.
[[nodiscard]] inline std::int64_t frequency_of(Config const& config, Link const& link) {
  return link.frequency ? *link.frequency : config.models.at(link.destination).sync_frequency;
}

/// Whether a sync is due after `episodes` episodes; before the first, 0.
[[nodiscard]] inline bool is_due(Config const& config, Link const& link, std::int64_t episodes) {
  std::int64_t const frequency = frequency_of(config, link);
  return frequency != 0 && episodes % frequency == 0;
}

/// What `sync::Link` takes beside the policy. Its buckets follow from the budget, so policies must
/// allow larger ones: `visit_policy` does.
template <class T = void>
[[nodiscard]] sync::BasicLinkOptions<T> link_options(Config const& config, Link const& link) {
  constexpr std::int64_t slots = plan::Options{}.slots;
  sync::BasicLinkOptions<T> options;
  std::int64_t const whole = slots * bucket_of(config, link).count;
  bool const given = link.budget_bytes > 0 && link.budget_bytes < whole;
  options.budget = Bytes{given ? link.budget_bytes : whole};
  options.only = link.only;
  options.extent = link.extent;
  options.verification = link.verification.value_or(config.runtime.validate_param_sync
                                                        ? sync::Verification::fingerprint
                                                        : sync::Verification::none);
  return options;
}

/// The buckets of policies whose links get theirs from settings.
inline constexpr Bytes largest_bucket{std::int64_t{1} << 40};

/// Calls `f` with the stock policy that a link is for, as an empty struct of its own type: what
/// chooses between types at run time. Its buckets are as large as can be; `link_options` makes them
/// what the settings say.
template <class F>
decltype(auto) visit_policy(Config const& config, Link const& link, F&& f) {
  switch (policy_of(config, link)) {
    case LinkPolicy::reshard:
      return f(sync::Reshard<largest_bucket>{});
    case LinkPolicy::broadcast:
      return f(sync::Broadcast<largest_bucket>{});
    case LinkPolicy::point_to_point:
      return f(sync::PointToPoint<largest_bucket>{});
    case LinkPolicy::two_stage:
      return f(sync::TwoStage<largest_bucket>{});
    case LinkPolicy::experts:
      break;
  }
  return config.runtime.routed_expert_regrouping_comm_type == ExpertCommType::allgather
             ? f(sync::AllGatherExperts<largest_bucket>{})
             : f(sync::AllToAllExperts<largest_bucket>{});
}

}  // namespace rlhf::inline v0::config
