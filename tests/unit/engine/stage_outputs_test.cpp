// Runs that were stopped in the middle of an episode: stages that had made all their rows are not
// asked again.
#include <rlhf/comm/local.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "unit/checkpoint/temporary_directory.hpp"

namespace {

namespace engine = rlhf::engine;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Step;
using rlhf::comm::Local;

struct Prompts {
  std::vector<std::int64_t> id;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
  }
};
struct Answers {
  std::vector<std::uint64_t> id;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
  }
};
struct Scores {
  std::vector<std::int16_t> score;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("score", score);
  }
};
Prompts ask(std::span<rlhf::data::Draw const> draws) {
  Prompts out;
  for (rlhf::data::Draw const& draw : draws) {
    out.id.push_back(draw.index);
  }
  return out;
}

/// What happened, over all ranks and runs.
struct Calls {
  std::atomic<int> generated{0};  ///< Rows that the generator was asked for.
  std::atomic<int> judged{0};
  std::atomic<std::int64_t> trained{0};  ///< Sum of what was trained on.
};

/// Where the run is stopped.
struct Fault {
  std::string_view hook{};
  std::int64_t episode = 0;
  int rank = 0;  ///< -1: every one.
};
template <class M>
void fail_where_planned(M const& model, std::string_view hook) {
  if (model.fault.hook == hook && model.fault.episode == model.episode().value &&
      (model.fault.rank == model.rank() || model.fault.rank == -1)) {
    throw std::runtime_error("stopped by the test");
  }
}

struct Generator : rlhf::Module<rlhf::RuntimeGrid, rlhf::sync::None, rlhf::data::RuntimeMixture<>> {
  using Module::Module;
  using Batch = Prompts;
  Answers forward_step(Batch const& batch, Step) {
    fail_where_planned(*this, "generate");
    calls->generated += static_cast<int>(batch.id.size());
    Answers out;
    for (std::int64_t const id : batch.id) {
      out.id.push_back(static_cast<std::uint64_t>(id * 3 + episode().value));
    }
    return out;
  }
  Calls* calls = nullptr;
  Fault fault{};
};
struct Judge : rlhf::Module<rlhf::RuntimeGrid> {
  using Module::Module;
  using Batch = Answers;
  Scores forward_step(Batch const& batch, Step) {
    fail_where_planned(*this, "judge");
    calls->judged += static_cast<int>(batch.id.size());
    Scores out;
    for (std::uint64_t const id : batch.id) {
      out.score.push_back(static_cast<std::int16_t>(id % 7));
    }
    return out;
  }
  Calls* calls = nullptr;
  Fault fault{};
};
struct Actor : rlhf::Module<rlhf::RuntimeGrid> {
  using Module::Module;
  using TrainInputs = rlhf::Inputs<Answers, Scores>;
  struct TrainBatch {
    TrainBatch(Answers const& all, Scores const& of) : answers(all), scores(of) {}
    Answers answers;
    Scores scores;
  };
  int train_step(std::span<TrainBatch const> batches, Step) {
    fail_where_planned(*this, "train");
    for (TrainBatch const& batch : batches) {
      for (std::size_t i = 0; i < batch.answers.id.size(); ++i) {
        calls->trained +=
            static_cast<std::int64_t>(batch.answers.id[i]) * (1 + batch.scores.score[i]);
      }
    }
    return 0;
  }
  void save_checkpoint(Step) {}  // it has no weights
  void load_checkpoint(Step) {}
  Calls* calls = nullptr;
  Fault fault{};
};

struct Plan {
  int ranks = 2;
  std::int64_t samples = 5;
  int ahead = 0;  ///< Where it is 1, the last rank trains and the others do not.
  bool save = true;
  std::uint64_t temperature = 1;
  std::int64_t resume_from = -1;
  Fault fault{};
};

/// Runs four episodes. True unless it was stopped.
bool run(Plan const& plan, std::string const& directory, Calls& calls) {
  auto const end = ranks::run_world(plan.ranks, ranks::long_timeout, [&](Local& world) {
    int const generating = plan.ahead > 0 ? plan.ranks - 1 : plan.ranks;
    Mesh const mesh = Mesh::range(0, generating);
    Mesh const trainers = plan.ahead > 0 ? Mesh::range(plan.ranks - 1, 1) : mesh;
    Generator generator(mesh, world.rank(), Layout{.data = generating});
    Judge judge(mesh, world.rank(), Layout{.data = generating});
    Actor actor(trainers, world.rank(), Layout{.data = trainers.size()});
    generator.calls = judge.calls = actor.calls = &calls;
    generator.fault = judge.fault = actor.fault = plan.fault;
    generator.open_data({.dataset_sizes = {100}, .samples_per_episode = plan.samples});
    engine::StageOptions const stage{.save_outputs = plan.save,
                                     .outputs_depend_on = plan.temperature};
    rlhf::Engine loop(world,
                      {.episodes = 4,
                       .episodes_ahead = plan.ahead,
                       .checkpoints = directory,
                       .keep = 0,
                       .resume_from = plan.resume_from},
                      engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator, stage),
                      engine::stage("judge", judge, stage), engine::train("policy", actor));
    loop.run();
  });
  INFO(end.world.text);
  CHECK(end.world.failed == (!plan.fault.hook.empty()));
  return !end.world.failed;
}

}  // namespace

TEST_CASE("a stage that had made all rows is not asked again") {
  for (int const ahead : {0, 1}) {
    CAPTURE(ahead);
    test::TemporaryDirectory const directory;
    Calls all;
    test::TemporaryDirectory const other;
    REQUIRE(run({.ranks = 3, .ahead = ahead}, other.path(), all));
    CHECK(all.generated == 20);

    Calls calls;
    CHECK(!run({.ranks = 3, .ahead = ahead, .fault = {"train", 2, -1}}, directory.path(), calls));
    int const generated = calls.generated;
    int const judged = calls.judged;
    REQUIRE(run({.ranks = 3, .ahead = ahead}, directory.path(), calls));
    CHECK(calls.generated + calls.judged == generated + judged + (ahead == 0 ? 10 : 0));
    CHECK(calls.generated == 20);
    CHECK(calls.judged == 20);
    CHECK(calls.trained == all.trained);
  }
}

TEST_CASE("stages of which some share is missing are made again, as a whole") {
  test::TemporaryDirectory const directory;
  Calls calls;
  CHECK(!run({.fault = {"judge", 1, 1}}, directory.path(), calls));
  CHECK(calls.generated == 10);
  CHECK(calls.judged == 5 + 3);  // rank 0 had made its share of episode 1
  REQUIRE(run({}, directory.path(), calls));
  CHECK(calls.generated == 20);
  CHECK(calls.judged == 8 + 15);
}

TEST_CASE("shares without rows miss nothing") {
  test::TemporaryDirectory const directory;
  Calls calls;
  CHECK(!run({.ranks = 3, .samples = 2, .fault = {"train", 1, 0}}, directory.path(), calls));
  REQUIRE(run({.ranks = 3, .samples = 2}, directory.path(), calls));
  CHECK(calls.generated == 8);
}

TEST_CASE("outputs of other shares, or behind another checkpoint, are not taken") {
  test::TemporaryDirectory const directory;
  Calls calls;
  CHECK(!run({.fault = {"train", 2, 0}}, directory.path(), calls));
  CHECK(calls.generated == 15);
  SUBCASE("on other ranks") {
    REQUIRE(run({.ranks = 3}, directory.path(), calls));
    CHECK(calls.generated == 15 + 10);
  }
  SUBCASE("after going back") {
    CHECK(
        !run({.samples = 5, .resume_from = 1, .fault = {"train", 1, 0}}, directory.path(), calls));
    CHECK(calls.generated == 15 + 5);  // those of episode 1 went when it had a checkpoint
    REQUIRE(run({.resume_from = 1}, directory.path(), calls));
    CHECK(calls.generated == 20 + 10);  // episode 1 is restored, 2 is another one now
  }
  SUBCASE("where nothing is saved any more") {
    REQUIRE(run({.save = false}, directory.path(), calls));
    CHECK(calls.generated == 15 + 10);
  }
}

TEST_CASE("damaged outputs are made again") {
  test::TemporaryDirectory const directory;
  Calls calls;
  CHECK(!run({.ranks = 1, .fault = {"train", 2, 0}}, directory.path(), calls));
  std::string const file = directory.path() + "/stages/episode-000000002/generate-replica-0";
  std::fstream(file, std::ios::in | std::ios::out) << "damaged";
  REQUIRE(run({.ranks = 1}, directory.path(), calls));
  CHECK(calls.generated == 15 + 10);
  CHECK(calls.judged == 15 + 5);
}

TEST_CASE("outputs of other settings are made again") {
  test::TemporaryDirectory const directory;
  Calls calls;
  CHECK(!run({.fault = {"train", 2, -1}}, directory.path(), calls));
  REQUIRE(run({.temperature = 2}, directory.path(), calls));
  CHECK(calls.generated == 15 + 10);
}
