#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/recording.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/world.hpp"

using cases::Case;
using cases::Model;
using cases::Side;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Version;
using rlhf::comm::Local;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name
using Recorded = rlhf::comm::Recording<Local>;

/// Trainer ranks 0-1 (tensor 2), generator ranks 2-5 (tensor 4), weights cut by rows.
Case small_case(int parameters = 4) {
  Case pair;
  pair.source = Layout{.tensor = 2};
  pair.destination = Layout{.tensor = 4};
  pair.source_mesh = Mesh::range(0, 2);
  pair.destination_mesh = Mesh::range(2, 4);
  pair.world = 6;
  for (int p = 0; p < parameters; ++p) {
    cases::Parameter next;
    next.name = "layers." + std::to_string(p) + ".weight";
    next.dtype = rlhf::DType::bf16;
    next.global = {16, 12};
    next.source.cuts = {{rlhf::Axis::tensor, 0, 1}};
    next.destination.cuts = next.source.cuts;
    pair.parameters.push_back(next);
  }
  return pair;
}

/// Runs `body(world, source, destination)` on every rank of a case.
template <class Policy, class Body>
ranks::WorldEnd on_case(Case const& pair, Body body) {
  return ranks::run_world(pair.world, [&](Local& local) {
    int const rank = local.rank();
    Recorded world(std::move(local));
    Model<sync::None> source(pair, Side::source, rank);
    Model<Policy> destination(pair, Side::destination, rank);
    body(world, source, destination);
  });
}

/// The user's models with layouts from a file: the same checks, when the program runs.
template <class Sync>
struct RuntimeModel : rlhf::Module<rlhf::RuntimeGrid, Sync> {
  using Base = rlhf::Module<rlhf::RuntimeGrid, Sync>;
  using Base::Base;
  std::vector<float> memory = std::vector<float>(48);
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(memory.data(), {24 / this->layout().tensor, 1}), rlhf::shard::rows());
  }
};

/// A model one of whose views does not fit its shard on rank 4.
struct MisshapenModel : Model<sync::Broadcast<4_KiB>> {
  using Model::Model;
  int rank = 0;
  template <class Visit>
  void parameters(Visit&& visit) {
    Model::parameters([&](std::string const& name, rlhf::TensorView view, rlhf::Shard rule) {
      if (rank == 4 && name == "layers.2.weight") {
        view.shape[0] += 1;
      }
      visit(name, view, rule);
    });
  }
};

}  // namespace

TEST_CASE("sync is due where the frequency is not 0 and divides the number of episodes done") {
  for (int frequency = 1; frequency <= 5; ++frequency) {
    for (std::int64_t episodes = 0; episodes <= 40; ++episodes) {
      bool want = false;  // before training, and then every `frequency` episodes
      for (std::int64_t at = 0; at <= episodes; at += frequency) {
        want = at == episodes;
      }
      CHECK(sync::due(frequency, episodes) == want);
    }
  }
  for (std::int64_t episodes = 0; episodes <= 40; ++episodes) {
    CHECK_FALSE(sync::due(0, episodes));
  }
  using Every3 = sync::Link<Model<sync::None>, Model<sync::Broadcast<64_MiB, 3>>, Local>;
  using Never = sync::Link<Model<sync::None>, Model<sync::Broadcast<64_MiB, 0>>, Local>;
  CHECK(Every3::due(rlhf::Episode{0}));
  CHECK_FALSE(Every3::due(rlhf::Episode{4}));
  CHECK(Every3::due(rlhf::Episode{6}));
  CHECK_FALSE(Never::due(rlhf::Episode{0}));
}

TEST_CASE("the stock policies say what they are") {
  CHECK(sync::Broadcast<>::route == rlhf::plan::Route::broadcast);
  CHECK(sync::PointToPoint<>::route == rlhf::plan::Route::point_to_point);
  CHECK(sync::TwoStage<>::route == rlhf::plan::Route::two_stage);
  CHECK(sync::Broadcast<>::source_choice == rlhf::plan::SourceChoice::paired);
  CHECK(sync::TwoStage<>::source_choice == rlhf::plan::SourceChoice::paired);
  CHECK(sync::PointToPoint<>::source_choice == rlhf::plan::SourceChoice::balanced);
  CHECK(sync::TwoStage<256_MiB>::bucket_bytes == 256_MiB);
  CHECK(sync::TwoStage<>::frequency == 1);
}

TEST_CASE("a recording shows exactly the plan's transfers, and the same in every sync") {
  Case const pair = small_case();
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> received{0};
  std::atomic<std::int64_t> moved{0};
  ranks::WorldEnd const end = on_case<sync::PointToPoint<256_B>>(
      pair, [&](Recorded& world, auto& source, auto& destination) {
        sync::Link link(world, source, destination);
        rlhf::comm::Record first;
        for (int version = 1; version <= 3; ++version) {
          source.fill(version);
          world.clear();
          link.sync(Version{version});
          if (version == 1) {
            first = world.record();
          }
          CHECK(world.record() == first);
          CHECK(destination.wrong(version) == 0);
        }
        sent += first.send.bytes;
        received += first.recv.bytes;
        moved = link.plan().bytes_moved;
        CHECK(first.broadcast == rlhf::comm::Traffic{});
        CHECK(first.barriers + first.splits + first.all_gather.calls == 0);
        CHECK(first.all_reduce.calls == 1);  // the commit
        CHECK(first.all_reduce.bytes == 16);
        CHECK(link.report().bytes == link.plan().bytes_moved);
        CHECK(link.report().seconds > 0);
        CHECK(link.report().gigabytes_per_second() > 0);
      });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(sent == moved);
  CHECK(received == moved);
  CHECK(moved == 4 * 16 * 12 * 2);
}

TEST_CASE("the version is empty before the first sync and says which weights are there after") {
  ranks::WorldEnd const end = on_case<sync::Broadcast<4_KiB>>(
      small_case(), [](Recorded& world, auto& source, auto& destination) {
        sync::Link link(world, source, destination);
        CHECK_FALSE(link.version().has_value());
        source.fill(7);
        link.sync(Version{7});
        CHECK(link.version() == Version{7});
      });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("whole parameters move without staging memory") {
  Case pair = small_case(1);
  pair.destination = Layout{.tensor = 2};
  pair.destination_mesh = Mesh::range(2, 2);
  pair.world = 4;
  ranks::WorldEnd const end = on_case<sync::PointToPoint<4_KiB>>(
      pair, [](Recorded& world, auto& source, auto& destination) {
        sync::Link link(world, source, destination);
        CHECK(link.staging_bytes() == 0);
        source.fill(1);
        link.sync(Version{1});
        CHECK(destination.wrong(1) == 0);
      });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE("rebind refuses a model that lists something else than before") {
  Case const pair = small_case();
  Case const other = small_case(3);
  ranks::WorldEnd const end =
      on_case<sync::Broadcast<4_KiB>>(pair, [&](Recorded& world, auto& source, auto& destination) {
        sync::Link link(world, source, destination);
        source = Model<sync::None>(other, Side::source, world.rank());
        try {
          link.rebind();
          CHECK(source.held().empty());  // ranks without a part have nothing to rebind
        } catch (Error const& error) {
          CHECK(error.code() == Errc::invalid_argument);
          CHECK(error.rank() == world.rank());
          CHECK(std::string(error.what()).find("make a new link") != std::string::npos);
          CHECK(world.rank() < 2);
        }
      });
  CHECK_FALSE(end.world.failed);
}

TEST_CASE(
    "layouts known at run time: a pair that the route cannot serve is refused on every rank") {
  auto const try_pair = [](auto policy, Layout from, Layout to) {
    using Policy = decltype(policy);
    return ranks::run_world(5, [&](Local& world) {
      RuntimeModel<sync::None> source(Mesh::range(0, from.ranks()), world.rank(), from);
      RuntimeModel<Policy> destination(Mesh::range(0, to.ranks()), world.rank(), to);
      sync::Link link(world, source, destination);
      link.sync(Version{1});
    });
  };
  ranks::WorldEnd const refused =
      try_pair(sync::TwoStage<>{}, Layout{.tensor = 2}, Layout{.tensor = 3});
  for (ranks::Outcome const& outcome : refused.of) {
    CHECK(outcome.library_error);
    CHECK(outcome.code == Errc::incompatible_policy);
    CHECK(outcome.says("source 2, destination 3"));
    CHECK(outcome.says("sync::PointToPoint"));
  }
  CHECK(try_pair(sync::TwoStage<>{}, Layout{}, Layout{.pipeline = 2}).world.says("pipeline"));
  CHECK_FALSE(try_pair(sync::TwoStage<>{}, Layout{.tensor = 2}, Layout{.tensor = 4}).world.failed);
  CHECK_FALSE(
      try_pair(sync::PointToPoint<>{}, Layout{.tensor = 2}, Layout{.tensor = 3}).world.failed);
  CHECK_FALSE(try_pair(sync::Broadcast<>{}, Layout{.tensor = 3}, Layout{.tensor = 2}).world.failed);
}

TEST_CASE("a mesh that reaches beyond the world is refused with a sentence") {
  Case pair = small_case();
  pair.world = 5;  // the generator's last rank is missing
  ranks::WorldEnd const end =
      on_case<sync::Broadcast<4_KiB>>(pair, [](Recorded& world, auto& source, auto& destination) {
        sync::Link link(world, source, destination);
      });
  CHECK(end.world.code == Errc::invalid_argument);
  CHECK(end.world.says("world rank 5"));
  CHECK(end.world.says("5 ranks"));
}

TEST_CASE("ranks that do not agree about a mesh find out before the first byte") {
  Case pair = small_case();
  pair.source = Layout{.data = 2};  // either source rank could send
  Case other = pair;
  other.source_mesh = Mesh({1, 0});
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Case const& mine = world.rank() == 3 ? other : pair;
    Model<sync::None> source(mine, Side::source, world.rank());
    Model<sync::Broadcast<4_KiB>> destination(mine, Side::destination, world.rank());
    sync::Link link(world, source, destination);
    CHECK_MESSAGE(false, "the link was made");
  });
  CHECK(end.world.code == Errc::rank_mismatch);
  for (ranks::Outcome const& outcome : end.of) {
    CHECK(outcome.library_error);
    CHECK(outcome.rank == 3);
    CHECK_MESSAGE(outcome.says("ranks [3] were given other layouts or meshes"), outcome.text);
  }
}

TEST_CASE("one rank's wrong parameter ends the making of a link everywhere, with its name") {
  Case const pair = small_case();
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    MisshapenModel destination(pair, Side::destination, world.rank());
    destination.rank = world.rank();
    sync::Link link(world, source, destination);
  });
  CHECK(end.world.rank == 4);
  for (ranks::Outcome const& outcome : end.of) {
    CHECK(outcome.rank == 4);
    CHECK(outcome.says("layers.2.weight"));
  }
  CHECK(end.seconds < ranks::soon_seconds);
}

TEST_CASE("a packer of the user's that fails: everybody ends, nobody is on a version") {
  // The device's memory may be lost in the middle of a sync, on one rank.
  struct FailingPacker : rlhf::HostPacker<Local::Stream> {
    std::atomic<bool>* fails = nullptr;
    void unpack(Table const& table, std::byte const* from, Local::Stream stream = {}) const {
      if (fails != nullptr && *fails) {
        throw std::runtime_error("the device is gone");
      }
      HostPacker::unpack(table, from, stream);
    }
  };
  Case const pair = small_case();
  std::atomic<bool> armed{false};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Model<sync::TwoStage<256_B>> destination(pair, Side::destination, world.rank(), true);
    FailingPacker packer;
    packer.fails = world.rank() == 4 ? &armed : nullptr;
    sync::Link<Model<sync::None>, Model<sync::TwoStage<256_B>>, Local, FailingPacker> link(
        world, source, destination, {}, packer);
    source.fill(1);
    link.sync(Version{1});
    CHECK(link.version() == Version{1});
    world.barrier();
    armed = true;
    world.barrier();
    try {
      link.sync(Version{2});
    } catch (...) {
      CHECK_FALSE(link.version().has_value());
      throw;
    }
    world.barrier();
  });
  CHECK(end.world.rank == 4);
  CHECK(end.world.says("the device is gone"));
  for (int rank = 0; rank < pair.world; ++rank) {
    CHECK(end.of[static_cast<std::size_t>(rank)].failed);
    if (rank != 4) {
      CHECK(end.of[static_cast<std::size_t>(rank)].rank == 4);
    }
  }
  CHECK(end.seconds < ranks::soon_seconds);
}

TEST_CASE("a rank that never comes to a sync is named after the timeout") {
  Case const pair = small_case();
  std::atomic<int> waiting{5};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Model<sync::Broadcast<4_KiB>> destination(pair, Side::destination, world.rank());
    sync::Link link(world, source, destination);
    world.set_timeout(rlhf::Milliseconds{200});
    if (world.rank() == 1) {
      while (waiting > 0) {
        ranks::Meeting::sleep_ms(5);
      }
      return;
    }
    try {
      link.sync(Version{1});
      world.barrier();
    } catch (Error const&) {
      CHECK((world.rank() <= 3 || !link.version().has_value()));  // 4 and 5 need rank 1's bytes
      --waiting;
      throw;
    }
  });
  CHECK(end.world.rank == 1);
  CHECK(end.world.code == Errc::timeout);
  CHECK(end.seconds < ranks::soon_seconds);
}

TEST_CASE("a source may name the destination's policy or none") {
  using Policy = sync::Broadcast<4_KiB>;
  CHECK(sync::is_valid_pair<Model<sync::None>, Model<Policy>>);
  CHECK(sync::is_valid_pair<Model<Policy>, Model<Policy>>);
  CHECK_FALSE(sync::is_valid_pair<Model<Policy>, Model<sync::Broadcast<8_KiB>>>);
  CHECK_FALSE(sync::is_valid_pair<Model<Policy>, Model<sync::None>>);
}

TEST_CASE("the phases of a sync add up to the time that it takes") {
  Case pair = small_case();
  for (cases::Parameter& one : pair.parameters) {
    one.global = {4096, 512};
  }
  for (auto const verification : {sync::Verification::none, sync::Verification::fingerprint}) {
    ranks::WorldEnd const end =
        on_case<sync::Reshard<1_MiB>>(pair, [&](auto& world, auto& source, auto& destination) {
          sync::Link link(world, source, destination, {.verification = verification});
          link.sync(Version{0});
          std::int64_t const begin = rlhf::steady_nanoseconds();
          link.sync(Version{1});
          double const wall = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
          sync::SyncReport const& report = link.report();
          double const phases = report.move_seconds + report.verify_seconds + report.commit_seconds;
          CHECK(phases <= wall);
          CHECK(phases > 0.95 * wall);
          CHECK(phases == doctest::Approx(report.seconds));
        });
    REQUIRE_MESSAGE(!end.world.failed, end.world.text);
  }
}
