/// @file
/// What settings of links ask of the models that they link. Layer: config.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/config/faults.hpp>
#include <rlhf/config/link_options.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/plan/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::config {

/// Whether two models share ranks.
[[nodiscard]] inline bool share_ranks(Config const& config, std::string_view a,
                                      std::string_view b) {
  auto const* const group = config.runtime.group_of(a);
  return group != nullptr && group == config.runtime.group_of(b);
}

namespace detail {

/// Whether a link brings weights to a model.
[[nodiscard]] inline bool is_destination(Config const& config, std::string const& name) {
  bool found = false;
  for (auto const& link : config.links) {
    found = found || link.value.destination == name;
  }
  return found;
}

inline void check_pair(Config const& config, Link const& link, Model const& source,
                       Model const& destination, Checks const& checks) {
  bool const changes = source.trainable || is_destination(config, link.source);
  checks.require(changes || frequency_of(config, link) == 0, "source", "does not train (models.",
                 link.source,
                 ".trainable is false) and no link brings it weights, so they never change; set "
                 "frequency to 0 (once)");
  checks.require(config.runtime.max_version_lag == 0 || frequency_of(config, link) == 0 ||
                     !share_ranks(config, link.source, link.destination),
                 "destination", "shares ranks with ", link.source,
                 ", so generation cannot overlap training: set runtime.max_version_lag, which is ",
                 config.runtime.max_version_lag, ", to 0, or take them apart in colocation");
  if (policy_of(config, link) == LinkPolicy::two_stage &&
      source.layout().fault() == LayoutFault::none &&
      destination.layout().fault() == LayoutFault::none) {
    plan::PairFault const fault = plan::two_stage_fault(source.layout(), destination.layout());
    checks.require(fault == plan::PairFault::none, "policy",
                   "does not fit: ", plan::describe(fault, source.layout(), destination.layout()));
  }
}

}  // namespace detail

/// What is wrong with links.
inline void check_links(Config const& config, Faults& out) {
  for (std::size_t i = 0; i < config.links.size(); ++i) {
    auto const& [name, link] = config.links.entries[i];
    detail::Checks const checks(out, text("links.", name));
    Model const* const source = config.models.find(link.source);
    Model const* const destination = config.models.find(link.destination);
    checks.require(source != nullptr, "source", "is no model", config.models.advice(link.source));
    checks.require(destination != nullptr, "destination", "is no model",
                   config.models.advice(link.destination));
    checks.require(link.source != link.destination, "destination",
                   "is the source, too; a link is between two models");
    checks.require(link.budget_bytes == 0 || link.budget_bytes >= 1024, "budget_bytes",
                   "must be 0 (four buckets) or at least 1024");
    if (source != nullptr && destination != nullptr && source != destination) {
      detail::check_pair(config, link, *source, *destination, checks);
    }
    for (std::size_t j = 0; j < i; ++j) {
      auto const& other = config.links.entries[j];
      checks.require(other.value.destination != link.destination || !link.only.empty() ||
                         !other.value.only.empty(),
                     "destination", "gets all of its weights from links.", other.name,
                     " already; say which it gets from where with only");
    }
  }
}

}  // namespace rlhf::inline v0::config
