#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/recording.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstdint>
#include <utility>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/world.hpp"
#include "support/allocations.hpp"

using cases::Case;
using cases::Model;
using cases::Side;
using rlhf::Layout;
using rlhf::Version;
using rlhf::comm::Local;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name

/// Allocations of all ranks in steady syncs of a case, waiting ones included.
template <class Policy>
std::int64_t allocations_of(Case const& pair, std::atomic<int>& wrong) {
  std::atomic<std::int64_t> total{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& local) {
    int const rank = local.rank();
    rlhf::comm::Recording<Local> world(std::move(local));
    Model<sync::None> source(pair, Side::source, rank, true);
    Model<Policy> destination(pair, Side::destination, rank);
    sync::Link link(world, source, destination);
    source.fill(1);
    link.sync(Version{1});
    for (int version = 2; version <= 6; ++version) {
      source.fill(version);
      if (rank == version % pair.world) {
        ranks::Meeting::sleep_ms(3);  // so that the others wait
      }
      std::int64_t const before = allocations();
      link.sync(Version{version});
      total += allocations() - before;
      wrong += destination.wrong(version);
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  return total;
}

}  // namespace

TEST_CASE("a steady sync allocates nothing, on any rank, by any route") {
  std::atomic<int> wrong{0};
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Case const pair = cases::random_case(seed + 100, 4, true);
    CAPTURE(seed);
    CHECK(allocations_of<sync::PointToPoint<256_B>>(pair, wrong) == 0);
    CHECK(allocations_of<sync::Broadcast<256_B>>(pair, wrong) == 0);
    CHECK(allocations_of<sync::TwoStage<256_B>>(pair, wrong) == 0);
  }
  CHECK(wrong == 0);
}
