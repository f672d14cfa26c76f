#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/recording.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/listing.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/sync/agree.hpp>
#include <rlhf/sync/describe.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
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
using rlhf::comm::Local;
namespace plan = rlhf::plan;

namespace {

namespace sync = rlhf::sync;  // here, because <unistd.h> has a function of that name

/// A model of one parameter list that a test writes.
struct Listed {
  using SyncPolicy = sync::None;
  Mesh where = Mesh::range(0, 2);
  Layout how{.tensor = 2};
  std::vector<std::string> names;
  rlhf::Shape local{4, 3};
  rlhf::Shard rule = rlhf::shard::rows();
  std::vector<float> memory = std::vector<float>(64);

  [[nodiscard]] Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] Layout layout() const noexcept { return how; }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::string const& name : names) {
      visit(name, rlhf::view(memory.data(), local), rule);
    }
  }
};

/// What one rank sends.
struct Wire {
  std::vector<std::byte> list;
  std::vector<std::byte> own;
};
Wire wire_of(plan::RankDescription const& rank) {
  plan::RankListing const listing = plan::listing_of(rank);
  return {sync::detail::bytes_of(listing.list), sync::detail::own_bytes_of(listing)};
}
/// What is read of it where it is the only rank of a module.
plan::Listing read_wire(Wire const& wire, plan::Description const& side) {
  sync::detail::ListingReader<> reader(side.layout);
  std::int32_t const list = reader.add_list(wire.list);
  reader.add_rank(side.ranks.at(0).world_rank, list, wire.own);
  return reader.take();
}

Error refusal(Listed model, int world_rank) {
  try {
    static_cast<void>(sync::local_parameters(model, world_rank));
  } catch (Error const& error) {
    return error;
  }
  return {Errc::io, "nothing was thrown"};
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

/// A plan of several parameters for agree.
plan::Plan some_plan() {
  cases::Dice dice(5);
  Case pair;
  pair.source = Layout{.tensor = 2};
  pair.destination = Layout{.tensor = 2};
  cases::place(pair, dice, cases::Placement::disjoint);
  for (int p = 0; p < 5; ++p) {
    cases::Parameter next;
    next.name = "layers." + std::to_string(p);
    next.global = {4, 4};
    pair.parameters.push_back(next);
  }
  return plan::build(cases::describe(pair, Side::source), cases::describe(pair, Side::destination),
                     plan::Options{});
}

/// A kind for this parameter alone.
plan::Kind& own_kind(plan::Plan& made, int parameter) {
  plan::Kind alone = made.kinds[0];
  alone.parameters = {parameter};
  std::erase(made.kinds[0].parameters, parameter);
  return made.kinds.emplace_back(alone);
}

/// What each of three ranks reports when one of them changes its plan.
ranks::WorldEnd disagreement(int odd, std::function<void(plan::Plan&)> const& change) {
  return ranks::run_world(3, [&](Local& world) {
    plan::Plan mine = some_plan();
    if (world.rank() == odd) {
      change(mine);
    }
    sync::agree(world, mine);
    world.barrier();
  });
}

}  // namespace

TEST_CASE("a rank's parameters are what its model lists, in its order, as its layout cuts them") {
  Listed model;
  model.names = {"b", "a"};
  sync::LocalParameters const local = sync::local_parameters(model, 1);
  CHECK(local.description.world_rank == 1);
  CHECK(local.views.size() == 2);
  CHECK(local.views[0].data == model.memory.data());
  CHECK(local.description.parameters[0].name == "b");
  CHECK(local.description.parameters[0].holding.global == rlhf::Shape{8, 3});
  CHECK(local.description.parameters[0].holding.boxes.at(0).box == rlhf::Box{{4, 0}, {4, 3}});
}

TEST_CASE("names must be there and differ, views must fit their shards") {
  Listed model;
  model.names = {"a", "b", "a"};
  Error const twice = refusal(model, 1);
  CHECK(twice.code() == Errc::invalid_argument);
  CHECK(twice.rank() == 1);
  CHECK(says(twice.what(), "parameter a is listed twice"));
  model.names = {"a", ""};
  CHECK(says(refusal(model, 0).what(), "name"));
  model.names = {"fine", "layers.3.weight"};
  model.rule = rlhf::shard::rows().of({9, 3});
  Error const unfit = refusal(model, 1);
  CHECK(unfit.code() == Errc::invalid_argument);
  CHECK(unfit.rank() == 1);
  CHECK(says(unfit.what(), "parameter fine on rank 1"));
  CHECK(says(unfit.what(), "do not divide"));
}

namespace {

/// A user's rule that places its box by offset and strides.
struct Strided {
  rlhf::HeldBox held{};
  [[nodiscard]] rlhf::Holding holding(rlhf::Shape const&, Layout const&,
                                      rlhf::Coordinate const&) const {
    return {{4, 3}, {held}};
  }
};

/// One rank's model of one parameter (4, 3) in 16 numbers.
template <class Policy, class Rule>
struct Single {
  using SyncPolicy = Policy;
  Mesh where = Mesh::range(0, 1);
  Rule rule{};
  rlhf::TensorView look{};
  std::vector<float> memory = std::vector<float>(16, -1);

  [[nodiscard]] Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] Layout layout() const noexcept { return {}; }
  template <class Visit>
  void parameters(Visit&& visit) {
    rlhf::TensorView view = look;
    view.data = memory.data();
    visit("weight", view, rule);
  }
};

std::string placement_refusal(rlhf::HeldBox const& held, rlhf::TensorView const& look) {
  Single<sync::None, Strided> model{.rule = {held}, .look = look};
  try {
    static_cast<void>(sync::local_parameters(model, 0));
  } catch (Error const& error) {
    CHECK(error.code() == Errc::invalid_argument);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("boxes by offset and strides: a user's transposed memory") {
  // Columns of 4 one after the other, from element 2 on.
  rlhf::HeldBox const transposed{rlhf::Box::whole({4, 3}), {}, 2, {1, 4}};
  rlhf::TensorView const flat{nullptr, rlhf::DType::f32, {}, {16}, {1}};
  ranks::WorldEnd const end = ranks::run_world(2, [&](Local& world) {
    Single<sync::None, rlhf::Shard> source;
    source.look = {nullptr, rlhf::DType::f32, {}, {4, 3}, {3, 1}};
    for (std::size_t i = 0; i < 12; ++i) {
      source.memory[i] = static_cast<float>(i);
    }
    Single<sync::PointToPoint<>, Strided> destination;
    destination.where = Mesh::range(1, 1);
    destination.rule.held = transposed;
    destination.look = flat;
    sync::Link link(world, source, destination);
    link.sync(rlhf::Version{1});
    link.verify();
    if (world.rank() == 1) {
      CHECK(destination.memory ==
            std::vector<float>{-1, -1, 0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1});
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  // Placements are part of a description, compared by rebind. Other ranks do not need them.
  plan::RankDescription const one{0, {{"weight", rlhf::DType::f32, {{4, 3}, {transposed}}}}};
  plan::RankDescription other = one;
  other.parameters[0].holding.boxes[0].strides = {3, 1};
  CHECK(other != one);
  CHECK(wire_of(other).own == wire_of(one).own);
  other = one;
  other.parameters[0].holding.boxes[0].offset = 3;
  CHECK(other != one);
}

TEST_CASE("boxes outside the rank's memory are refused with the parameter's name") {
  rlhf::TensorView const flat{nullptr, rlhf::DType::f32, {}, {16}, {1}};
  rlhf::Box const whole = rlhf::Box::whole({4, 3});
  CHECK(placement_refusal({whole, {}, 4, {3, 1}}, flat).empty());
  std::string const outside = placement_refusal({whole, {}, 5, {3, 1}}, flat);
  CHECK(says(outside, "parameter weight on rank 0"));
  CHECK(says(outside, "outside a tensor of shape (16)"));
  CHECK(says(placement_refusal({whole, {}, 0, {3}}, flat), "outside"));
  CHECK(says(placement_refusal({whole, {}, 0, {3, 0}}, flat), "outside"));
  CHECK(says(placement_refusal({whole, {}, 0, {3, -1}}, flat), "outside"));
  CHECK(says(placement_refusal({{{1, 0}, {4, 3}}, {}, 0, {3, 1}}, flat), "[1:5, 0:3]"));
  rlhf::TensorView gaps = flat;
  gaps.shape = {8};
  gaps.strides = {2};
  CHECK(says(placement_refusal({{{0, 0}, {1, 3}}, {}, 0, {3, 1}}, gaps), "not contiguous"));
  CHECK(says(placement_refusal({whole, {0, 0}}, flat), "outside a tensor of shape (16)"));
  rlhf::TensorView const rows{nullptr, rlhf::DType::f32, {}, {4, 3}, {3, 1}};
  CHECK(placement_refusal({whole, {0, 0}}, rows).empty());
  CHECK(says(placement_refusal({whole, {1, 0}}, rows), "outside"));
}

TEST_CASE("every rank gets what each rank of the mesh holds") {
  int compared = 0;
  int shuffled = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Case const pair = cases::random_case(seed, 4, false);
    std::vector<plan::Listing> got(static_cast<std::size_t>(pair.world));
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
      Model<sync::None> model(pair, Side::source, world.rank());
      plan::RankDescription mine;
      if (model.mesh().rank_of(world.rank()) >= 0) {
        mine = sync::local_parameters(model, world.rank()).description;
      }
      got[static_cast<std::size_t>(world.rank())] =
          sync::gather_description(world, model.mesh(), model.layout(), mine);
    });
    CHECK_FALSE(end.world.failed);
    plan::Listing const want = plan::listing_of(cases::describe(pair, Side::source));
    for (plan::Listing const& one : got) {
      CHECK(one == want);
      ++compared;
    }
    shuffled += want.ranks.front().world_rank > want.ranks.back().world_rank ? 1 : 0;
  }
  CHECK(compared > 100);
  CHECK(shuffled > 1);
}

TEST_CASE("ranks outside the mesh, ranks without parameters, lists that differ by a name") {
  ranks::WorldEnd const end = ranks::run_world(5, [&](Local& world) {
    Mesh const mesh(std::vector<int>{4, 0, 3, 1});  // not 2
    plan::RankDescription mine{world.rank(), {}};
    rlhf::HeldBox const whole{rlhf::Box::whole({2}), {0}};
    if (world.rank() != 3) {
      mine.parameters.push_back({"a", rlhf::DType::f32, {{2}, {whole}}});
      mine.parameters.push_back({world.rank() == 1 ? "c" : "b", rlhf::DType::u8, {{2}, {}}});
    }
    plan::Listing const got = sync::gather_description(world, mesh, Layout{.tensor = 4}, mine);
    CHECK(got.ranks.size() == 4);
    CHECK(got.ranks[0].world_rank == 4);
    CHECK(got.lists.size() == 3);
    CHECK(got.lists.at(0).name(1) == "b");
    CHECK(got.lists.at(1).entries.empty());
    CHECK(got.lists.at(2).name(1) == "c");
    CHECK(got.ranks[1].grouping == got.ranks[0].grouping);
    plan::Placement const placed = plan::placement_of(got);
    CHECK(placed.parameters.size() == 3);
    CHECK(placed.rank_sets.at(0) == std::vector<int>{0, 1, 3});
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("names and types are sent once for all ranks that list the same ones") {
  using Counted = rlhf::comm::Recording<Local>;
  constexpr int parameters = 500;
  constexpr int size = 8;
  ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
    Listed model;
    model.where = Mesh::range(0, size);
    model.how = Layout{.tensor = 4, .data = 2};
    std::size_t bytes = 0;
    for (int p = 0; p < parameters; ++p) {
      model.names.push_back("layers." + std::to_string(p) + ".weight");
      bytes += model.names.back().size();
    }
    Counted counted(world.split(0, world.rank()));
    plan::Listing const got = sync::gather_description(
        counted, model.where, model.how, sync::local_parameters(model, world.rank()).description);
    CHECK(got.lists.size() == 1);
    CHECK(got.groupings.size() == 1);
    CHECK(got.holdings.size() == 4);
    CHECK(counted.record().broadcast.calls == 1);
    CHECK(counted.record().broadcast.bytes < static_cast<std::int64_t>(bytes) + 3 * parameters);
    CHECK(counted.record().all_gather.bytes < 24 + 32);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("lists are told apart by fingerprint and size, and come from the lowest rank") {
  using Heads = std::vector<sync::detail::Head>;
  Heads const heads{{7, 10, 1}, {8, 20, 5}, {7, 11, 2}, {8, 20, 3}, {7, 10, 4}};
  sync::detail::DistinctLists<void> const lists(heads);
  CHECK(lists.size() == 3);
  CHECK(lists.total() == 10 + 20 + 11);
  CHECK(lists.longest_own() == 5);
  int const list_of[] = {0, 1, 2, 1, 0};
  for (int rank = 0; rank < 5; ++rank) {
    CHECK(lists.list_of(rank) == list_of[rank]);
  }
  CHECK(lists.sender(1) == 1);
  CHECK(lists.sender(2) == 2);
  std::vector<std::byte> all(lists.total());
  CHECK(lists.in(all, 2).data() == all.data() + 30);
  CHECK(lists.in(all, 2).size() == 11);
  for (Heads const& broken :
       {Heads{{7, -1, 1}}, Heads{{7, 1, -1}}, Heads{{7, 1LL << 62, 1}}, Heads{{7, 1, 1LL << 40}}}) {
    CHECK_THROWS_AS(sync::detail::DistinctLists<void>{broken}, Error);
  }
}

TEST_CASE("bytes that are no description are an error, never a crash") {
  int read = 0;
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Case const pair = cases::random_case(seed, 4, false);
    plan::Description side = cases::describe(pair, Side::source);
    side.ranks.resize(1);
    Wire const wire = wire_of(side.ranks[0]);
    plan::Listing want = plan::listing_of(side);
    CHECK(read_wire(wire, side) == want);
    for (bool const of_list : {true, false}) {
      std::vector<std::byte> const& bytes = of_list ? wire.list : wire.own;
      auto const with = [&](std::vector<std::byte> const& changed) {
        return of_list ? Wire{changed, wire.own} : Wire{wire.list, changed};
      };
      for (std::size_t length = 0; length <= bytes.size(); ++length) {
        std::vector<std::byte> cut(bytes.begin(),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(length));
        if (length == bytes.size()) {
          cut.push_back(std::byte{0});  // too long, rather
        }
        try {
          static_cast<void>(read_wire(with(cut), side));
          CHECK_MESSAGE(false, "a description of another length was read");
        } catch (Error const& error) {
          CHECK(error.code() == Errc::corrupted);
        }
      }
      cases::Dice dice(seed);
      for (int round = 0; round < 500; ++round) {
        std::vector<std::byte> changed = bytes;
        for (int i = dice.between(1, 4); i > 0; --i) {
          changed[static_cast<std::size_t>(dice.between(0, static_cast<int>(bytes.size()) - 1))] =
              dice.one_in(2) ? static_cast<std::byte>(dice.word())
                             : static_cast<std::byte>(dice.pick({0, 1, 2, 127, 128, 255}));
        }
        try {  // what is read can be used
          static_cast<void>(plan::placement_of(read_wire(with(changed), side)));
          ++read;
        } catch (Error const&) {
          ++refused;
        }
      }
    }
  }
  CHECK(read > 100);
  CHECK(refused > 1000);
}

TEST_CASE("numbers that are too large, boxes outside their tensor, variants out of turn") {
  auto const reads = [](std::vector<int> const& list, std::vector<int> const& own) {
    Wire wire;
    for (int const value : list) {
      wire.list.push_back(static_cast<std::byte>(value));
    }
    for (int const value : own) {
      wire.own.push_back(static_cast<std::byte>(value));
    }
    plan::Description const side{Layout{}, {{0, {}}}};
    try {
      static_cast<void>(read_wire(wire, side));
      return true;
    } catch (Error const& error) {
      CHECK(error.code() == Errc::corrupted);
      return false;
    }
  };
  // One type, f32 (5); two parameters of it, "a" and "b". Two runs of one parameter each: one box,
  // none.
  std::vector<int> const list{1, 0, 1, 5, 2, 0, 1, 0, 1, 'a', 'b'};
  std::vector<int> const none{2, 2, 0};
  CHECK(reads(list, {4, 1, 1, 1, 0, 1, 1, 0, 1, 5}));
  CHECK(reads(list, none));
  CHECK_FALSE(reads({1, 7, 1, 5, 2, 0, 1, 0, 1, 'a', 'b'}, none));  // no such dtype
  CHECK_FALSE(reads({1, 0, 7, 5, 2, 0, 1, 0, 1, 'a', 'b'}, none));  // seven dimensions
  CHECK_FALSE(reads({1, 0, 1, 5, 2, 1, 1, 0, 1, 'a', 'b'}, none));  // no such type
  CHECK_FALSE(reads({1, 0, 1, 5, 2, 0, 1, 0, 2, 'a', 'b'}, none));  // more text than there is
  CHECK_FALSE(reads(list, {4, 1, 2, 1, 1, 1, 1, 0, 1, 5, 0}));      // the second kind first
  CHECK_FALSE(reads(list, {2, 1, 0}));                              // one parameter
  CHECK_FALSE(reads(list, {2, 3, 0}));                              // three
  CHECK_FALSE(reads(list, {2, 2, 1, 0}));                           // a kind without boxes
  CHECK_FALSE(reads(list, {4, 2, 0, 0, 5}));                        // a run of nothing
  CHECK_FALSE(reads(list, {2, 2, 1, 1, 1, 1, 1, 5}));               // [1:6] of 5
  CHECK_FALSE(reads(list, {2, 2, 1, 1, 2, 0, 0, 2, 1, 1}));         // two dimensions of one
  CHECK(reads(list, {2, 2, 1, 1, 1, 1, 1, 4}));
  std::vector<int> huge{2, 2, 1, 1, 1};
  huge.insert(huge.end(), {255, 255, 255, 255, 255, 255, 255, 255, 127, 1, 1});  // 2^63 - 1
  CHECK_FALSE(reads(list, huge));
  CHECK_FALSE(reads({255, 255, 255, 255, 255, 255, 255, 255, 255, 127}, {0}));  // ten bytes
}

TEST_CASE("equal plans agree") {
  CHECK_FALSE(disagreement(-1, [](plan::Plan&) {}).world.failed);
}

TEST_CASE("a rank with another parameter is named by all, with the parameter") {
  struct Change {
    char const* says;
    void (*make)(plan::Plan&);
  };
  Change const changes[] = {
      {"number 3", [](plan::Plan& p) { p.parameters[3] = "layers.33"; }},
      {"number 1", [](plan::Plan& p) { own_kind(p, 1).source_dtype = rlhf::DType::bf16; }},
      {"number 0", [](plan::Plan& p) { own_kind(p, 0).global = {16}; }},
      {"number 2",
       [](plan::Plan& p) {
         p.parameters[4] = "later";
         p.parameters[2] = "earlier";
       }},
      {"routes or buckets", [](plan::Plan& p) { p.moves[0].first[1] += 1; }},
      {"routes or buckets", [](plan::Plan& p) { p.rank_sets[0][0] = 1; }},
  };
  for (Change const& change : changes) {
    CAPTURE(std::string(change.says));
    ranks::WorldEnd const end = disagreement(2, change.make);
    CHECK(end.world.code == Errc::rank_mismatch);
    for (ranks::Outcome const& outcome : end.of) {
      CHECK(outcome.library_error);
      CHECK(outcome.rank == 2);
      CHECK_MESSAGE(outcome.says("[2] made another plan than rank 0"), outcome.text);
      CHECK_MESSAGE(outcome.says(change.says), outcome.text);
    }
  }
  // Each rank prints its own name of the parameter.
  ranks::WorldEnd const end = disagreement(1, [](plan::Plan& p) { p.parameters[3] = "layers.33"; });
  CHECK(end.of[1].says("layers.33 f32 (4, 4)"));
  CHECK(end.of[0].says("layers.3 f32 (4, 4)"));
}

TEST_CASE("a rank with fewer parameters, or more, is named, too") {
  ranks::WorldEnd const fewer = disagreement(1, [](plan::Plan& p) {
    p.parameters.pop_back();
    p.kinds[0].parameters.pop_back();
  });
  for (ranks::Outcome const& outcome : fewer.of) {
    CHECK(outcome.rank == 1);
    CHECK(outcome.says("made another plan"));
  }
  CHECK(fewer.of[0].says("number 4"));
  CHECK(fewer.of[1].says("plans 4 parameters, others more"));
  ranks::WorldEnd const more = disagreement(2, [](plan::Plan& p) {
    p.parameters.push_back("extra");
    own_kind(p, 5).destination_dtype = rlhf::DType::u8;
  });
  CHECK(more.of[2].says("extra"));
  CHECK(more.of[0].says("plans 5 parameters"));
}
