// A trainer with adapters of low rank: the generator gets what the trainer computes with.
#include <rlhf/engine/engine.hpp>
#include <rlhf/runtime/lora.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "property/engine_models.hpp"
#include "ranks/world.hpp"

namespace {

namespace engine = rlhf::engine;
namespace runtime = rlhf::runtime;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Step;
using rlhf::comm::Local;
using namespace rlhf::literals;

/// One weight of 2 x 2, and an adapter of rank 1 that is all that is trained.
template <class Sync>
struct Plain : rlhf::Module<rlhf::RuntimeGrid, Sync, rlhf::data::RuntimeMixture<>> {
  using Base = rlhf::Module<rlhf::RuntimeGrid, Sync, rlhf::data::RuntimeMixture<>>;
  using Base::Base;
  using Batch = toy::Prompts;
  toy::Answers forward_step(Batch const& batch, Step) {
    seen.push_back(weight[0]);
    toy::Answers out{batch.id, {}};
    for (std::size_t r = 0; r < batch.id.size(); ++r) {
      out.tokens.push_back(std::vector<std::int64_t>{1});
    }
    return out;
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("up.weight", rlhf::view(weight, {2, 2}), rlhf::shard::replicated());
  }
  std::vector<float> weight = {1, 1, 1, 1};
  std::vector<float> seen;
};
using Generator = Plain<rlhf::sync::Reshard<1_MiB>>;

struct Actor : rlhf::Module<rlhf::RuntimeGrid>, runtime::Adapted<> {
  using Module::Module;
  using Batch = toy::Answers;
  int train_step(std::span<Batch const>, Step) {
    CHECK(!lora().fused());
    CHECK(weight[0] == 1);
    b[0] += 1;
    return 0;
  }
  template <class Visit>
  void adapters(Visit&& visit) {
    visit("up.weight", rlhf::view(weight, {2, 2}),
          rlhf::Adapter{.a = rlhf::view(a, {1, 2}), .b = rlhf::view(b, {2, 1})});
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("up.weight", rlhf::view(weight, {2, 2}), rlhf::shard::replicated());
  }
  std::vector<float> weight = {1, 1, 1, 1};
  std::vector<float> a = {1, 0};
  std::vector<float> b = {0, 0};
};

/// The same with adapters of its own.
struct AdaptedGenerator : Generator, runtime::Adapted<> {
  using Generator::Generator;
  template <class Visit>
  void adapters(Visit&& visit) {
    visit("up.weight", rlhf::view(weight, {2, 2}),
          rlhf::Adapter{.a = rlhf::view(a, {1, 2}), .b = rlhf::view(b, {2, 1})});
  }
  std::vector<float> a = {0, 0};
  std::vector<float> b = {0, 0};
};

template <class G>
std::vector<float> seen_by() {
  std::vector<float> seen;
  auto const end = ranks::run_world(1, [&](Local& world) {
    G generator(Mesh::range(0, 1), world.rank(), Layout{});
    Actor actor(Mesh::range(0, 1), world.rank(), Layout{});
    runtime::LoraOptions options;
    options.lora_dim = 1;
    options.lora_scaling = 0.5;
    actor.lora().configure(options);
    generator.open_data({.dataset_sizes = {7}, .samples_per_episode = 2});
    rlhf::Engine loop(world, {.episodes = 3},
                      engine::prompts("prompts", generator, &toy::prompts_of),
                      engine::stage("generate", generator), engine::train("policy", actor),
                      engine::sync("weights", actor, generator));
    loop.run();
    seen = generator.seen;
    seen.push_back(generator.weight[0]);
    CHECK(actor.weight == std::vector<float>{1, 1, 1, 1});
    CHECK(!actor.lora().fused());
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  return seen;
}

}  // namespace

TEST_CASE("adapters are in the weights that go to a generator without any") {
  CHECK(seen_by<Generator>() == std::vector<float>{1.0F, 1.5F, 2.0F, 2.5F});
}

TEST_CASE("a generator with adapters of its own gets the base") {
  CHECK(seen_by<AdaptedGenerator>() == std::vector<float>(4, 1.0F));
}

TEST_CASE("a bound on the age of weights needs a generator that gets some") {
  auto const end = ranks::run_world(1, [&](Local& world) {
    Generator generator(Mesh::range(0, 1), world.rank(), Layout{});
    Actor actor(Mesh::range(0, 1), world.rank(), Layout{});
    generator.open_data({.dataset_sizes = {7}, .samples_per_episode = 2});
    rlhf::Engine loop(world, {.max_version_lag = 0},
                      engine::prompts("prompts", generator, &toy::prompts_of),
                      engine::stage("generate", generator), engine::train("policy", actor));
  });
  CHECK_MESSAGE(
      end.world.says("prompts, which draws prompts and generates, is neither trained nor"),
      end.world.text);
}

TEST_CASE("of several syncs into a generator, one that is repeated counts") {
  for (bool const first : {false, true}) {
    auto const end = ranks::run_world(1, [&](Local& world) {
      Generator generator(Mesh::range(0, 1), world.rank(), Layout{});
      Actor actor(Mesh::range(0, 1), world.rank(), Layout{});
      generator.open_data({.dataset_sizes = {7}, .samples_per_episode = 2});
      rlhf::Engine loop(world, {.max_version_lag = 0},
                        engine::prompts("prompts", generator, &toy::prompts_of),
                        engine::stage("generate", generator), engine::train("policy", actor),
                        engine::sync("one", actor, generator, {}, first ? 0 : 1),
                        engine::sync("other", actor, generator, {}, first ? 1 : 0));
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}
