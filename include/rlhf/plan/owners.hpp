/// @file
/// Boxes that cover a module's parameters once, each with the ranks that hold it. Layer: plan.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// The parts of a pattern without what earlier parts hold already: boxes that do not overlap and
/// cover all that the module holds. Cost: n times the parts that overlap along the first dimension.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<Part, T> disjoint_parts(BasicPlacement<T> const& placement,
                                                                std::int32_t pattern) {
  rlhf::detail::late_vector<Part, T> out;
  rlhf::detail::late_vector<Box, T> open;  // earlier parts that reach to where we are
  rlhf::detail::late_vector<Box, T> rest;
  rlhf::detail::late_vector<Box, T> next;
  for (Part const& part : placement.patterns[static_cast<std::size_t>(pattern)]) {
    if (part.box.empty()) {
      continue;
    }
    std::size_t kept = 0;
    rest.assign(1, part.box);
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (open[i].rank() != 0 && open[i].start[0] + open[i].extent[0] <= part.box.start[0]) {
        continue;  // parts ascend by their start: nothing later meets this one
      }
      next.clear();
      for (Box const& box : rest) {
        subtract(box, open[i], next);
      }
      rest.swap(next);
      open[kept++] = open[i];
    }
    open.resize(kept);
    open.push_back(part.box);
    for (Box const& box : rest) {
      out.push_back(Part{box, part.ranks});
    }
  }
  return out;
}

/// Errors: incompatible_policy naming the first parameter that a module's ranks do not hold whole,
/// and a box that none of them has. Cost: as of `disjoint_parts`, once a pattern and shape.
template <class T>
void expect_whole(BasicPlacement<T> const& placement, char const* side) {
  struct Checked {
    std::int32_t pattern = 0;
    Shape global{};
  };
  rlhf::detail::late_vector<Checked, T> checked;  // few: parameters that lie alike come together
  for (auto const& parameter : placement.parameters) {
    bool known = false;
    for (std::size_t i = checked.size(); i > 0 && i + 16 > checked.size(); --i) {
      known = known || (checked[i - 1].pattern == parameter.pattern &&
                        checked[i - 1].global == parameter.global);
    }
    if (known) {
      continue;
    }
    checked.push_back(Checked{parameter.pattern, parameter.global});
    std::int64_t held = 0;
    for (Part const& part : disjoint_parts(placement, parameter.pattern)) {
      held += part.box.elements();
    }
    if (held == element_count(parameter.global)) {
      continue;
    }
    rlhf::detail::late_vector<Box, T> rest{Box::whole(parameter.global)};
    rlhf::detail::late_vector<Box, T> next;
    for (Part const& part : placement.patterns[static_cast<std::size_t>(parameter.pattern)]) {
      next.clear();
      for (Box const& box : rest) {
        subtract(box, part.box, next);
      }
      rest.swap(next);
    }
    fail(Errc::incompatible_policy,
         text("parameter ", parameter.name, ": no ", side, " rank holds ",
              rest.empty() ? std::string("some of it") : to_string(rest.front()), " of ",
              to_string(parameter.global),
              "; list it on every rank that should hold a part, or allow gaps (Extent::partial)"));
  }
}

/// What one rank answers for of a module's parameters: over all ranks, every element that the
/// module holds once, wherever it has copies. Parameters that the plan does not know are left out.
/// The copies of a box take turns parameter by parameter.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<Piece, T> owned_pieces(BasicPlan<T> const& plan,
                                                               BasicPlacement<T> const& placement,
                                                               int world_rank) {
  rlhf::detail::HashIndex<T> by_name;
  for (std::size_t p = 0; p < plan.parameters.size(); ++p) {
    by_name.add(Fingerprint().add(plan.parameters[p]).value(), static_cast<int>(p));
  }
  rlhf::detail::late_vector<std::vector<Part>, T> parts(placement.patterns.size());
  rlhf::detail::late_vector<std::uint8_t, T> known(placement.patterns.size(), 0);
  rlhf::detail::late_vector<Piece, T> out;
  for (auto const& parameter : placement.parameters) {
    int const number = by_name.find(Fingerprint().add(parameter.name).value(), [&](int one) {
      return plan.parameters[static_cast<std::size_t>(one)] == parameter.name;
    });
    if (number < 0) {
      continue;
    }
    auto const pattern = static_cast<std::size_t>(parameter.pattern);
    if (known[pattern] == 0) {
      parts[pattern] = disjoint_parts(placement, parameter.pattern);
      known[pattern] = 1;
    }
    for (Part const& part : parts[pattern]) {
      auto const& ranks = placement.rank_sets[static_cast<std::size_t>(part.ranks)];
      auto const turn = static_cast<std::size_t>(number) % ranks.size();
      if (placement.world_ranks[static_cast<std::size_t>(ranks[turn])] == world_rank) {
        out.push_back(Piece{number, part.box});
      }
    }
  }
  return out;
}

}  // namespace rlhf::inline v0::plan
