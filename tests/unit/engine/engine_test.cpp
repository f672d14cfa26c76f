#include <rlhf/comm/local_world.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/runtime/offload.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "support/allocations.hpp"
#include "unit/checkpoint/temporary_directory.hpp"

namespace {

namespace engine = rlhf::engine;
using rlhf::Episode;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Step;
using rlhf::comm::Local;
using namespace rlhf::literals;

struct Prompts {
  std::vector<std::int64_t> id;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
  }
};
struct Answers {
  std::vector<std::int64_t> id;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
  }
};

Prompts ask(std::span<rlhf::data::Draw const> draws) {
  Prompts out;
  for (rlhf::data::Draw const& draw : draws) {
    out.id.push_back(draw.index);
  }
  return out;
}

template <class Sync, class Data = rlhf::data::None>
struct Logged : rlhf::Module<rlhf::RuntimeGrid, Sync, Data> {
  using Base = rlhf::Module<rlhf::RuntimeGrid, Sync, Data>;
  Logged(Local& world, Mesh mesh, Layout layout) : Base(std::move(mesh), world.rank(), layout) {}

  void note(std::string_view hook) {
    log += hook;
    log += ' ';
  }
  void setup() { note("setup"); }
  void validate() { note("validate"); }
  void before_episode(Episode) { note("before"); }
  void after_episode(Episode) { note("after"); }
  void save_checkpoint(Step) { note("save"); }
  void load_checkpoint(Step) { note("load"); }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(weight, {1}), rlhf::shard::replicated());
  }

  std::string log;
  std::vector<float> weight = std::vector<float>(1);
};

template <int Frequency>
struct Generator : Logged<rlhf::sync::Reshard<1_MiB, Frequency>, rlhf::data::RuntimeMixture<>> {
  using Logged<rlhf::sync::Reshard<1_MiB, Frequency>, rlhf::data::RuntimeMixture<>>::Logged;
  using Batch = Prompts;
  Answers forward_step(Batch const& batch, Step) {
    this->note("forward");
    sizes.push_back(static_cast<std::int64_t>(batch.id.size()));
    Answers out{batch.id};
    out.id.resize(out.id.size() - lost);
    return out;
  }
  std::vector<std::int64_t> sizes;
  std::size_t lost = 0;
};
struct Actor : Logged<rlhf::sync::None> {
  using Logged::Logged;
  using Batch = Answers;
  std::int64_t train_step(std::span<Batch const> batches, Step) {
    note("train");
    std::string shape;
    for (Batch const& batch : batches) {
      shape += std::to_string(batch.id.size()) + " ";
    }
    shapes.push_back(shape);
    return static_cast<std::int64_t>(batches.size());
  }
  std::vector<std::string> shapes;
};

rlhf::data::SamplerOptions data(std::int64_t samples) {
  return {.dataset_sizes = {100}, .samples_per_episode = samples};
}

/// An engine of both on one rank.
template <int Frequency = 1, class Then>
void on_one_rank(engine::Options const& options, engine::StageOptions stage,
                 engine::TrainOptions train, Then then) {
  rlhf::comm::run_local(1, [&](Local world) {
    Generator<Frequency> generator(world, Mesh::range(0, 1), Layout{});
    Actor actor(world, Mesh::range(0, 1), Layout{});
    generator.open_data(data(10));
    rlhf::Engine loop(world, options, engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator, stage),
                      engine::train("policy", actor, train),
                      engine::sync("weights", actor, generator));
    then(loop, generator, actor);
  });
}

}  // namespace

TEST_CASE("hooks are called in the order of an episode") {
  on_one_rank({.episodes = 2}, {}, {}, [](auto& loop, auto& generator, auto& actor) {
    loop.run();
    CHECK(generator.log == "setup validate before forward after before forward after ");
    CHECK(actor.log == "setup validate before train after before train after ");
    CHECK(loop.episode().value == 2);
    CHECK(actor.step().value == 2);
    CHECK(actor.episode().value == 2);
    CHECK(loop.report().rows == 10);
    CHECK(loop.report().version == 1);
    CHECK(loop.report().version_lag == 0);
  });
}

TEST_CASE(
    "a stage is called with at most as many rows as its batch, a trainer with micro-batches") {
  on_one_rank(
      {.episodes = 1}, {.batch = 4}, {.global_batch = 7, .micro_batch = 2, .epochs = 2},
      [](auto& loop, auto& generator, auto& actor) {
        loop.run();
        CHECK(generator.sizes == std::vector<std::int64_t>{4, 4, 2});
        CHECK(actor.shapes == std::vector<std::string>{"2 2 2 1 ", "2 1 ", "2 2 2 1 ", "2 1 "});
      });
}

TEST_CASE("an observer sees what it asks for") {
  struct Observer {
    std::string seen;
    void made(Prompts const& prompts, std::string_view stage) {
      seen += std::string(stage) + std::to_string(prompts.id.size()) + " ";
    }
    void made(Answers const&, std::string_view stage) { seen += std::string(stage) + " "; }
    void trained(std::int64_t batches, std::string_view trainer) {
      seen += std::string(trainer) + std::to_string(batches) + " ";
    }
    void evaluate(Episode episode) { seen += "evaluate" + std::to_string(episode.value) + " "; }
    void finished(engine::EpisodeReport const& report) {
      seen += "finished" + std::to_string(report.episode) + " ";
    }
  };
  on_one_rank({.episodes = 2, .evaluate_every = 2, .evaluate_before = true}, {}, {},
              [](auto& loop, auto&, auto&) {
                Observer observer;
                loop.run(observer);
                CHECK(observer.seen ==
                      "evaluate0 prompts10 generate policy1 finished0 prompts10 generate policy1 "
                      "evaluate2 finished1 ");
              });
}

TEST_CASE("what the options cannot have is refused when the engine is made") {
  auto const refusal = [](engine::Options options, auto frequency) {
    try {
      on_one_rank<decltype(frequency)::value>(options, {}, {}, [](auto&...) {});
    } catch (rlhf::Error const& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  using One = std::integral_constant<int, 1>;
  using Three = std::integral_constant<int, 3>;
  CHECK(refusal({.max_version_lag = 0}, One{}).empty());
  CHECK(refusal({.max_version_lag = 2}, Three{}).empty());
  std::string const slow = refusal({.max_version_lag = 1}, Three{});
  CHECK_MESSAGE(
      slow.find("2 episodes old, engine::Options::max_version_lag allows 1") != std::string::npos,
      slow);
  CHECK_MESSAGE(slow.find("syncs leave prompts up to 2 behind") != std::string::npos, slow);
  CHECK(refusal({.max_version_lag = 5}, std::integral_constant<int, 0>{})
            .find("prompts gets weights once only") != std::string::npos);
  std::string const colocated = refusal({.episodes_ahead = 1}, One{});
  CHECK_MESSAGE(colocated.find("every rank that draws prompts also trains") != std::string::npos,
                colocated);
  for (engine::Options const& wrong :
       {engine::Options{.episodes = -1}, engine::Options{.episodes_ahead = -1},
        engine::Options{.save_every = -1}, engine::Options{.keep = -1},
        engine::Options{.max_version_lag = -2}, engine::Options{.evaluate_every = -1}}) {
    CHECK(refusal(wrong, One{}).find("engine::Options::") != std::string::npos);
  }
}

TEST_CASE("a stage that loses rows is an error that names it") {
  for (std::int64_t const batch : {0, 3}) {
    std::string what;
    try {
      on_one_rank({}, {.batch = batch}, {}, [](auto& loop, auto& generator, auto&) {
        generator.lost = 1;
        loop.run();
      });
    } catch (rlhf::Error const& error) {
      what = error.what();
    }
    CHECK_MESSAGE(what.find("generate returned ") != std::string::npos, what);
    CHECK_MESSAGE(what.find("return one row for each") != std::string::npos, what);
  }
}

namespace {

/// Busy for a while.
void spin(std::int64_t nanoseconds) {
  std::int64_t const end = rlhf::steady_nanoseconds() + nanoseconds;
  while (rlhf::steady_nanoseconds() < end) {
  }
}

struct Losses {
  double loss = 0;
  double entropy = 0;
  std::int64_t tokens = 0;
  template <class Visit>
  void metrics(Visit&& visit) const {
    visit("loss", loss);
    visit("entropy", entropy, static_cast<double>(tokens));
  }
};

/// Trains and generates on memory that may be elsewhere in between.
template <class Sync, class Data = rlhf::data::None>
struct Busy : rlhf::Module<rlhf::RuntimeGrid, Sync, Data>, rlhf::runtime::Offloadable<> {
  using Base = rlhf::Module<rlhf::RuntimeGrid, Sync, Data>;
  using Base::Base;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(weight, {8}), rlhf::shard::replicated());
  }
  template <class Visit>
  void memory(Visit&& visit) {
    visit(rlhf::runtime::Part::weights, "w", weight);
    visit(rlhf::runtime::Part::optimizer_states, "m", moment);
  }
  std::vector<float> weight = std::vector<float>(8, 1.0F);
  std::vector<float> moment = std::vector<float>(8, 0.0F);
  std::int64_t work_nanoseconds = 0;
};
struct BusyGenerator : Busy<rlhf::sync::Reshard<1_MiB>, rlhf::data::RuntimeMixture<>> {
  using Busy::Busy;
  using Batch = Prompts;
  Answers forward_step(Batch const& batch, Step) {
    spin(work_nanoseconds);
    for (std::int64_t& id : answers.id = batch.id) {
      id += static_cast<std::int64_t>(weight.at(0) * 1000);
    }
    return answers;
  }
  Answers answers;
};
struct BusyActor : Busy<rlhf::sync::None> {
  using Busy::Busy;
  using Batch = Answers;
  Losses train_step(std::span<Batch const> batches, Step step) {
    spin(work_nanoseconds);
    Losses out{1.0 + static_cast<double>(this->rank()), 2.0, 1 + this->rank()};
    for (Batch const& batch : batches) {
      for (std::int64_t const id : batch.id) {
        moment.at(0) += static_cast<float>(id % 7);
      }
    }
    weight.at(0) += moment.at(0) / 64 + static_cast<float>(step.value);
    return out;
  }
};

}  // namespace

TEST_CASE("models that take turns on the device compute what those do that stay there") {
  std::vector<std::vector<float>> weights;
  for (bool const offload : {false, true}) {
    rlhf::comm::run_local(1, [&](Local world) {
      BusyGenerator generator(Mesh::range(0, 1), 0, Layout{});
      BusyActor actor(Mesh::range(0, 1), 0, Layout{});
      generator.open_data(data(10));
      rlhf::Engine loop(world, {.episodes = 4, .offload = offload},
                        engine::prompts("prompts", generator, ask),
                        engine::stage("generate", generator), engine::train("policy", actor),
                        engine::sync("weights", actor, generator));
      bool turns = false;
      loop.begin();
      for (int e = 0; e < 4; ++e) {
        loop.round();
        turns = turns || actor.moment.empty() || generator.moment.empty();
      }
      CHECK(turns == offload);
      rlhf::runtime::onload(actor);
      weights.push_back(actor.weight);
    });
  }
  CHECK(weights[0] == weights[1]);
}

TEST_CASE("the phases of an episode add up to it, in timers and in the trace") {
  rlhf::comm::run_local(2, [&](Local world) {
    BusyGenerator generator(Mesh::range(0, 2), world.rank(), Layout{.data = 2});
    BusyActor actor(Mesh::range(0, 2), world.rank(), Layout{.data = 2});
    generator.work_nanoseconds = actor.work_nanoseconds = 4'000'000;
    generator.open_data(data(10));
    rlhf::Engine loop(world, {.episodes = 5, .trace_events = 1000},
                      engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator), engine::train("policy", actor),
                      engine::sync("weights", actor, generator));
    loop.run();
    std::int64_t phases = 0;
    loop.timers().visit([&](std::string_view path, rlhf::runtime::Timing const& timing) {
      bool const counts = path.starts_with("episode/") && path.find('/') == path.rfind('/');
      phases += counts ? timing.total : 0;
    });
    rlhf::runtime::Timing const episode = loop.timers().at("episode");
    CHECK(episode.count == 5);
    CHECK(phases <= episode.total);
    CHECK(static_cast<double>(phases) > 0.95 * static_cast<double>(episode.total));
    CHECK(loop.timers().at("episode/policy").count == 5);
    std::int64_t const sync = loop.timers().at("episode/weights").total;
    std::int64_t sync_phases = 0;
    for (char const* const phase : {"move", "verify", "commit"}) {
      sync_phases += loop.timers().at(std::string("episode/weights/") + phase).total;
    }
    CHECK(sync_phases <= sync);
    CHECK(sync_phases > 0);
    std::int64_t spans = 0;
    std::int64_t whole = 0;
    for (rlhf::runtime::TraceEvent const& event : loop.trace().events()) {
      bool const outer = loop.trace().name(event.name) == "episode";
      (outer ? whole : spans) += event.end - event.begin;
    }
    CHECK(whole == episode.total);
    CHECK(static_cast<double>(spans) > 0.95 * static_cast<double>(whole));
  });
}

TEST_CASE("metrics of trainers are joined over ranks and steps, and taken once") {
  rlhf::comm::run_local(2, [&](Local world) {
    BusyGenerator generator(Mesh::range(0, 2), world.rank(), Layout{.data = 2});
    BusyActor actor(Mesh::range(0, 2), world.rank(), Layout{.data = 2});
    generator.open_data(data(10));
    rlhf::Engine loop(world, {.episodes = 2}, engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator),
                      engine::train("policy", actor, {.global_batch = 5}),
                      engine::sync("weights", actor, generator));
    loop.begin();
    loop.round();
    loop.metrics().sum("prompts", 5);
    auto const taken = loop.take_metrics();
    REQUIRE(taken.size() == 3);
    CHECK(taken[0].name == "prompts");
    CHECK(taken[0].value == 10);
    CHECK(taken[1].name == "policy/loss");
    CHECK(taken[1].value == doctest::Approx(1.4));  // steps of 3 rows and 2: a mean over rows
    CHECK(taken[1].count == 4);
    CHECK(taken[2].name == "policy/entropy");
    CHECK(taken[2].weight == 6);
    loop.round();
    CHECK(loop.take_metrics().size() == 2);
  });
}

TEST_CASE("metrics are those of the ranks that speak for a share") {
  rlhf::comm::run_local(4, [&](Local world) {  // of a pipeline, the last stage
    Layout const layout{.pipeline = 2, .data = 2};
    BusyGenerator generator(Mesh::range(0, 4), world.rank(), layout);
    BusyActor actor(Mesh::range(0, 4), world.rank(), layout);
    generator.open_data(data(10));
    rlhf::Engine loop(world, {.episodes = 1}, engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator), engine::train("policy", actor),
                      engine::sync("weights", actor, generator));
    loop.run();
    for (auto const& metric : loop.take_metrics()) {
      CHECK(metric.count == 2);
      CHECK((metric.name != "policy/loss" || metric.weight == 10));
    }
  });
}

TEST_CASE("shares without rows have no metrics") {
  rlhf::comm::run_local(2, [&](Local world) {
    BusyGenerator generator(Mesh::range(0, 2), world.rank(), Layout{.data = 2});
    BusyActor actor(Mesh::range(0, 2), world.rank(), Layout{.data = 2});
    generator.open_data(data(3));
    rlhf::Engine loop(world, {.episodes = 1}, engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator),
                      engine::train("policy", actor, {.global_batch = 1}),
                      engine::sync("weights", actor, generator));
    loop.run();
    CHECK(actor.step().value == 3);  // all shares step
    for (auto const& metric : loop.take_metrics()) {
      CHECK(metric.count == 3);
      CHECK((metric.name != "policy/loss" || metric.value == 1.0));
    }
  });
}

TEST_CASE("an episode allocates nothing once all sizes have been seen") {
  if (!allocations_are_counted()) {
    return;
  }
  rlhf::comm::run_local(1, [&](Local world) {
    BusyGenerator generator(Mesh::range(0, 1), 0, Layout{});
    BusyActor actor(Mesh::range(0, 1), 0, Layout{});
    generator.open_data(data(10));
    Prompts reused;
    // The values that hooks return are theirs to allocate: here by moving what they got back.
    rlhf::Engine loop(world, {.episodes = 20, .trace_events = 1000},
                      engine::prompts("prompts", generator,
                                      [&](std::span<rlhf::data::Draw const> draws) {
                                        reused.id.clear();
                                        for (rlhf::data::Draw const& draw : draws) {
                                          reused.id.push_back(draw.index);
                                        }
                                        return reused;
                                      }),
                      engine::stage("generate", generator),
                      engine::train("policy", actor, {.global_batch = 5, .micro_batch = 2}),
                      engine::sync("weights", actor, generator));
    loop.begin();
    for (int e = 0; e < 3; ++e) {
      loop.round();
    }
    std::int64_t const before = allocations();
    for (int e = 0; e < 6; ++e) {  // within an epoch of the data, whose order is then there
      loop.round();
    }
    // Each episode: the copies that two hooks above return.
    CHECK(allocations() - before == 2 * 6);
  });
}

TEST_CASE("a run goes on from an earlier checkpoint where it is asked to") {
  test::TemporaryDirectory const directory;
  engine::Options options{.episodes = 4, .checkpoints = directory.path(), .keep = 0};
  on_one_rank(options, {}, {}, [](auto& loop, auto&, auto&) { loop.run(); });
  options.resume_from = 2;
  on_one_rank(options, {}, {}, [](auto& loop, auto& generator, auto& actor) {
    loop.begin();
    CHECK(loop.episode().value == 2);
    CHECK(actor.step().value == 2);
    CHECK(generator.data_state().consumed == 20);
    loop.run();
    CHECK(loop.episode().value == 4);
  });
  options.resume_from = 7;
  CHECK_THROWS_WITH_AS(on_one_rank(options, {}, {}, [](auto& loop, auto&, auto&) { loop.run(); }),
                       doctest::Contains("no complete checkpoint of step 7"), rlhf::Error);
}

TEST_CASE("parts and settings that cannot be are refused when the engine is made") {
  auto const refusal = [](auto make) {
    std::string what;
    rlhf::comm::run_local(1, [&](Local world) {
      Generator<1> generator(world, Mesh::range(0, 1), Layout{});
      Actor actor(world, Mesh::range(0, 1), Layout{});
      generator.open_data(data(4));
      try {
        make(world, generator, actor);
      } catch (rlhf::Error const& error) {
        what = error.what();
      }
    });
    return what;
  };
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("p", generator), engine::train("t", actor));
        }).find("two parts of an engine are called p") != std::string::npos);
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("g", generator),
                            engine::train("t", actor, {.micro_batch = -1}));
        }).find("t: TrainOptions need") != std::string::npos);
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("g", generator, {.batch = -1}),
                            engine::train("t", actor));
        }).find("g: StageOptions::batch") != std::string::npos);
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("g", generator, {.save_outputs = true}),
                            engine::train("t", actor));
        }).find("g: StageOptions::save_outputs needs") != std::string::npos);
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("g", generator),
                            engine::train("t", actor, {.replay_episodes = 0}));
        }).find("t: TrainOptions need replay_episodes of 1") != std::string::npos);
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("g", generator), engine::train("t", actor));
          loop.round();
        }).find("behind its begin") != std::string::npos);
  CHECK(refusal([](Local& world, auto& generator, auto& actor) {
          rlhf::Engine loop(world, {}, engine::prompts("p", generator, ask),
                            engine::stage("g", generator), engine::train("t", actor));
          loop.run();
          loop.round();
        }).find("no episode left") != std::string::npos);
}

TEST_CASE("versions are those of the weights that generate, along chains of syncs") {
  struct Seen {
    std::vector<std::int64_t> versions;
    std::vector<std::int64_t> weights;
    Generator<1>* generator;
    void made(Answers const&, std::string_view) {
      weights.push_back(static_cast<std::int64_t>(generator->weight[0]));
    }
    void finished(engine::EpisodeReport const& report) { versions.push_back(report.version); }
  };
  struct Counting : Actor {
    using Actor::Actor;
    std::int64_t train_step(std::span<Batch const>, Step) {
      weight[0] += 1;
      return 0;
    }
  };
  struct Middle : Logged<rlhf::sync::Reshard<1_MiB>> {
    using Logged::Logged;
  };
  rlhf::comm::run_local(1, [&](Local world) {
    Generator<1> generator(world, Mesh::range(0, 1), Layout{});
    Counting actor(world, Mesh::range(0, 1), Layout{});
    Middle middle(world, Mesh::range(0, 1), Layout{});
    generator.open_data(data(4));
    auto const run = [&](int lag, Seen& seen) {
      rlhf::Engine loop(world, {.episodes = 12, .max_version_lag = lag},
                        engine::prompts("prompts", generator, ask),
                        engine::stage("generate", generator), engine::train("policy", actor),
                        engine::sync("first", actor, middle, {}, 2),
                        engine::sync("second", middle, generator, {}, 3));
      loop.run(seen);
    };
    Seen seen{{}, {}, &generator};
    CHECK_THROWS_WITH_AS(run(2, seen), doctest::Contains("3 episodes old"), rlhf::Error);
    run(3, seen);
    CHECK(seen.versions == seen.weights);
    for (std::size_t e = 0; e < seen.versions.size(); ++e) {
      CHECK(static_cast<std::int64_t>(e) - seen.versions[e] <= 3);
    }
  });
}

TEST_CASE("models on other ranks than before a stop keep their steps") {
  test::TemporaryDirectory const directory;
  auto const run = [&](int ranks, Mesh const& trainers, Layout layout, std::int64_t episodes) {
    rlhf::comm::run_local(ranks, [&](Local world) {
      Generator<1> generator(world, Mesh::range(0, 1), Layout{});
      Actor actor(world, trainers, layout);
      generator.open_data(data(6));
      rlhf::Engine loop(world, {.episodes = episodes, .checkpoints = directory.path()},
                        engine::prompts("prompts", generator, ask),
                        engine::stage("generate", generator), engine::train("policy", actor),
                        engine::sync("weights", actor, generator));
      loop.run();
      CHECK((!actor.present() || actor.step().value == episodes));
    });
  };
  run(2, Mesh::range(1, 1), Layout{}, 2);
  run(3, Mesh::range(1, 2), Layout{.data = 2}, 4);
  run(2, Mesh({0}), Layout{}, 6);
}

namespace {

struct Marks {
  std::vector<std::int64_t> mark;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("mark", mark);
  }
};

/// Each rank of the sharded axis sees rows of its own, and meets the others in every call.
struct Sharded : rlhf::Module<rlhf::RuntimeGrid, rlhf::sync::None, rlhf::data::RuntimeMixture<>> {
  using Batch = Prompts;
  Sharded(Local& world, Mesh const& mesh, Layout layout)
      : Module(mesh, world.rank(), layout),
        own(rlhf::module_communicator(world, mesh)) {}
  Answers forward_step(Batch const& batch, Step) {
    own.barrier();
    seen.insert(seen.end(), batch.id.begin(), batch.id.end());
    return Answers{batch.id};
  }
  Local own;
  std::vector<std::int64_t> seen;
};
/// All of them see the same rows.
struct Together : Sharded {
  static constexpr engine::Spread spread = engine::Spread::data;
  using Sharded::Sharded;
};

}  // namespace

TEST_CASE("ranks that share one copy of the weights make the same calls, whatever the rows") {
  for (std::int64_t const rows : {1, 3, 4, 7}) {
    for (std::int64_t const batch : {0, 1, 2}) {
      CAPTURE(rows);
      CAPTURE(batch);
      auto const end = ranks::run_world(2, rlhf::Milliseconds{10'000}, [&](Local& world) {
        Sharded generator(world, Mesh::range(0, 2), Layout{.fsdp = 2});
        Actor actor(world, Mesh::range(0, 1), Layout{});
        generator.open_data(data(rows));
        rlhf::Engine loop(world, {.episodes = 2}, engine::prompts("prompts", generator, ask),
                          engine::stage("generate", generator, {.batch = batch}),
                          engine::train("policy", actor));
        loop.run();
        if (world.rank() == 0) {
          CHECK(actor.shapes.at(0) == std::to_string(rows) + " ");
        }
      });
      CHECK_MESSAGE(!end.world.failed, end.world.text);
    }
  }
}

TEST_CASE("ranks of the sharded axis see different rows unless the model says otherwise") {
  std::mutex guard;
  std::vector<std::int64_t> apart;
  std::vector<std::int64_t> together;
  rlhf::comm::run_local(2, [&](Local world) {
    auto const run = [&](auto generator, std::size_t rows, std::vector<std::int64_t>& all) {
      generator.open_data(data(6));
      Actor actor(world, Mesh::range(0, 1), Layout{});
      rlhf::Engine loop(world, {.episodes = 1}, engine::prompts("prompts", generator, ask),
                        engine::stage("generate", generator), engine::train("policy", actor));
      loop.run();
      std::lock_guard const lock(guard);
      CHECK(generator.seen.size() == rows);
      all.insert(all.end(), generator.seen.begin(), generator.seen.end());
    };
    run(Sharded(world, Mesh::range(0, 2), Layout{.fsdp = 2}), 3, apart);
    run(Together(world, Mesh::range(0, 2), Layout{.fsdp = 2}), 6, together);
  });
  std::sort(apart.begin(), apart.end());
  std::sort(together.begin(), together.end());
  CHECK(apart.size() == 6);
  CHECK(std::adjacent_find(apart.begin(), apart.end()) == apart.end());  // each once
  CHECK(together.size() == 12);
  std::vector<std::int64_t> twice;
  for (std::int64_t const id : apart) {
    twice.insert(twice.end(), 2, id);
  }
  CHECK(together == twice);
}

TEST_CASE("a compute of what trainers make does not hold back a generator that is ahead") {
  std::vector<std::int64_t> episodes;
  rlhf::comm::run_local(2, [&](Local world) {
    struct Watched : Generator<1> {
      using Generator<1>::Generator;
      Answers forward_step(Batch const& batch, Step) {
        seen.push_back(this->episode().value);
        return Answers{batch.id};
      }
      std::vector<std::int64_t> seen;
    };
    Watched generator(world, Mesh::range(0, 1), Layout{});
    Actor actor(world, Mesh::range(1, 1), Layout{});
    generator.open_data(data(6));
    rlhf::Engine loop(
        world, {.episodes = 4, .episodes_ahead = 2}, engine::prompts("prompts", generator, ask),
        engine::stage("generate", generator),
        engine::compute("mark", actor, [](Answers const& all) { return Marks{all.id}; }),
        engine::compute("log", generator, [](Marks const&) {}), engine::train("policy", actor),
        engine::sync("weights", actor, generator));
    loop.run();
    if (world.rank() == 0) {
      episodes = generator.seen;
    }
  });
  CHECK(episodes == std::vector<std::int64_t>{0, 1, 2, 3});
}
