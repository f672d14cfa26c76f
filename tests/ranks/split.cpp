// Communicators that are split from others.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>

#include <atomic>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

namespace comm = rlhf::comm;
using comm::Local;

namespace {

/// World ranks of a communicator's members, in its order, by asking it and by asking the members.
std::vector<int> members(Local& group, int world_rank) {
  std::vector<int> out(static_cast<std::size_t>(group.size()));
  std::vector<int> const mine{world_rank};
  comm::all_gather(group, std::span(mine), std::span(out));
  for (int r = 0; r < group.size(); ++r) {
    CHECK(group.world_rank(r) == out[static_cast<std::size_t>(r)]);
  }
  CHECK(out[static_cast<std::size_t>(group.rank())] == world_rank);
  return out;
}

using Ranks = std::vector<int>;

}  // namespace

TEST_CASE("members of one color form a group in the order of their ranks") {
  ranks::WorldEnd const end = ranks::run_world(7, [](Local& world) {
    Local group = world.split(world.rank() % 3, 0);
    Ranks const want = world.rank() % 3 == 0   ? Ranks{0, 3, 6}
                       : world.rank() % 3 == 1 ? Ranks{1, 4}
                                               : Ranks{2, 5};
    CHECK(members(group, world.rank()) == want);
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("keys order a group, equal keys by rank") {
  ranks::WorldEnd const end = ranks::run_world(5, [](Local& world) {
    Local reversed = world.split(0, -world.rank());
    CHECK(members(reversed, world.rank()) == Ranks{4, 3, 2, 1, 0});
    Local odd_first = world.split(0, world.rank() % 2 == 1 ? 0 : 1);
    CHECK(members(odd_first, world.rank()) == Ranks{1, 3, 0, 2, 4});
    // Data follows the new ranks: a broadcast from rank 0 of the reversed group is world rank 4's.
    Ranks data{world.rank()};
    comm::broadcast(reversed, std::span(data), 0);
    CHECK(data[0] == 4);
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("no_color gives an empty communicator, which refuses calls with a sentence") {
  ranks::WorldEnd const end = ranks::run_world(4, [](Local& world) {
    Local group = world.split(world.rank() == 2 ? comm::no_color : 5, 0);
    if (world.rank() == 2) {
      CHECK(group.size() == 0);
      int value = 0;
      std::vector<int> values(4);
      auto const refused = [&](auto&& call) {
        try {
          call();
          CHECK_MESSAGE(false, "nothing was thrown");
        } catch (rlhf::Error const& error) {
          CHECK_MESSAGE(std::string(error.what()).find("empty") != std::string::npos, error.what());
        }
      };
      refused([&] { group.barrier(); });
      refused([&] { group.broadcast(&value, 1, rlhf::DType::i32, 0); });
      refused([&] { group.send(&value, 1, rlhf::DType::i32, 0); });
      refused([&] { static_cast<void>(group.split(0, 0)); });
      refused([&] { static_cast<void>(group.world_rank(0)); });
      refused([&] {
        std::vector<int> out(4);
        comm::all_to_all(group, std::span(std::as_const(values)), std::span(out));
      });
      group.abort("an empty communicator has no world to abort");
    } else {
      CHECK(members(group, world.rank()) == Ranks{0, 1, 3});
    }
    world.barrier();
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("nobody may take part") {
  ranks::WorldEnd const end = ranks::run_world(3, [](Local& world) {
    Local const none = world.split(comm::no_color, 0);
    CHECK(none.size() == 0);
    world.barrier();
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("groups of groups, many splits in a row, and the world beside them") {
  ranks::WorldEnd const end = ranks::run_world(7, [](Local& world) {
    Local half = world.split(world.rank() < 4 ? 0 : 1, world.rank());
    Local pair = half.split(half.rank() / 2, -half.rank());
    Ranks const want[] = {{1, 0}, {1, 0}, {3, 2}, {3, 2}, {5, 4}, {5, 4}, {6}};
    CHECK(members(pair, world.rank()) == want[world.rank()]);
    for (int round = 0; round < 40; ++round) {
      Local group = world.split((world.rank() + round) % 3, 0);
      std::vector<int> sum{1};
      comm::all_reduce(group, std::span(sum));
      CHECK(sum[0] == group.size());
      sum = {1};
      comm::all_reduce(world, std::span(sum));
      CHECK(sum[0] == 7);
    }
    CHECK(members(half, world.rank()).size() == (world.rank() < 4 ? 4U : 3U));
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("one group's calls do not wait for another's") {
  std::atomic<bool> first_is_done{false};
  ranks::WorldEnd const end = ranks::run_world(4, [&](Local& world) {
    Local group = world.split(world.rank() / 2, 0);
    std::vector<int> sum{1};
    if (world.rank() < 2) {
      for (int round = 0; round < 100; ++round) {
        group.barrier();
        std::vector<int> out{round};
        std::vector<int> in{-1};
        comm::grouped(group, [&] {
          comm::send(group, std::span(out), 1 - group.rank());
          comm::recv(group, std::span(in), 1 - group.rank());
        });
        CHECK(in[0] == round);
      }
      first_is_done = true;
    } else {
      while (!first_is_done) {  // outside of any call until the other group has made all of its own
        ranks::Meeting::sleep_ms(1);
      }
      comm::all_reduce(group, std::span(sum));
    }
    world.barrier();
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("a rank that returns early harms only groups that it belongs to") {
  ranks::WorldEnd const end = ranks::run_world(4, [&](Local& world) {
    Local group = world.split(world.rank() == 3 ? 1 : 0, 0);
    if (world.rank() == 3) {
      return;
    }
    for (int round = 0; round < 200; ++round) {
      std::vector<int> sum{1};
      comm::all_reduce(group, std::span(sum));
      CHECK(sum[0] == 3);
    }
    Local smaller = group.split(group.rank() == 0 ? comm::no_color : 0, 0);
    if (group.rank() != 0) {
      CHECK(smaller.size() == 2);
      smaller.barrier();
    }
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("communicators outlive the ones they were split from, and move") {
  ranks::WorldEnd const end = ranks::run_world(4, [](Local& world) {
    Local kept;
    CHECK(kept.size() == 0);
    {
      Local half = world.split(world.rank() % 2, 0);
      Local again = half.split(0, -half.rank());
      kept = std::move(again);
    }
    CHECK(members(kept, world.rank()) == (world.rank() % 2 == 0 ? Ranks{2, 0} : Ranks{3, 1}));
    Local moved(std::move(kept));
    CHECK(kept.size() == 0);  // NOLINT: what moving leaves is documented to be empty
    moved.barrier();
  });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("the timeout is inherited and can be set a rank") {
  ranks::run_world(2, rlhf::Milliseconds{12'345}, [](Local& world) {
    CHECK(world.timeout() == rlhf::Milliseconds{12'345});
    world.set_timeout(rlhf::Milliseconds{50'000 + world.rank()});
    Local const group = world.split(0, 0);
    CHECK(group.timeout() == rlhf::Milliseconds{50'000 + world.rank()});
  });
}
