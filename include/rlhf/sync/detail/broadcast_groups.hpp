/// @file
/// Communicators for the broadcasts of a plan. Layer: sync, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::sync::detail {

/// One communicator for each distinct set of ranks that a broadcast flow joins, made with as few
/// splits as a greedy packing of disjoint sets allows. A rank belongs to at most one set of a
/// split. For flows that join all ranks it is the world itself: one of NCCL's costs up to a
/// gigabyte of device memory.
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
      if (skips(path, flow.source)) {
        continue;
      }
      ++flows_;
      if (path.method != plan::Method::broadcast) {
        continue;
      }
      rlhf::detail::late_vector<int, C> members{flow.source};
      members.insert(members.end(), path.receivers.begin(), path.receivers.end());
      if (static_cast<int>(members.size()) == world.size()) {
        splits_.push_back({flow.source, flow.path, whole_world});
        continue;
      }
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
      splits_.push_back({flow.source, flow.path, sets[found].split});
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

  /// The communicator of a flow that this rank takes part in, and the source's rank in it.
  [[nodiscard]] C& of(plan::Flow const& flow, C& world) {
    int const split = of_flow(flow).split;
    return split == whole_world ? world : groups_[static_cast<std::size_t>(split)];
  }
  [[nodiscard]] int root_of(plan::Flow const& flow) const {
    return of_flow(flow).split == whole_world ? flow.source : 0;
  }

  /// Asks all ranks whether all that they hold of a flow lies in one run a piece, so that it can be
  /// broadcast where it lies. `flat(source, path)`: true on ranks that take no part. Collective.
  template <class Flat>
  void agree(C& world, Flat const& flat) {
    if (splits_.empty()) {
      return;
    }
    rlhf::detail::late_vector<std::int32_t, C> all;
    for (SplitOf const& one : splits_) {
      all.push_back(flat(one.source, one.path) ? 1 : 0);
    }
    world.all_reduce(all.data(), all.data(), std::ssize(all), DType::i32, comm::Reduce::min, {});
    comm::settle(world);
    for (std::size_t i = 0; i < splits_.size(); ++i) {
      splits_[i].in_place = all[i] != 0;
    }
  }
  [[nodiscard]] bool in_place(plan::Flow const& flow) const { return of_flow(flow).in_place; }
  /// Whether the plan has one flow, so that all ranks see its buckets in one order.
  [[nodiscard]] bool alone() const noexcept { return flows_ == 1; }

 private:
  static constexpr int whole_world = -1;
  struct SplitOf {
    int source = 0;
    std::int32_t path = 0;
    int split = 0;
    bool in_place = false;
  };

  [[nodiscard]] SplitOf const& of_flow(plan::Flow const& flow) const {
    std::size_t const at = rlhf::detail::first_not(splits_, [&](SplitOf const& one) {
      return one.source != flow.source ? one.source < flow.source : one.path < flow.path;
    });
    return splits_[at];
  }

  rlhf::detail::late_vector<SplitOf, C> splits_;  // in order of source and path, as flows are
  std::vector<C> groups_;
  std::int64_t flows_ = 0;  // of any method
};

}  // namespace rlhf::inline v0::sync::detail
