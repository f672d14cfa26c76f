/// @file
/// Communicators for the broadcasts of a plan. Layer: sync, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <vector>

namespace rlhf::inline v0::sync::detail {

/// One communicator for each distinct set of ranks that a broadcast flow joins, made with as few
/// splits as a greedy packing of disjoint sets allows. A rank belongs to at most one set of a
/// split.
template <comm::Communicator C>
class BroadcastGroups {
 public:
  BroadcastGroups() = default;
  BroadcastGroups(C& world, plan::Plan const& plan) : split_of_flow_(plan.flows.size(), -1) {
    struct Set {
      std::vector<int> members;  // the source first
      int split = 0;
    };
    std::vector<Set> sets;
    std::vector<std::vector<int>> taken;  // ranks used by each split
    for (std::size_t f = 0; f < plan.flows.size(); ++f) {
      plan::Flow const& flow = plan.flows[f];
      if (flow.method != plan::Method::broadcast) {
        continue;
      }
      std::vector<int> members{flow.source};
      members.insert(members.end(), flow.receivers.begin(), flow.receivers.end());
      std::size_t found = 0;
      while (found < sets.size() && sets[found].members != members) {
        ++found;
      }
      if (found == sets.size()) {
        int split = 0;
        auto const collides = [&] {
          for (int const rank : members) {
            if (rlhf::detail::contains(taken[static_cast<std::size_t>(split)], rank)) {
              return true;
            }
          }
          return false;
        };
        while (split < static_cast<int>(taken.size()) && collides()) {
          ++split;
        }
        if (split == static_cast<int>(taken.size())) {
          taken.emplace_back();
        }
        auto& used = taken[static_cast<std::size_t>(split)];
        used.insert(used.end(), members.begin(), members.end());
        sets.push_back(Set{members, split});
      }
      split_of_flow_[f] = sets[found].split;
    }
    int const me = world.rank();
    for (int split = 0; split < static_cast<int>(taken.size()); ++split) {
      int color = comm::no_color;
      int key = 0;
      for (std::size_t s = 0; s < sets.size(); ++s) {
        for (std::size_t at = 0; at < sets[s].members.size(); ++at) {
          if (sets[s].split == split && sets[s].members[at] == me) {
            color = static_cast<int>(s);
            key = static_cast<int>(at);
          }
        }
      }
      groups_.push_back(world.split(color, key));
    }
  }

  /// The communicator of a flow that this rank takes part in; its source is rank 0.
  [[nodiscard]] C& of(std::int32_t flow) {
    return groups_[static_cast<std::size_t>(split_of_flow_[static_cast<std::size_t>(flow)])];
  }

 private:
  std::vector<int> split_of_flow_;
  std::vector<C> groups_;
};

}  // namespace rlhf::inline v0::sync::detail
