// Communicators along the axes of a layout.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/parallel/groups.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

using rlhf::Axis;
using rlhf::Coordinate;
using rlhf::Layout;
using rlhf::comm::Local;

namespace {

std::vector<int> members(Local& group, int rank) {
  std::vector<int> out(static_cast<std::size_t>(group.size()));
  std::vector<int> const mine{rank};
  rlhf::comm::all_gather(group, std::span(mine), std::span(out));
  return out;
}

constexpr Axis axes[] = {Axis::tensor, Axis::expert, Axis::sharded, Axis::data, Axis::pipeline};

/// The ranks that differ from `rank` in the given axes only, ascending.
std::vector<int> expected(Layout const& layout, int rank, std::vector<Axis> const& free) {
  std::vector<int> out;
  for (int other = 0; other < layout.ranks(); ++other) {
    bool same = true;
    for (Axis const axis : axes) {
      bool const is_free = std::find(free.begin(), free.end(), axis) != free.end();
      same = same &&
             (is_free || layout.coordinate(other).on(axis) == layout.coordinate(rank).on(axis));
    }
    if (same) {
      out.push_back(other);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("each group holds the ranks that differ in its axes only, in order") {
  Layout const layouts[] = {
      {},
      {.tensor = 2, .pipeline = 2, .data = 2},
      {.tensor = 2, .expert = 2, .data = 2},
      {.tensor = 2, .pipeline = 2, .expert = 2},
      {.expert = 2, .data = 2, .fsdp = 2},
      {.tensor = 3, .fsdp = 2},
      {.data = 2, .zero = 3},
      {.tensor = 2, .pipeline = 3, .data = Layout::any},
  };
  for (Layout const& given : layouts) {
    int const size = given.data == Layout::any ? 6 : given.ranks();
    CAPTURE(rlhf::to_string(given));
    ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
      rlhf::Groups<Local> groups = rlhf::make_groups(world, given);
      Layout const layout = given.on_ranks(size);
      int const rank = world.rank();
      Coordinate const at = layout.coordinate(rank);
      CHECK(members(groups.tensor, rank) == expected(layout, rank, {Axis::tensor}));
      CHECK(members(groups.expert, rank) == expected(layout, rank, {Axis::expert}));
      CHECK(members(groups.sharded, rank) == expected(layout, rank, {Axis::sharded}));
      CHECK(members(groups.data, rank) == expected(layout, rank, {Axis::data}));
      CHECK(members(groups.pipeline, rank) == expected(layout, rank, {Axis::pipeline}));
      CHECK(members(groups.replica, rank) ==
            expected(layout, rank, {Axis::tensor, Axis::expert, Axis::sharded, Axis::pipeline}));
      CHECK(members(groups.dense_data, rank) == expected(layout, rank, {Axis::data, Axis::expert}));
      CHECK(groups.tensor.rank() == at.tensor);
      CHECK(groups.expert.rank() == at.expert);
      CHECK(groups.sharded.rank() == at.sharded);
      CHECK(groups.data.rank() == at.data);
      CHECK(groups.pipeline.rank() == at.pipeline);
    });
    CHECK_FALSE(end.world.failed);
  }
}

TEST_CASE("a communicator of another size than the layout is refused on every rank") {
  ranks::WorldEnd const end = ranks::run_world(
      3, [](Local& world) { static_cast<void>(rlhf::make_groups(world, Layout{.tensor = 2})); });
  CHECK(end.world.code == rlhf::Errc::incompatible_policy);
  CHECK(end.world.says("tensor=2"));
}
