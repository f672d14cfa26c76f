/// @file
/// Which ranks of the world hold which model. Layer: config.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

/// A model's ranks, and its layout on them: what the constructor of a `RuntimeGrid` module takes.
struct ModelRanks {
  std::string model{};
  Mesh mesh{};
  Layout layout{};
};

/// Where all models of a run lie.
struct RankPlan {
  int ranks = 0;  ///< Of the world.
  std::vector<ModelRanks> models{};

  /// Errors: invalid_argument where there is no such model.
  [[nodiscard]] ModelRanks const& at(std::string_view model) const {
    for (ModelRanks const& one : models) {
      if (one.model == model) {
        return one;
      }
    }
    fail(Errc::invalid_argument, text("no model \"", model, "\" has ranks"));
  }
};

/// Deals ranks to models in the order of the file: those of one colocation group begin at the same
/// rank, groups and other models lie behind each other.
///
/// Errors: incompatible_policy where a layout does not fit. Requires disjoint groups.
[[nodiscard]] inline RankPlan rank_plan(Config const& config) {
  RankPlan out;
  std::vector<std::vector<std::string>> const& groups = config.runtime.colocation;
  std::vector<int> first_of(groups.size(), -1);
  auto const most_ranks_in = [&](std::vector<std::string> const& group) {
    int most = 0;
    for (std::string const& name : group) {
      int const ranks = config.models.at(name).ranks();
      most = ranks > most ? ranks : most;
    }
    return most;
  };
  for (auto const& entry : config.models) {
    int const ranks = entry.value.ranks();
    int first = out.ranks;
    auto const* const group = config.runtime.group_of(entry.name);
    if (group == nullptr) {
      out.ranks += ranks;
    } else if (int& begin = first_of[static_cast<std::size_t>(group - groups.data())]; begin < 0) {
      begin = first;
      out.ranks += most_ranks_in(*group);
    } else {
      first = begin;
    }
    out.models.push_back(
        {entry.name, Mesh::range(first, ranks), entry.value.layout().on_ranks(ranks)});
  }
  return out;
}

}  // namespace rlhf::inline v0::config
