// A small rollout: prompts, a generator, a reward, a trainer. A case replaces one of its parts.
#pragma once

#include <rlhf/comm/local_world.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace engine = rlhf::engine;

/// A value with one column, for each Tag another type.
template <int Tag>
struct Value {
  std::vector<float> column;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("column", column);
  }
};
using Prompts = Value<0>;
using Answers = Value<1>;
using Rewards = Value<2>;

using Draws = std::span<rlhf::data::Draw const>;
[[nodiscard]] inline Prompts ask(Draws draws) {
  Prompts out;
  out.column.resize(draws.size());
  return out;
}

/// Takes In, makes Out.
template <class In, class Out, class Data = rlhf::data::None>
struct Model : rlhf::Module<rlhf::Grid<>, rlhf::sync::None, Data> {
  using rlhf::Module<rlhf::Grid<>, rlhf::sync::None, Data>::Module;
  using Batch = In;
  Out forward_step(Batch const&, rlhf::Step) { return {}; }
};
using Generator = Model<Prompts, Answers, rlhf::data::RuntimeMixture<>>;
using Reward = Model<Answers, Rewards>;

struct Trainer : rlhf::Module<rlhf::Grid<>> {
  using Module::Module;
  using Batch = Rewards;
  float train_step(std::span<Batch const>, rlhf::Step) { return 0; }
};

/// Runs an engine of these parts.
template <class... Parts>
void run(rlhf::comm::Local& world, Parts... parts) {
  rlhf::Engine loop(world, {.episodes = 1}, std::move(parts)...);
  loop.begin();
  loop.round();
  loop.run();
  static_cast<void>(loop.report());
}
