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
  std::vector<int> first_of(config.runtime.colocation.size(), -1);
  auto const group_of = [&](std::string_view model) {
    for (std::size_t g = 0; g < first_of.size(); ++g) {
      for (std::string const& name : config.runtime.colocation[g]) {
        if (name == model) {
          return g;
        }
      }
    }
    return first_of.size();
  };
  auto const most_ranks_in = [&](std::size_t group) {
    int most = 0;
    for (std::string const& name : config.runtime.colocation[group]) {
      int const ranks = config.models.at(name).ranks();
      most = ranks > most ? ranks : most;
    }
    return most;
  };
  for (auto const& entry : config.models) {
    int const ranks = entry.value.ranks();
    std::size_t const group = group_of(entry.name);
    int first = out.ranks;
    if (group == first_of.size()) {
      out.ranks += ranks;
    } else if (first_of[group] < 0) {
      first_of[group] = first;
      out.ranks += most_ranks_in(group);
    } else {
      first = first_of[group];
    }
    out.models.push_back(
        {entry.name, Mesh::range(first, ranks), entry.value.layout().on_ranks(ranks)});
  }
  return out;
}

}  // namespace rlhf::inline v0::config
