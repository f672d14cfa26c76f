// Laws of shards: what ranks hold, against slicing index by index.
#include <rlhf/parallel/shard.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

using cases::CutSpec;
using cases::Dice;
using cases::Lists;
using cases::RuleSpec;
using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::HeldBox;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::Shape;

namespace {

/// Global element of each local element according to boxes, -1 where no box has it, -2 where two.
std::vector<std::int64_t> by_boxes(Holding const& holding, Shape const& local) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(rlhf::element_count(local)), -1);
  for (HeldBox const& held : holding.boxes) {
    std::int64_t const count = held.box.elements();
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t rest = i;
      std::int64_t at_local = 0;
      std::int64_t at_global = 0;
      std::int64_t stride_local = 1;
      std::int64_t stride_global = 1;
      for (int d = local.rank() - 1; d >= 0; --d) {
        std::int64_t const offset = rest % held.box.extent[d];
        rest /= held.box.extent[d];
        if (held.local_start[d] + offset >= local[d] ||
            held.box.start[d] + offset >= holding.global[d]) {
          return {};  // outside
        }
        at_local += (held.local_start[d] + offset) * stride_local;
        at_global += (held.box.start[d] + offset) * stride_global;
        stride_local *= local[d];
        stride_global *= holding.global[d];
      }
      std::int64_t& place = out[static_cast<std::size_t>(at_local)];
      place = place == -1 ? at_global : -2;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("boxes are the slices, and the ranks of a replica partition the tensor") {
  int wrong_slices = 0;
  int wrong_cover = 0;
  int wrong_global = 0;
  int uneven = 0;
  int fused = 0;
  int same_dimension = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Dice dice(seed);
    Layout const layout = cases::random_layout(dice, 24);
    Shape const global = cases::random_shape(dice);
    RuleSpec const spec = cases::random_rule(dice, global, layout);
    rlhf::Shard const rule = spec.rule(global);
    bool even = true;
    bool exact = true;
    std::set<Axis> cut_axes;
    std::set<int> dimensions;
    for (CutSpec const& cut : spec.cuts) {
      cut_axes.insert(cut.axis);
      same_dimension += dimensions.insert(cut.dimension).second ? 0 : 1;
      fused += cut.sections > 1 ? 1 : 0;
    }
    std::vector<int> held(static_cast<std::size_t>(rlhf::element_count(global)), 0);
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      Coordinate const at = layout.coordinate(rank);
      Lists const lists = cases::slices(global, spec.cuts, layout, at, even, exact);
      Shape const local = cases::shape_of(lists);
      Holding const holding = rule.holding(local, layout, at);
      wrong_global += holding.global == global ? 0 : 1;
      std::vector<std::int64_t> want(static_cast<std::size_t>(rlhf::element_count(local)));
      cases::for_each_element(global, lists, [&](std::int64_t i, std::int64_t g) {
        want[static_cast<std::size_t>(i)] = g;
        held[static_cast<std::size_t>(g)] += at.data == 0 && at.pipeline == 0 ? 1 : 0;
      });
      wrong_slices += by_boxes(holding, local) == want ? 0 : 1;
    }
    uneven += exact ? 0 : 1;
    // Ranks along an axis that cuts nothing hold copies; apart from that each element is held once.
    int copies = 1;
    for (Axis const axis : {Axis::tensor, Axis::expert, Axis::sharded}) {
      copies *= cut_axes.count(axis) != 0 ? 1 : layout.size(axis);
    }
    for (int const times : held) {
      wrong_cover += times == copies ? 0 : 1;
    }
  }
  CHECK(wrong_global == 0);
  CHECK(wrong_slices == 0);
  CHECK(wrong_cover == 0);
  // The cases are the ones that matter.
  CHECK(uneven > 50);
  CHECK(fused > 200);
  CHECK(same_dimension > 100);
}

TEST_CASE("every local shape but the right one is refused") {
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed + 5000);
    Layout const layout = cases::random_layout(dice, 16);
    Shape const global = cases::random_shape(dice);
    RuleSpec spec = cases::random_rule(dice, global, layout);
    spec.says_global = true;
    if (global.rank() == 0) {
      continue;
    }
    bool even = true;
    bool exact = true;
    Coordinate const at = layout.coordinate(dice.between(0, layout.ranks() - 1));
    Shape local = cases::shape_of(cases::slices(global, spec.cuts, layout, at, even, exact));
    local[dice.between(0, local.rank() - 1)] += 1;
    try {
      static_cast<void>(spec.rule(global).holding(local, layout, at));
      ++accepted;
    } catch (rlhf::Error const& error) {
      accepted += std::string(error.what()).find(rlhf::to_string(local)) == std::string::npos;
    }
  }
  CHECK(accepted == 0);
}

TEST_CASE("cuts that do not divide are refused on every rank") {
  int accepted = 0;
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 2000 && refused < 300; ++seed) {
    Dice dice(seed + 9000);
    Layout const layout = cases::random_layout(dice, 16);
    Shape const global{dice.between(1, 15), dice.between(1, 15)};
    RuleSpec spec;
    spec.cuts = {{dice.pick({Axis::tensor, Axis::expert}), dice.between(0, 1), dice.between(1, 3)}};
    CutSpec const cut = spec.cuts[0];
    int const parts = layout.size(cut.axis) * cut.sections;
    if (global[cut.dimension] % parts == 0) {
      continue;
    }
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      Shape local = global;
      local[cut.dimension] = global[cut.dimension] / parts * cut.sections;
      try {
        static_cast<void>(spec.rule(global).holding(local, layout, layout.coordinate(rank)));
        ++accepted;
      } catch (rlhf::Error const&) {
        ++refused;
      }
    }
  }
  CHECK(accepted == 0);
  CHECK(refused >= 300);
}
