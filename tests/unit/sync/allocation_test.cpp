#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/recording.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/world.hpp"
#include "support/allocations.hpp"
#include "support/rows.hpp"

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

/// A packer that counts the staging memory that is alive on a rank, and the most there was. Not the
/// library's own, so that Local does not move elements as they lie.
struct StagingCounter {
  std::int64_t now = 0;
  std::int64_t most = 0;
};
struct CountedBytes {
  CountedBytes() = default;
  CountedBytes(std::int64_t size, StagingCounter* where)
      : bytes(static_cast<std::size_t>(size)),
        counter(where) {
    counter->now += size;
    counter->most = std::max(counter->most, counter->now);
  }
  CountedBytes(CountedBytes&& other) noexcept { *this = std::move(other); }
  CountedBytes& operator=(CountedBytes&& other) noexcept {
    release();
    bytes = std::move(other.bytes);
    counter = std::exchange(other.counter, nullptr);
    return *this;
  }
  ~CountedBytes() { release(); }
  [[nodiscard]] std::byte* data() noexcept { return bytes.data(); }
  void release() noexcept {
    if (counter != nullptr) {
      counter->now -= static_cast<std::int64_t>(bytes.size());
      counter = nullptr;
    }
  }
  std::vector<std::byte> bytes;
  StagingCounter* counter = nullptr;
};
struct CountingPacker : rlhf::HostPacker<Local::Stream> {
  [[nodiscard]] CountedBytes allocate(std::int64_t bytes) const { return {bytes, counter}; }
  StagingCounter* counter = nullptr;
};

}  // namespace

TEST_CASE("staging stays inside its budget, whatever the tensors' sizes") {
  std::int64_t most = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Case pair = cases::random_case(seed + 900, 5, seed % 2 == 0);
    cases::Parameter large;  // 16 buckets
    large.name = "large";
    large.global = {64, 16};
    large.everywhere = true;
    pair.parameters.push_back(large);
    std::atomic<std::int64_t> over{0};
    std::atomic<std::int64_t> used{0};
    std::atomic<int> wrong{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
      StagingCounter counter;
      CountingPacker packer;
      packer.counter = &counter;
      Model<sync::None> source(pair, Side::source, world.rank(), true);
      auto const run = [&](auto policy) {
        using Policy = decltype(policy);
        Model<Policy> destination(pair, Side::destination, world.rank(), true);
        sync::Link<Model<sync::None>, Model<Policy>, Local, CountingPacker> link(
            world, source, destination, {}, packer);
        source.fill(1);
        link.sync(Version{1});
        wrong += destination.wrong(1);
        over += std::max(counter.most - 4 * Policy::bucket_bytes.count, std::int64_t{0});
        used = std::max(used.load(), counter.most);
        CHECK(counter.now == link.staging_bytes());
      };
      run(sync::Reshard<256_B>{});
      run(sync::Broadcast<256_B>{});
      if (seed % 2 == 0) {
        run(sync::TwoStage<256_B>{});
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    CHECK(over == 0);
    CHECK(wrong == 0);
    most = std::max(most, used.load());
  }
  print_row(
      "\"law\":\"staging, counted where it is allocated, stays inside its budget\",\"pairs\":60,"
      "\"syncs\":150,\"budget_bytes\":1024,\"most_bytes\":",
      most);
  CHECK(most == 1024);  // the budget is used
}

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
