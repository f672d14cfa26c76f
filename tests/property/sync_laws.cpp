// Laws of weight syncs: random pairs of models, layouts, meshes, routes and bucket sizes.
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/spy.hpp"
#include "ranks/world.hpp"

using cases::Case;
using cases::Model;
using cases::Side;
using ranks::Spy;
using rlhf::Version;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name

/// What all ranks found, added up.
struct Findings {
  std::atomic<int> wrong{0};
  std::atomic<int> syncs{0};
  std::atomic<std::int64_t> bytes_in{0};
  std::atomic<std::int64_t> bytes_out{0};
  std::atomic<int> uncommitted{0};
  std::atomic<int> over_budget{0};
  std::atomic<int> over_planned{0};
  std::atomic<int> hierarchical{0};
};

/// The fingerprint of a whole parameter of a case in a version, from a copy of all of it.
std::uint64_t whole_fingerprint(Case const& pair, std::string const& name,
                                rlhf::plan::Kind const& kind, int version) {
  std::size_t p = 0;
  while (pair.parameters[p].name != name) {
    ++p;
  }
  auto const size = static_cast<std::size_t>(rlhf::size_of(pair.parameters[p].dtype));
  std::vector<std::byte> memory(
      static_cast<std::size_t>(rlhf::element_count(pair.parameters[p].global)) * size);
  for (std::size_t i = 0; i * size < memory.size(); ++i) {
    std::uint64_t const bits = cases::element_bits(p, static_cast<std::int64_t>(i), version);
    std::memcpy(memory.data() + i * size, &bits, size);
  }
  rlhf::Shape const& shape = pair.parameters[p].global;
  return rlhf::fingerprint(rlhf::PlacedBox{
      {memory.data(), pair.parameters[p].dtype, {}, shape, rlhf::row_major_strides(shape)},
      rlhf::Extents::filled(shape.rank(), 0),
      rlhf::Box::whole(shape),
      shape,
      rlhf::plan::fingerprint(name, kind)});
}

/// Three syncs of changing weights between the models of a case; the memory moves before the last.
template <class Policy>
void check_case(Case const& pair, std::uint64_t seed, Findings& totals) {
  Findings found;
  rlhf::plan::Plan plan;
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    ranks::Ledger ledger;
    Spy world(std::move(local), ledger);
    Model<sync::None> source(pair, Side::source, rank, seed % 2 == 0);
    Model<Policy> destination(pair, Side::destination, rank, seed % 3 == 0);
    sync::LinkOptions options;
    if (Policy::route == rlhf::plan::Route::automatic && seed % 2 == 0) {
      options.topology =
          rlhf::plan::Topology::of_hosts(pair.world, 2 + static_cast<int>(seed / 2 % 3));
      options.topology.slow_bytes_per_second = 1e6;
      options.topology.call_seconds = 0;
    }
    sync::Link link(world, source, destination, options);
    found.hierarchical += link.plan().route == rlhf::plan::Route::hierarchical ? 1 : 0;
    found.uncommitted += link.version().has_value() ? 1 : 0;
    for (int version = 1; version <= 3; ++version) {
      if (version == 3) {
        source.move_memory();
        destination.move_memory();
        link.rebind();
      }
      source.fill(version);
      destination.clear();
      ledger = {};
      link.sync(Version{version});
      found.bytes_in += ledger.bytes_in;
      found.bytes_out += ledger.bytes_out;
      found.wrong += destination.wrong(version) + source.wrong(version);
      found.wrong += source.old_memory_untouched() && destination.old_memory_untouched() ? 0 : 1;
      link.verify();
      auto const given = link.fingerprints(sync::Side::source);
      found.wrong += given == link.fingerprints(sync::Side::destination) ? 0 : 1;
      auto const kinds = rlhf::plan::kinds_of(link.plan());
      for (std::size_t p = static_cast<std::size_t>(rank); p < given.size();
           p += static_cast<std::size_t>(pair.world)) {
        auto const& kind = link.plan().kinds[static_cast<std::size_t>(kinds[p])];
        found.wrong +=
            given[p] == whole_fingerprint(pair, link.plan().parameters[p], kind, version) ? 0 : 1;
      }
      found.uncommitted += link.version() == Version{version} ? 0 : 1;
      found.over_planned += link.report().bytes == link.plan().bytes_moved ? 0 : 1;
    }
    std::int64_t const bucket = rlhf::align_up(Policy::bucket_bytes.count, std::int64_t{256});
    found.over_budget += link.staging_bytes() <= 4 * bucket ? 0 : 1;
    ++found.syncs;
    if (rank == 0) {
      plan = link.plan();
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(found.wrong == 0);
  CHECK(found.syncs == pair.world);
  CHECK(found.bytes_in == 3 * plan.bytes_on_links);
  CHECK(found.bytes_out == 3 * plan.bytes_on_links);
  CHECK(found.uncommitted == 0);
  CHECK(found.over_budget == 0);
  CHECK(found.over_planned == 0);
  totals.syncs += found.syncs;
  totals.hierarchical += found.hierarchical;
  totals.bytes_in += found.bytes_in;
}

template <class... Policies>
int check_policies(bool two_stage, std::uint64_t count) {
  Findings totals;
  for (std::uint64_t seed = 0; seed < cases::to_try(count); ++seed) {
    Case const pair = cases::random_case(seed, 6, two_stage);
    CAPTURE(seed);
    (check_case<Policies>(pair, seed, totals), ...);
  }
  CHECK(totals.bytes_in > 0);
  return totals.hierarchical;
}

}  // namespace

TEST_CASE("point to point: every element arrives, bit for bit, whatever the pair") {
  check_policies<sync::PointToPoint<256_B>, sync::PointToPoint<4_KiB>>(false, 70);
}

TEST_CASE("broadcast: every element arrives, bit for bit, whatever the pair") {
  check_policies<sync::Broadcast<256_B>, sync::Broadcast<4_KiB>>(false, 70);
}

TEST_CASE("reshard: every element arrives, bit for bit, whatever the pair") {
  CHECK(check_policies<sync::Reshard<256_B>, sync::Reshard<4_KiB>>(false, 70) > 20);
}

TEST_CASE("experts' policies: every element arrives, bit for bit, whatever the pair") {
  check_policies<sync::AllGatherExperts<4_KiB>, sync::AllToAllExperts<4_KiB>>(false, 30);
}

TEST_CASE("two stages: every element arrives, bit for bit, for every pair that they serve") {
  check_policies<sync::TwoStage<256_B>, sync::TwoStage<4_KiB>>(true, 70);
}

TEST_CASE("when a rank dies in the middle of a sync, the others fail and name it, or were done") {
  int died = 0;
  int told = 0;
  for (std::uint64_t seed = 0; seed < cases::to_try(120); ++seed) {
    cases::Dice dice(seed + 31);
    Case const pair = cases::random_case(seed, 4, true);
    int const culprit = dice.between(0, pair.world - 1);
    int const moment = dice.between(0, 12);
    using Policy = sync::TwoStage<256_B>;
    std::atomic<int> wrong{0};
    std::atomic<int> failures{0};
    std::atomic<bool> thrown{false};
    std::atomic<int> committed{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
      int const rank = local.rank();
      ranks::Ledger ledger;
      Spy world(std::move(local), ledger);
      Model<sync::None> source(pair, Side::source, rank);
      Model<Policy> destination(pair, Side::destination, rank);
      sync::Link link(world, source, destination);
      source.fill(1);
      link.sync(Version{1});
      source.fill(2);
      if (rank == culprit) {
        ledger.throw_at = ledger.calls + moment;
      }
      try {
        link.sync(Version{2});
        committed += 1;
        wrong += link.version() == Version{2} && destination.wrong(2) == 0 ? 0 : 1;
      } catch (rlhf::Error const& error) {
        wrong += error.rank() == culprit && !link.version().has_value() ? 0 : 1;
        bool const placed =
            std::string(error.what()).find("weight sync, step ") != std::string::npos ||
            std::string(error.what()).find("weight sync, commit of version 2") != std::string::npos;
        wrong += placed ? 0 : 1;
        wrong += std::string(error.what()).find("planned failure") == std::string::npos ? 1 : 0;
        ++failures;
        throw;
      } catch (std::exception const&) {
        wrong += rank == culprit && !link.version().has_value() ? 0 : 1;
        thrown = true;
        throw;
      }
    });
    CAPTURE(seed);
    CHECK(wrong == 0);
    CHECK(end.world.failed == thrown);
    CHECK(end.seconds < ranks::soon_seconds);
    CHECK(committed == (thrown ? 0 : pair.world));  // a destination is on a version as a whole
    if (thrown) {
      ++died;
      told += failures;
      CHECK(end.world.rank == culprit);
    }
  }
  CHECK(died >= static_cast<int>(cases::to_try(120) / 6));
  CHECK(told >= static_cast<int>(cases::to_try(120) / 6));
}
