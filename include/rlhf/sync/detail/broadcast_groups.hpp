/// @file
/// Communicators for the broadcasts of a plan. Layer: sync, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/flows.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::sync::detail {

/// One communicator for each distinct set of ranks that a broadcast flow joins, made with as few
/// splits as a greedy packing of disjoint sets allows. A rank belongs to at most one set of a
/// split.
template <comm::Communicator C>
class BroadcastGroups {
 public:
  BroadcastGroups() = default;
  /// `skips(path, source)`: flows that need none, the same on every rank.
  template <class T, class Skips>
  BroadcastGroups(C& world, plan::BasicPlan<T> const& plan, Skips const& skips) {
    struct Set {
      rlhf::detail::late_vector<int, C> members;  // the source first
      int split = 0;
    };
    rlhf::detail::late_vector<Set, C> sets;
    rlhf::detail::late_vector<std::vector<std::uint8_t>, T>
        taken;  // by each split: whether it uses a world rank
    for (plan::Flow const& flow : plan::flows_of(plan)) {
      plan::Path const& path = plan.paths[static_cast<std::size_t>(flow.path)];
      if (path.method != plan::Method::broadcast || skips(path, flow.source)) {
        continue;
      }
      rlhf::detail::late_vector<int, C> members{flow.source};
      members.insert(members.end(), path.receivers.begin(), path.receivers.end());
      std::size_t found = 0;
      while (found < sets.size() && sets[found].members != members) {
        ++found;
      }
      if (found == sets.size()) {
        std::size_t split = 0;
        auto const collides = [&] {
          for (int const rank : members) {
            if (taken[split][static_cast<std::size_t>(rank)] != 0) {
              return true;
            }
          }
          return false;
        };
        while (split < taken.size() && collides()) {
          ++split;
        }
        if (split == taken.size()) {
          taken.emplace_back(static_cast<std::size_t>(plan.world), 0);
        }
        for (int const rank : members) {
          taken[split][static_cast<std::size_t>(rank)] = 1;
        }
        sets.push_back(Set{members, static_cast<int>(split)});
      }
      splits_.push_back(SplitOf{flow.source, flow.path, sets[found].split});
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
  [[nodiscard]] C& of(plan::Flow const& flow) {
    std::size_t const at = rlhf::detail::first_not(splits_, [&](SplitOf const& one) {
      return one.source != flow.source ? one.source < flow.source : one.path < flow.path;
    });
    return groups_[static_cast<std::size_t>(splits_[at].split)];
  }

 private:
  struct SplitOf {
    int source;
    std::int32_t path;
    int split;
  };

  rlhf::detail::late_vector<SplitOf, C> splits_;  // in order of source and path, as flows are
  std::vector<C> groups_;
};

}  // namespace rlhf::inline v0::sync::detail
