/// @file
/// Which rank of a group receives first and passes on, in the two-stage route. Layer: plan.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/parallel/layout.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan {

/// Chooses the relay of each (source pipeline stage, group of destination tensor ranks).
///
/// A destination rank group is the `ratio` tensor ranks of one destination replica and stage that
/// share a source tensor rank. Stages that feed the same group are dealt to its members in turn,
/// from a start that alternates with the stage, so that their transfers do not meet on one member.
/// Source: the reference's load-balanced choice for ranks on different devices, equal to its
/// recorded pairs; where source and destination share ranks we send straight from the source
/// instead.
template <class T = void>
class RelayChoice {
 public:
  RelayChoice(Layout const& source, Layout const& destination)
      : ratio_(destination.tensor / source.tensor),
        stages_each_(source.pipeline / destination.pipeline),
        groups_(static_cast<std::size_t>(destination.ranks() / ratio_)) {
    for (int group = 0; group < static_cast<int>(groups_.size()); ++group) {
      int const stage = destination.coordinate(member(group, 0)).pipeline * stages_each_;
      for (int i = 0; i < stages_each_; ++i) {
        static_cast<void>(relay(group, stage + i));  // in order, whatever order callers ask in
      }
    }
  }

  /// Tensor ranks in a group.
  [[nodiscard]] int ratio() const noexcept { return ratio_; }

  /// The group that a destination module rank belongs to.
  [[nodiscard]] int group_of(int destination_rank) const noexcept {
    return destination_rank / ratio_;  // tensor is the fastest axis
  }
  /// Member `index` of a group, as a destination module rank.
  [[nodiscard]] int member(int group, int index) const noexcept { return group * ratio_ + index; }

  /// The relay of `group` for bytes that come from source pipeline stage `stage`.
  [[nodiscard]] int relay(int group, int stage) {
    Group& state = groups_[static_cast<std::size_t>(group)];
    for (Choice const& choice : state.choices) {
      if (choice.stage == stage) {
        return member(group, choice.index);
      }
    }
    if (state.choices.empty()) {
      int const turn = stage % ratio_;
      state.start = stage < ratio_ ? turn : (ratio_ - turn - 1) % ratio_;
    }
    int const index = (state.start + static_cast<int>(state.choices.size())) % ratio_;
    state.choices.push_back(Choice{stage, index});
    return member(group, index);
  }

 private:
  struct Choice {
    int stage;
    int index;
  };
  struct Group {
    int start = 0;
    rlhf::detail::late_vector<Choice, T> choices;
  };

  int ratio_;
  int stages_each_;
  rlhf::detail::late_vector<Group, T> groups_;
};

}  // namespace rlhf::inline v0::plan
