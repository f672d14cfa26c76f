// The least that a user may write is enough: archetypes of every concept in a sync and in a module.
#include <rlhf/rlhf.hpp>

#include <algorithm>
#include <atomic>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <archetypes/communicator.hpp>
#include <archetypes/endpoint.hpp>
#include <archetypes/packer.hpp>
#include <archetypes/policies.hpp>
#include <archetypes/shard_rule.hpp>

namespace {

using rlhf::Mesh;

/// On two tensor ranks, with every policy as small as it may be: the rows of a table in turn.
struct Source : rlhf::Module<archetype::Spread, rlhf::sync::None, archetype::Draws> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("table", rlhf::view(table, {2, 2}), archetype::EveryNthRow{});
  }
  float table[4] = {};  // rows t, t + 2 of 4 x 2
};
/// On two tensor ranks for each data index: contiguous halves of the same table.
struct Destination : rlhf::Module<archetype::WideSpread, archetype::Carry> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("table", rlhf::view(table, {2, 2}), rlhf::shard::rows());
  }
  float table[4] = {};  // rows 2 t, 2 t + 1
};
struct LateDestination : rlhf::Module<archetype::LateSpread, archetype::Carry> {
  using Module::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("table", rlhf::view(table, {4, 2}), rlhf::shard::replicated());
  }
  float table[8] = {};
};

float value(int row, int column, int version) {
  return static_cast<float>(100 * version + 10 * row + column);
}
void fill(float* table, int tensor, int version) {
  for (int i = 0; i < 4; ++i) {
    table[i] = value(2 * (i / 2) + tensor, i % 2, version);
  }
}

TEST_CASE("archetypes of policies, shard, communicator and packer carry weights") {
  std::atomic<int> checked{0};
  rlhf::comm::run_local(6, [&](rlhf::comm::Local local) {
    archetype::Communicator world(std::move(local));
    int const me = world.rank();
    Source source(Mesh::range(0, 2), me);
    Destination destination(Mesh::range(2, 4), me);
    rlhf::sync::Link<Source, Destination, archetype::Communicator,
                     archetype::Packer<archetype::Communicator::Stream>>
        link(world, source, destination);
    for (int version = 1; version < 4; ++version) {
      if (source.present()) {
        fill(source.table, source.rank(), version);
      }
      link.sync(rlhf::Version{version}, {});
      link.verify({});
      if (destination.present()) {
        int const tensor = destination.coordinate().tensor;
        for (int i = 0; i < 4; ++i) {
          CHECK(destination.table[i] == value(2 * tensor + i / 2, i % 2, version));
          ++checked;
        }
      }
      CHECK(link.version() == rlhf::Version{version});
    }
    CHECK_FALSE(link.due(rlhf::Episode{1}));
    CHECK(link.due(rlhf::Episode{2}));
    link.rebind();
  });
  CHECK(checked == 4 * 4 * 3);
}

TEST_CASE("an endpoint that is no module, and the stock packer beside a user's communicator") {
  rlhf::comm::run_local(3, [&](rlhf::comm::Local local) {
    archetype::Communicator world(std::move(local));
    archetype::Endpoint source(Mesh::range(0, 2));
    LateDestination destination(Mesh::range(1, 2), world.rank(),
                                rlhf::Layout{.data = rlhf::Layout::any});
    if (world.rank() < 2) {
      fill(source.table, world.rank(), 5);
    }
    rlhf::sync::Link link(world, source, destination);  // ranks overlap: rank 1 is on both sides
    link.sync(rlhf::Version{1});
    link.verify();
    if (destination.present()) {
      for (int i = 0; i < 8; ++i) {
        CHECK(destination.table[i] == value(i / 2, i % 2, 5));
      }
    }
  });
}

TEST_CASE("archetypes of the data policy, its order and a dataset serve a module") {
  archetype::Prompts const prompts;
  Source source(Mesh::range(0, 2), 0);
  source.open_data({.dataset_sizes = {prompts.size(), 4}, .samples_per_episode = 3});
  std::vector<rlhf::data::Draw> drawn;
  source.draw(drawn);
  REQUIRE(drawn.size() == 3);
  CHECK(prompts[drawn[0].index] == 'c');  // backwards
  CHECK(prompts[drawn[1].index] == 'b');
  auto by_weight = rlhf::data::make_sampler<archetype::DrawsByWeight>(
      {.dataset_sizes = {prompts.size(), 4}, .samples_per_episode = 5});
  by_weight.next(0, 1, drawn);
  CHECK(std::count_if(drawn.begin(), drawn.end(),
                      [](rlhf::data::Draw const& draw) { return draw.dataset == 0; }) == 4);
}

}  // namespace
