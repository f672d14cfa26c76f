// Ranks that were asked for different things are told before a byte moves; a destination is on a
// version as a whole or on none; a sync that failed in its middle goes on elsewhere.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "property/two_rows.hpp"
#include "ranks/spy.hpp"
#include "ranks/world.hpp"

using cases::Case;
using cases::Model;
using cases::Side;
using ranks::Spy;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Version;
using rlhf::comm::Local;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;
namespace shard = rlhf::shard;

/// Ranks 0-1 to ranks 2-3, three equal matrices cut by rows.
Case four_ranks(Layout destination = {.tensor = 2}) {
  Case pair;
  pair.source = Layout{.tensor = 2};
  pair.destination = destination;
  pair.source_mesh = Mesh::range(0, 2);
  pair.destination_mesh = Mesh::range(2, destination.ranks());
  pair.world = 2 + destination.ranks();
  for (char const* const name : {"a", "b", "c"}) {
    cases::Parameter next;
    next.name = name;
    next.dtype = rlhf::DType::f32;
    next.global = {16, 12};
    next.source.cuts = {{rlhf::Axis::tensor, 0, 1}};
    if (destination.tensor > 1) {
      next.destination.cuts = next.source.cuts;
    }
    pair.parameters.push_back(next);
  }
  return pair;
}

using Receiver = Model<sync::Reshard<256_B>>;

/// Makes a link with options that may differ by rank, and says what each rank was told.
template <class OptionsOf>
ranks::WorldEnd link_with(OptionsOf options_of, Layout destination = {.tensor = 2}) {
  Case const pair = four_ranks(destination);
  return ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Receiver receiver(pair, Side::destination, world.rank());
    sync::Link link(world, source, receiver, options_of(world.rank()));
    source.fill(1);
    link.sync(Version{1});
  });
}

void check_all_told(ranks::WorldEnd const& end, std::string const& what) {
  for (ranks::Outcome const& outcome : end.of) {
    CAPTURE(outcome.text);
    CHECK(outcome.code == Errc::rank_mismatch);
    CHECK(outcome.rank == 1);
    CHECK(outcome.says(what));
    CHECK(outcome.says("ranks [1]"));
  }
}

}  // namespace

TEST_CASE("another name map on one rank is found, although its plan is the same") {
  check_all_told(link_with([](int rank) {
                   sync::LinkOptions options;
                   if (rank == 1) {
                     options.names = rlhf::plan::BasicNameMap<>{{"a", "b"}, {"b", "a"}};
                   }
                   return options;
                 }),
                 "name maps");
}

TEST_CASE("another subset on one rank is found, by globs and by predicates") {
  check_all_told(link_with([](int rank) {
                   sync::LinkOptions options;
                   if (rank == 1) {
                     options.only = {"a", "b"};
                   }
                   return options;
                 }),
                 "subsets");
  check_all_told(link_with([](int rank) {
                   sync::LinkOptions options;
                   if (rank != 1) {
                     options.wanted = [](std::string_view name) { return name != "c"; };
                   }
                   return options;
                 }),
                 "subsets");
  // A predicate and a glob that mean the same agree.
  CHECK_FALSE(link_with([](int rank) {
                sync::LinkOptions options;
                if (rank == 1) {
                  options.only = {"a", "b"};
                } else {
                  options.wanted = [](std::string_view name) { return name != "c"; };
                }
                return options;
              }).world.failed);
}

TEST_CASE("another budget, check or extent on one rank is found") {
  for (int what = 0; what < 3; ++what) {
    check_all_told(link_with([&](int rank) {
                     sync::LinkOptions options;
                     if (rank == 1 && what == 0) {
                       options.budget = 4_KiB;
                     } else if (rank == 1 && what == 1) {
                       options.verification = sync::Verification::fingerprint;
                     } else if (rank == 1) {
                       options.extent = sync::Extent::partial;
                     }
                     return options;
                   }),
                   "budgets, checks or extents");
  }
}

TEST_CASE("options that ask for what is not there are refused with it") {
  auto const refusal = [](std::string const& glob) {
    ranks::WorldEnd const end = link_with([&](int) {
      sync::LinkOptions options;
      options.only = {"a", glob};
      return options;
    });
    CHECK(end.world.code == Errc::incompatible_policy);
    return end.world.text;
  };
  CHECK(refusal("*lora*").find("`only` asks for *lora*, which no parameter") != std::string::npos);
  ranks::WorldEnd const none = link_with([](int) {
    sync::LinkOptions options;
    options.wanted = [](std::string_view) { return false; };
    return options;
  });
  CHECK(none.world.says("no parameter of the destination fits"));
}

TEST_CASE("a budget makes buckets smaller; staging keeps to it; one too small for any is refused") {
  Case const pair = four_ranks();
  for (std::int64_t const budget : {1024, 2048, 8192}) {
    std::atomic<std::int64_t> most{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& local) {
      ranks::Ledger ledger;
      Spy world(std::move(local), ledger);  // so that pieces with gaps are staged
      Model<sync::None> source(pair, Side::source, world.rank(), true);
      Model<sync::Reshard<64_KiB>> destination(pair, Side::destination, world.rank(), true);
      sync::LinkOptions options;
      options.budget = rlhf::Bytes{budget};
      sync::Link link(world, source, destination, options);
      CHECK(link.plan().bucket_bytes == budget / 2);  // no rank is on both sides
      CHECK(link.staging_bytes() <= budget);
      most = most > link.staging_bytes() ? most.load() : link.staging_bytes();
      source.fill(3);
      link.sync(Version{3});
      CHECK(destination.wrong(3) == 0);
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    CHECK(most > 0);
  }
  ranks::WorldEnd const small = link_with([](int) {
    sync::LinkOptions options;
    options.budget = 500_B;
    return options;
  });
  CHECK(small.world.says("budget of 500 bytes"));
  CHECK(small.world.says("at least 512"));
}

namespace {

/// A receiver that forgets a parameter on one rank.
struct Forgetful : Receiver {
  Forgetful(Case const& pair, Side side, int rank, int forgets)
      : Receiver(pair, side, rank),
        forgets_here(rank == forgets) {}
  bool forgets_here;
  template <class Visit>
  void parameters(Visit&& visit) {
    Receiver::parameters([&](auto const& name, auto const& view, auto const& rule) {
      if (!forgets_here || name != "b") {
        visit(name, view, rule);
      }
    });
  }
};

}  // namespace

TEST_CASE("a destination that holds a parameter in parts only must say so") {
  Case const pair = four_ranks();
  for (bool const allowed : {false, true}) {
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
      Model<sync::None> source(pair, Side::source, world.rank());
      Forgetful receiver(pair, Side::destination, world.rank(), 3);
      sync::LinkOptions options;
      options.extent = allowed ? sync::Extent::partial : sync::Extent::whole;
      sync::Link link(world, source, receiver, options);
      source.fill(1);
      link.sync(Version{1});
      link.verify();
    });
    CHECK(end.world.failed != allowed);
    if (!allowed) {
      CHECK(end.world.says("parameter b: no destination rank holds [8:16, 0:12]"));
    }
  }
}

TEST_CASE("ranks that name different versions: an error on all, the destination on none") {
  Case const pair = four_ranks();
  std::atomic<int> told{0};
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Receiver receiver(pair, Side::destination, world.rank());
    sync::Link link(world, source, receiver);
    source.fill(1);
    try {
      link.sync(Version{world.rank() == 2 ? 8 : 7});
    } catch (Error const& error) {
      bool const named = std::string(error.what()).find("from 7 to 8") != std::string::npos;
      told += error.code() == Errc::rank_mismatch && named && !link.version().has_value() ? 1 : 0;
    }
    link.sync(Version{9});  // and the next one goes through
    CHECK(link.version() == Version{9});
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(told == pair.world);
}

TEST_CASE("memory that moved has no version, unless its contents came along") {
  Case const pair = four_ranks();
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Receiver receiver(pair, Side::destination, world.rank());
    sync::Link link(world, source, receiver);
    source.fill(4);
    link.sync(Version{4});
    source.move_memory();
    receiver.move_memory();
    link.rebind(sync::Contents::kept);
    CHECK(link.version() == Version{4});
    link.verify();
    CHECK(link.version() == Version{4});
    receiver.move_memory();
    link.rebind();
    CHECK_FALSE(link.version().has_value());
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("syncs that verify themselves commit nothing that is wrong") {
  // A packer that loses a bit on one rank, once, as broken hardware does.
  struct LossyPacker : rlhf::HostPacker<Spy::Stream> {
    bool* loses = nullptr;  // of all copies
    void unpack(Table const& table, std::byte const* from, Spy::Stream = {}) const {
      HostPacker::unpack(table, from);
      if (*loses) {
        table.front().data[1] ^= std::byte{4};
        *loses = false;
      }
    }
  };
  Case const pair = four_ranks();
  for (auto const how : {sync::Verification::fingerprint, sync::Verification::full}) {
    std::atomic<int> refused{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& local) {
      ranks::Ledger ledger;
      Spy world(std::move(local), ledger);
      Model<sync::None> source(pair, Side::source, world.rank(), true);
      Receiver receiver(pair, Side::destination, world.rank(), true);
      bool loses = world.rank() == 3;
      LossyPacker packer;
      packer.loses = &loses;
      sync::LinkOptions options;
      options.verification = how;
      sync::Link<Model<sync::None>, Receiver, Spy, LossyPacker> link(world, source, receiver,
                                                                     options, packer);
      source.fill(1);
      try {
        link.sync(Version{1});
      } catch (Error const& error) {
        refused += error.code() == Errc::corrupted && error.rank() == 3 ? 1 : 0;
      }
      CHECK_FALSE(link.version().has_value());
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    CHECK(refused == pair.world);
  }
}

TEST_CASE(
    "a sync that fails in its middle is tried again on another communicator, by the same link") {
  Case const pair = four_ranks({.tensor = 2, .data = 2});
  int failed = 0;
  for (int moment = 0; moment < 12; ++moment) {
    rlhf::comm::LocalWorld<> second(pair.world);
    std::atomic<int> failures{0};
    std::atomic<int> wrong{0};
    static_cast<void>(ranks::run_world(pair.world, [&](Local& local) {
      int const rank = local.rank();
      ranks::Ledger ledger;
      Spy world(std::move(local), ledger);
      Model<sync::None> source(pair, Side::source, rank);
      Receiver receiver(pair, Side::destination, rank);
      sync::Link link(world, source, receiver);
      source.fill(1);
      link.sync(Version{1});
      source.fill(2);
      if (rank == 1) {
        ledger.throw_at = ledger.calls + moment;
      }
      try {
        link.sync(Version{2});
        wrong += link.version() == Version{2} ? 0 : 1;
      } catch (std::exception const& error) {
        ++failures;
        world.abort(error.what());
        wrong += link.version().has_value() ? 1 : 0;
      }
      ledger.throw_at = -1;
      Spy other(second.communicator(rank), ledger);
      link.replan(other);
      wrong += link.version().has_value() ? 1 : 0;
      link.sync(Version{2});
      link.verify();
      wrong += link.version() == Version{2} ? 0 : 1;
      wrong += receiver.wrong(2);
      second.leave(rank);
    }));
    CHECK(wrong == 0);
    CHECK((failures == 0 || failures == pair.world));
    failed += failures == 0 ? 0 : 1;
  }
  CHECK(failed >= 5);
}

namespace {

/// A packer that can be told to have no memory.
struct PoorPacker : rlhf::HostPacker<Spy::Stream> {
  bool const* poor = nullptr;
  [[nodiscard]] auto allocate(std::int64_t bytes) const {
    if (*poor) {
      throw std::bad_alloc();
    }
    return HostPacker::allocate(bytes);
  }
};

/// A receiver whose parameter b can go by a name that no source has.
struct Renaming : Receiver {
  using Receiver::Receiver;
  bool lost = false;
  template <class Visit>
  void parameters(Visit&& visit) {
    Receiver::parameters([&](auto const& name, auto const& view, auto const& rule) {
      visit(lost && name == "b" ? "lost" : name, view, rule);
    });
  }
};

}  // namespace

TEST_CASE(
    "a replan onto another communicator that fails leaves the link on the old one, or on none") {
  Case const pair = four_ranks();
  for (bool const late : {false, true}) {  // before ranks agree, or without memory for staging
    rlhf::comm::LocalWorld<> worlds[3] = {rlhf::comm::LocalWorld<>(pair.world),
                                          rlhf::comm::LocalWorld<>(pair.world),
                                          rlhf::comm::LocalWorld<>(pair.world)};
    std::atomic<int> refused{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& local) {
      int const rank = local.rank();
      ranks::Ledger ledgers[2];
      std::optional<Spy> first(std::in_place, worlds[0].communicator(rank), ledgers[0]);
      std::optional<Spy> second(std::in_place, worlds[1].communicator(rank), ledgers[1]);
      Model<sync::None> source(pair, Side::source, rank, true);
      Renaming receiver(pair, Side::destination, rank, true);
      bool poor = false;
      PoorPacker packer;
      packer.poor = &poor;
      sync::Link<Model<sync::None>, Renaming, Spy, PoorPacker> link(*first, source, receiver, {},
                                                                    packer);
      source.fill(1);
      link.sync(Version{1});
      receiver.lost = !late;
      poor = late;
      std::string told;
      try {
        link.replan(*second);
      } catch (std::exception const& error) {
        told = error.what();
      }
      receiver.lost = false;
      poor = false;
      refused += told.empty() ? 0 : 1;
      CHECK_FALSE(link.version().has_value());
      std::int64_t const calls = ledgers[1].calls;
      source.fill(2);
      if (late) {
        first.reset();  // nothing of it is used any more
        CHECK_THROWS_WITH_AS(link.sync(Version{2}), doctest::Contains("has no plan"), Error);
        CHECK_THROWS_WITH_AS(link.rebind(), doctest::Contains("has no plan"), Error);
      } else {
        second.reset();  // nor of this one
        link.sync(Version{2});
        link.verify();
        CHECK(receiver.wrong(2) == 0);
        second.emplace(worlds[2].communicator(rank), ledgers[1]);
      }
      CHECK(ledgers[1].calls == calls);
      std::int64_t const old_calls = ledgers[0].calls;
      link.replan(*second);
      first.reset();
      CHECK_THROWS_WITH_AS(link.finish(Version{3}), doctest::Contains("finish without start"),
                           Error);
      source.fill(3);
      link.sync(Version{3});
      link.verify();
      CHECK(receiver.wrong(3) == 0);
      CHECK(ledgers[0].calls == old_calls);
      for (auto& world : worlds) {
        world.leave(rank);
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    CHECK(refused == pair.world);
  }
}

TEST_CASE("a version is not committed when nothing moved: finish needs a start of its own") {
  Case const pair = four_ranks();
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    Model<sync::None> source(pair, Side::source, world.rank());
    Receiver receiver(pair, Side::destination, world.rank());
    sync::Link link(world, source, receiver);
    auto const refuses = [&](Version version) {
      CHECK_THROWS_WITH_AS(link.finish(version), doctest::Contains("finish without start"), Error);
    };
    refuses(Version{7});
    CHECK_FALSE(link.version().has_value());
    source.fill(1);
    link.start();
    link.finish(Version{1});
    refuses(Version{2});
    CHECK(link.version() == Version{1});
    link.start();
    link.replan();
    refuses(Version{3});
    link.sync(Version{4});
    CHECK(link.version() == Version{4});
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

namespace {

/// A rule of the user's that lists elements, or places, twice.
struct TwiceRule {
  rlhf::Box second{};
  rlhf::Extents second_at{};
  [[nodiscard]] rlhf::Holding holding(rlhf::Shape const& local, Layout const&,
                                      rlhf::Coordinate const&) const {
    rlhf::Holding out;
    out.global = local;
    out.boxes.push_back({rlhf::Box{{0, 0}, {2, 3}}, {0, 0}});
    out.boxes.push_back({second, second_at});
    return out;
  }
};
struct TwiceModel {
  using SyncPolicy = sync::Reshard<>;
  TwiceRule rule;
  float* memory;
  Mesh where = Mesh::range(0, 1);
  [[nodiscard]] Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] Layout layout() const noexcept { return {}; }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(memory, {4, 3}), rule);
  }
};

}  // namespace

TEST_CASE("rules that give a rank elements twice, or one place to two boxes, are refused") {
  std::vector<float> memory(12);
  auto const refusal = [&](rlhf::Box const& box, rlhf::Extents const& at) {
    TwiceModel model{{box, at}, memory.data()};
    try {
      static_cast<void>(sync::local_parameters(model, 0));
    } catch (Error const& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal({{2, 0}, {2, 3}}, {2, 0}).empty());
  CHECK(refusal({{1, 2}, {2, 1}}, {2, 0}).find("lists elements twice: [0:2, 0:3] and [1:3, 2:3]") !=
        std::string::npos);
  CHECK(refusal({{2, 0}, {2, 3}}, {1, 0}).find("two boxes into one place") != std::string::npos);
}

TEST_CASE("modules that share memory cannot sync into each other") {
  ranks::WorldEnd const end = ranks::run_world(1, [](Local& world) {
    std::vector<float> memory(24);
    TwiceModel source{{{{2, 0}, {2, 3}}, {2, 0}}, memory.data()};
    TwiceModel apart{source.rule, memory.data() + 12};
    sync::Link fine(world, source, apart);
    TwiceModel shared{source.rule, memory.data() + 3};
    CHECK_THROWS_WITH_AS(sync::Link(world, source, shared),
                         doctest::Contains("share memory on rank 0"), Error);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("a rebind that had no memory for staging is made good by the next one") {
  static_cast<void>(ranks::run_world(2, [&](Local& local) {
    int const rank = local.rank();
    ranks::Ledger ledger;
    Spy world(std::move(local), ledger);
    cases::TwoRows<sync::None> source{rlhf::Mesh::range(0, 1)};
    cases::TwoRows<sync::PointToPoint<1_KiB>> receiver{rlhf::Mesh::range(1, 1)};
    bool poor = false;
    PoorPacker packer;
    packer.poor = &poor;
    sync::Link<cases::TwoRows<sync::None>, cases::TwoRows<sync::PointToPoint<1_KiB>>, Spy,
               PoorPacker>
        link(world, source, receiver, {}, packer);
    CHECK(link.staging_bytes() == 0);  // it lies in one run
    source.apart = receiver.apart = true;
    poor = true;
    CHECK_THROWS_AS(link.rebind(), std::bad_alloc);
    poor = false;
    link.rebind();
    CHECK(link.staging_bytes() > 0);
    for (std::size_t i = 0; i < source.memory.size(); ++i) {
      source.memory[i] = static_cast<float>(i + 1);
    }
    link.sync(Version{1});
    if (rank == 1) {
      CHECK(receiver.memory[7] == 8);
      CHECK(receiver.memory[8] == 0);
      CHECK(receiver.memory[39] == 40);
    }
  }));
}
