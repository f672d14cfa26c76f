// What a run needs to go on as if it had not been stopped, and what refuses to.
#include <rlhf/core/error.hpp>
#include <rlhf/engine/engine.hpp>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "property/engine_models.hpp"
#include "ranks/world.hpp"
#include "unit/checkpoint/temporary_directory.hpp"

namespace {

namespace engine = rlhf::engine;
namespace sync = rlhf::sync;
using rlhf::Errc;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Step;
using rlhf::comm::Local;
using namespace rlhf::literals;

rlhf::data::SamplerOptions prompts_of_seven(std::int64_t samples = 4) {
  return {.dataset_sizes = {7}, .samples_per_episode = samples};
}
toy::Experience signal_of(toy::Answers const& answers) {
  toy::Experience out{answers.id, {}};
  for (std::int64_t r = 0; r < answers.tokens.size(); ++r) {
    std::int64_t sum = 0;
    for (std::int64_t const token : answers.tokens[r]) {
      sum = toy::mix(sum, token);
    }
    out.signal.push_back(sum);
  }
  return out;
}

/// Where modules are, and how a run differs from another.
struct Plan {
  int ranks = 2;
  Mesh generator = Mesh::range(0, 1);
  Layout generator_layout{};
  Mesh actor = Mesh::range(1, 1);
  Layout actor_layout{};
  engine::Options options{};
  engine::TrainOptions train{};
  std::int64_t samples = 4;
  std::int64_t stop_in = -1;  ///< Ends in this episode, before its checkpoint.
  std::string_view trainer = "policy";
  std::function<void(int rank, Plan&)> by_rank{};
};
struct Stop {
  std::int64_t in;
  void finished(engine::EpisodeReport const& report) const {
    if (report.episode == in) {
      throw std::runtime_error("stopped by the test");
    }
  }
};
struct Run {
  std::string error;
  std::vector<std::int64_t> weights;  ///< Of the trainer, of its first rank.
};

/// Generator and trainer. `other_way` lists the parts otherwise.
Run run(Plan const& given, bool other_way = false) {
  Run out;
  auto const end = ranks::run_world(given.ranks, [&](Local& world) {
    Plan plan = given;
    if (plan.by_rank) {
      plan.by_rank(world.rank(), plan);
    }
    toy::Generator<toy::EverySync> generator(world, plan.generator, plan.generator_layout, 3);
    toy::Actor actor(world, plan.actor, plan.actor_layout, 1);
    generator.open_data(prompts_of_seven(plan.samples));
    auto const go = [&](auto... parts) {
      rlhf::Engine loop(world, plan.options, parts...);
      loop.run(Stop{plan.stop_in});
    };
    auto const prompts = engine::prompts("prompts", generator, &toy::prompts_of);
    auto const generate = engine::stage("generate", generator);
    auto const experience = engine::compute("experience", actor, &signal_of);
    auto const train = engine::train(plan.trainer, actor, plan.train);
    auto const weights = engine::sync("weights", actor, generator);
    if (other_way) {
      go(weights, train, experience, generate, prompts);
    } else {
      go(prompts, generate, experience, train, weights);
    }
    if (actor.present() && actor.rank() == 0) {
      out.weights = actor.w;
    }
  });
  out.error = end.world.text;
  return out;
}

struct Forgets : rlhf::Module<rlhf::RuntimeGrid> {
  using Module::Module;
  using Batch = toy::Answers;
  int train_step(std::span<Batch const>, Step) { return 0; }
};
struct Saves : Forgets {
  using Forgets::Forgets;
  void save_checkpoint(Step) {}
};
struct Keeps : Saves {
  using Saves::Saves;
  void load_checkpoint(Step) {}
};
template <class Model>
std::string refusal(std::string const& directory) {
  auto const end = ranks::run_world(1, [&](Local& world) {
    toy::Generator<toy::EverySync> generator(world, Mesh::range(0, 1), Layout{}, 3);
    Model model(Mesh::range(0, 1), world.rank(), Layout{});
    generator.open_data(prompts_of_seven());
    rlhf::Engine loop(world, {.checkpoints = directory},
                      engine::prompts("prompts", generator, &toy::prompts_of),
                      engine::stage("generate", generator), engine::train("policy", model));
  });
  return end.world.text;
}

}  // namespace

#define CHECK_SAYS(text, what) CHECK_MESSAGE((text).find(what) != std::string::npos, text)

TEST_CASE("what is trained must come back from checkpoints") {
  test::TemporaryDirectory const directory;
  CHECK(refusal<Keeps>(directory.path()).empty());
  CHECK(refusal<Forgets>("").empty());
  std::string const neither = refusal<Forgets>(directory.path());
  CHECK_SAYS(neither, "the model that policy trains defines no save_checkpoint");
  std::string const half = refusal<Saves>(directory.path());
  CHECK_SAYS(half, "defines save_checkpoint but not load_checkpoint");
}

TEST_CASE("models are found by their names, whatever the order of the parts") {
  test::TemporaryDirectory const directory;
  Plan plan{.options = {.episodes = 4, .checkpoints = directory.path()}};
  Run const whole = run({.options = {.episodes = 4}});
  REQUIRE(whole.error.empty());
  plan.stop_in = 2;
  CHECK_SAYS(run(plan).error, "stopped by the test");
  plan.stop_in = -1;
  Run const other = run(plan, true);
  CHECK_MESSAGE(other.error.empty(), other.error);
  CHECK(other.weights == whole.weights);
}

TEST_CASE("a checkpoint of other models says which they are") {
  test::TemporaryDirectory const directory;
  REQUIRE(run({.options = {.episodes = 1, .checkpoints = directory.path()}}).error.empty());
  auto const end = ranks::run_world(1, [&](Local& world) {
    toy::Generator<toy::EverySync> generator(world, Mesh::range(0, 1), Layout{}, 3);
    Keeps model(Mesh::range(0, 1), world.rank(), Layout{});
    generator.open_data(prompts_of_seven());
    rlhf::Engine loop(world, {.checkpoints = directory.path()},
                      engine::prompts("prompts", generator, &toy::prompts_of),
                      engine::stage("generate", generator), engine::train("policy", model));
    loop.run();
  });
  CHECK_SAYS(end.world.text, "has the models generator, actor, this run has generator, policy");
}

TEST_CASE("rollouts in flight outlive a run that ends before them") {
  Plan plan{.options = {.episodes = 8, .episodes_ahead = 2}};
  auto const with = [&](std::string const& directory, std::int64_t episodes, std::int64_t stop) {
    Plan other = plan;
    other.options.checkpoints = directory;
    other.options.episodes = episodes;
    other.stop_in = stop;
    return run(other);
  };
  test::TemporaryDirectory const straight;
  test::TemporaryDirectory const shorter;
  // Stopped behind three episodes with two in flight; then a run to four, which trains on one of
  // them, and one to the end, which must find the other.
  CHECK(!with(straight.path(), 8, 3).error.empty());
  CHECK(!with(shorter.path(), 8, 3).error.empty());
  REQUIRE(with(shorter.path(), 4, -1).error.empty());
  Run const found = with(shorter.path(), 5, -1);
  Run const expected = with(straight.path(), 5, -1);
  CHECK_MESSAGE(found.error.empty(), found.error);
  CHECK(found.weights == expected.weights);
  REQUIRE(with(shorter.path(), 8, -1).error.empty());
}

TEST_CASE("a run that ended may go on with other episodes_ahead, one with rollouts in flight not") {
  test::TemporaryDirectory const directory;
  Plan plan{.options = {.episodes = 2, .episodes_ahead = 1, .checkpoints = directory.path()}};
  REQUIRE(run(plan).error.empty());
  plan.options.episodes = 4;
  plan.options.episodes_ahead = 0;
  CHECK(run(plan).error.empty());
  plan.options.episodes = 8;
  plan.options.episodes_ahead = 1;
  plan.stop_in = 6;
  CHECK(!run(plan).error.empty());
  plan.options.episodes_ahead = 2;
  CHECK_SAYS(run(plan).error, "has rollouts in flight of episodes_ahead = 1, this run has 2");
}

TEST_CASE("rows of earlier episodes are not lost where a trainer is renamed") {
  test::TemporaryDirectory const directory;
  Plan plan{.options = {.episodes = 2, .checkpoints = directory.path()},
            .train = {.replay_episodes = 3}};
  REQUIRE(run(plan).error.empty());
  plan.options.episodes = 4;
  plan.trainer = "ppo";
  CHECK_SAYS(run(plan).error, "has rows of earlier episodes of policy, this run's ppo has none");
  plan.train.replay_episodes = 1;
  CHECK(run(plan).error.empty());
}

TEST_CASE("other data is refused, and accepted by name") {
  test::TemporaryDirectory const directory;
  Plan plan{.options = {.episodes = 2, .checkpoints = directory.path()}};
  REQUIRE(run(plan).error.empty());
  plan.options.episodes = 3;
  plan.samples = 6;
  CHECK_SAYS(run(plan).error, "samples_per_episode");
  plan.options.accept_data.episode = true;
  CHECK(run(plan).error.empty());
}

TEST_CASE("settings that differ between ranks are named before anything waits for them") {
  Plan plan;
  plan.by_rank = [](int rank, Plan& own) { own.options.seed = static_cast<std::uint64_t>(rank); };
  CHECK_SAYS(run(plan).error, "rank 1 has other settings of engine::Options than rank 0");
  plan.by_rank = [](int rank, Plan& own) { own.train.global_batch = 1 + rank; };
  CHECK_SAYS(run(plan).error, "rank 1 has other settings of policy than rank 0");
}

TEST_CASE("options that contradict each other are refused") {
  Plan plan{.options = {.resume_from = 3}};
  CHECK_SAYS(run(plan).error, "resume_from needs checkpoints and resume");
}

TEST_CASE("a failure in the last moment ends all ranks") {
  Plan plan{.options = {.episodes = 2}};
  auto const end = ranks::run_world(2, [&](Local& world) {
    toy::Generator<toy::EverySync> generator(world, plan.generator, Layout{}, 3);
    toy::Actor actor(world, plan.actor, Layout{}, 1);
    generator.open_data(prompts_of_seven());
    rlhf::Engine loop(world, plan.options, engine::prompts("prompts", generator, &toy::prompts_of),
                      engine::stage("generate", generator),
                      engine::compute("experience", actor, &signal_of),
                      engine::train("policy", actor));
    loop.run(Stop{world.rank() == 1 ? 1 : -1});
  });
  CHECK(end.of[0].failed);
  CHECK(end.of[1].failed);
}

namespace {

/// Reads its own rank's file, as if nothing could move.
struct Stubborn : toy::Actor {
  using toy::Actor::Actor;
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, Step) {
    static_cast<void>(files.read("w"));
  }
};

}  // namespace

TEST_CASE("a model that moved does not take another rank's part for its own") {
  test::TemporaryDirectory const directory;
  auto const train = [&](Mesh const& mesh, std::int64_t episodes) {
    auto const end = ranks::run_world(2, [&](Local& world) {
      toy::Generator<toy::EverySync> generator(world, Mesh::range(0, 1), Layout{}, 3);
      Stubborn actor(world, mesh, Layout{.tensor = 2}, 1);
      generator.open_data(prompts_of_seven());
      rlhf::Engine loop(world, {.episodes = episodes, .checkpoints = directory.path()},
                        engine::prompts("prompts", generator, &toy::prompts_of),
                        engine::stage("generate", generator),
                        engine::compute("experience", actor, &signal_of),
                        engine::train("policy", actor));
      loop.run();
    });
    return end.world.text;
  };
  REQUIRE(train(Mesh({0, 1}), 1).empty());
  CHECK(train(Mesh({0, 1}), 2).empty());
  CHECK_SAYS(train(Mesh({1, 0}), 3),
             "the model actor lay on other ranks or in another layout when step 2 was saved");
}

namespace {

/// Gives what it got to others.
struct Middle : toy::Weighted<toy::EverySync> {
  using Weighted::Weighted;
  static constexpr std::string_view name = "middle";
};
/// The same, and forgets it.
struct Sieve : rlhf::Module<rlhf::RuntimeGrid, toy::EverySync> {
  using Module::Module;
  static constexpr std::string_view name = "sieve";
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(w, {toy::width}), rlhf::shard::replicated());
  }
  std::vector<std::int64_t> w = std::vector<std::int64_t>(toy::width);
};

}  // namespace

TEST_CASE("a chain of syncs from its end is resumed as it was") {
  auto const chain = [&](std::string const& directory, std::int64_t stop,
                         std::vector<std::int64_t>& lags) {
    std::vector<std::int64_t> weights;
    auto const end = ranks::run_world(1, [&](Local& world) {
      Mesh const mesh = Mesh::range(0, 1);
      toy::Generator<toy::EverySync> generator(world, mesh, Layout{}, 3);
      Middle middle(world, mesh, Layout{}, 5);
      toy::Actor actor(world, mesh, Layout{}, 1);
      generator.open_data(prompts_of_seven());
      rlhf::Engine loop(world, {.episodes = 6, .max_version_lag = 1, .checkpoints = directory},
                        engine::prompts("prompts", generator, &toy::prompts_of),
                        engine::stage("generate", generator),
                        engine::compute("experience", actor, &signal_of),
                        engine::train("policy", actor), engine::sync("delayed", middle, generator),
                        engine::sync("copy", actor, middle));
      struct Watch {
        Stop stop;
        std::vector<std::int64_t>* lags;
        void finished(engine::EpisodeReport const& report) const {
          lags->push_back(report.version_lag);
          stop.finished(report);
        }
      };
      loop.run(Watch{{stop}, &lags});
      weights = actor.w;
    });
    return weights;
  };
  test::TemporaryDirectory const first;
  test::TemporaryDirectory const second;
  std::vector<std::int64_t> lags;
  std::vector<std::int64_t> const whole = chain(first.path(), -1, lags);
  REQUIRE(whole.size() == toy::width);
  std::vector<std::int64_t> stopped;
  CHECK(chain(second.path(), 3, stopped).empty());
  CHECK(chain(second.path(), -1, stopped) == whole);
  stopped.erase(stopped.begin() + 3);  // the episode that was stopped comes again
  CHECK(stopped == lags);
  for (std::int64_t const lag : lags) {
    CHECK(lag <= 1);
  }
}

TEST_CASE("a chain of syncs from its end needs checkpoints of what it brings") {
  test::TemporaryDirectory const directory;
  auto const end = ranks::run_world(1, [&](Local& world) {
    Mesh const mesh = Mesh::range(0, 1);
    toy::Generator<toy::EverySync> generator(world, mesh, Layout{}, 3);
    Middle middle(world, mesh, Layout{}, 5);
    Sieve sieve(mesh, 0, Layout{});
    toy::Actor actor(world, mesh, Layout{}, 1);
    generator.open_data(prompts_of_seven());
    rlhf::Engine loop(world, {.checkpoints = directory.path()},
                      engine::prompts("prompts", generator, &toy::prompts_of),
                      engine::stage("generate", generator),
                      engine::compute("experience", actor, &signal_of),
                      engine::train("policy", actor), engine::sync("delayed", middle, sieve),
                      engine::sync("copy", actor, middle));
  });
  CHECK_SAYS(end.world.text, "the sync delayed comes before the one that refreshes its source");
}
