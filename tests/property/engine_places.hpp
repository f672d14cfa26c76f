// A small engine that counts the calls of its user's code, rank by rank, and lets something happen
// in one of them: for the laws of what goes wrong.
#pragma once

#include <rlhf/comm/operations.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/runtime/error_signal.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <string_view>
#include <vector>

#include "property/engine_models.hpp"
#include "ranks/world.hpp"

namespace places {

namespace engine = rlhf::engine;
using rlhf::Step;
using rlhf::comm::Local;

inline constexpr int world_size = 3;

/// A call of the user's code.
struct Visit {
  std::string_view place;  ///< The hook, the function, or the observer's member.
  std::string_view part;   ///< The engine's part and
  std::string_view phase;  ///< phase in which it is called, as errors name them.
  std::int64_t episode;    ///< That is trained on; 0 before the first.
  std::int64_t told;       ///< That errors name: ahead of training, the one that is made.
};

/// Sees all calls on one rank.
struct Probe {
  std::vector<Visit> visits{};
  std::int64_t target = -1;  ///< In this call
  std::function<void()> happening{};
  std::int64_t episode = 0;
  std::function<std::int64_t()> generated{};  ///< The generator's episode.
  bool saw_all_end = false;  ///< Where this rank failed: the others ended before it was gone.

  void at(std::string_view place, std::string_view part, std::string_view phase) {
    bool const generates = (part == "generator" || part == "generate" || part == "prompts") &&
                           (place == "before_episode" || place == "after_episode" ||
                            place == "forward_step" || place == "make" || place == "made");
    visits.push_back({place, part, phase, episode, generates ? generated() : episode});
    if (std::ssize(visits) - 1 == target) {
      happening();
    }
  }
};

/// What a step of training returns.
struct Trained {
  Probe* probe;
  std::int64_t gradient;
  template <class Visit>
  void metrics(Visit&& visit) const {
    probe->at("metrics", "policy", "train_step");
    visit("gradient", static_cast<double>(gradient));
  }
};

template <class Base>
struct Probed : Base {
  Probed(Local& world, rlhf::Mesh const& mesh, rlhf::Layout layout, std::int64_t seed, Probe& own)
      : Base(world, mesh, layout, seed),
        probe(&own) {}

  void setup() { at("setup"); }
  void validate() { at("validate"); }
  void before_episode(rlhf::Episode) { at("before_episode"); }
  void after_episode(rlhf::Episode) { at("after_episode"); }
  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, Step step) {
    at("save_checkpoint");
    Base::save_checkpoint(files, step);
    at("save_checkpoint");
  }
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, Step step) {
    at("load_checkpoint");
    Base::load_checkpoint(files, step);
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    probe->at("parameters", "weights", "plan");
    Base::parameters(visit);
  }
  void at(std::string_view hook) { probe->at(hook, Base::name, hook); }

  Probe* probe;
};

struct Generator : Probed<toy::Generator<toy::EverySync>> {
  using Probed::Probed;
  toy::Answers forward_step(Batch const& batch, Step step) {
    probe->at("forward_step", "generate", "forward_step");
    return toy::Generator<toy::EverySync>::forward_step(batch, step);
  }
  std::int64_t eval_step(Batch const& batch) {
    probe->at("eval_step", "engine", "evaluation");
    return std::ssize(batch.id);
  }
};
struct Actor : Probed<toy::Actor> {
  using Probed::Probed;
  Trained train_step(std::span<Batch const> micro_batches, Step step) {
    probe->at("train_step", "policy", "train_step");
    Trained const trained{probe, toy::Actor::train_step(micro_batches, step)};
    probe->at("train_step", "policy", "train_step");
    return trained;
  }
};

struct Observer {
  Probe* probe;
  Generator* generator;
  void begun(bool) const { probe->at("begun", "engine", "begun"); }
  template <class Value>
  void made(Value const&, std::string_view stage) const {
    probe->at("made", stage, "result");
  }
  void trained(Trained const&, std::string_view trainer) const {
    probe->at("trained", trainer, "train_step");
  }
  void evaluate(rlhf::Episode) const {
    probe->at("evaluate", "engine", "evaluation");
    if (generator->present()) {
      static_cast<void>(rlhf::hook::eval_step(*generator, toy::Prompts{}));
    }
  }
  void finished(engine::EpisodeReport const&, std::vector<rlhf::runtime::Metric> const&) const {
    probe->at("finished", "engine", "finished");
  }
};

struct Setting {
  rlhf::Mesh generator;
  rlhf::Layout generator_layout;
  rlhf::Mesh actor;
  rlhf::Layout actor_layout;
  engine::Options options;
  std::function<void(std::int64_t)> begun{};  ///< Is told on rank 0 how many episodes are done.
};

/// What happens in which call of which rank.
struct Fault {
  int rank;
  std::int64_t visit;
  std::function<void()> happening;
};

struct Run {
  ranks::WorldEnd end{};
  std::vector<Probe> probes = std::vector<Probe>(world_size);
  std::int64_t began = -1;              ///< Episodes that were done when it began.
  std::vector<std::int64_t> weights{};  ///< Of both models at the end, summed up over replicas.
};

/// @param faults One a rank at most.
inline Run run(Setting const& setting, std::vector<Fault> const& faults = {},
               rlhf::runtime::ErrorSignal* signal = nullptr) {
  Run out;
  for (Fault const& fault : faults) {
    Probe& victim = out.probes[static_cast<std::size_t>(fault.rank)];
    victim.target = fault.visit;
    victim.happening = fault.happening;
  }
  auto const run_rank = [&](Local& world) {
    Probe& probe = out.probes[static_cast<std::size_t>(world.rank())];
    Generator generator(world, setting.generator, setting.generator_layout, 3, probe);
    Actor actor(world, setting.actor, setting.actor_layout, 1, probe);
    probe.generated = [&] { return generator.episode().value; };
    generator.open_data({.dataset_sizes = {11, 7}, .ratios = {2, 1}, .samples_per_episode = 5});
    rlhf::Engine loop(
        world, setting.options,
        engine::prompts("prompts", generator,
                        [&](std::span<rlhf::data::Draw const> draws) {
                          probe.at("make", "prompts", "prompts");
                          return toy::prompts_of(draws);
                        }),
        engine::stage("generate", generator, {.batch = 2}),
        engine::compute("experience", actor,
                        [&](toy::Answers const& answers) {
                          probe.at("function", "experience", "compute");
                          toy::Experience out_of{answers.id, {}};
                          for (std::int64_t r = 0; r < answers.tokens.size(); ++r) {
                            std::int64_t sum = 0;
                            for (std::int64_t const token : answers.tokens[r]) {
                              sum = toy::mix(sum, token);
                            }
                            out_of.signal.push_back(sum);
                          }
                          return out_of;
                        }),
        engine::train("policy", actor,
                      {.global_batch = 3, .micro_batch = 1, .shuffle = engine::Shuffle::rows}),
        engine::sync("weights", actor, generator));
    if (signal != nullptr) {
      loop.use(*signal);
    }
    world.barrier();  // what fails before this is not the engine's to tell
    Observer const observer{&probe, &generator};
    loop.begin(observer);
    if (world.rank() == 0) {
      out.began = loop.episode().value;
      if (setting.begun) {
        setting.begun(out.began);
      }
    }
    while (loop.episode().value < setting.options.episodes) {  // what `run` does
      probe.episode = loop.episode().value;
      loop.round(observer);
    }
    std::vector<std::int64_t> all(static_cast<std::size_t>(2 * toy::width), 0);
    auto const add = [&](auto const& model, std::int64_t begin) {
      for (std::size_t j = 0; j < model.w.size(); ++j) {
        all[static_cast<std::size_t>(begin + model.first) + j] = model.w[j];
      }
    };
    add(generator, 0);
    add(actor, toy::width);
    rlhf::comm::all_reduce(world, std::span<std::int64_t>(all));
    if (world.rank() == 0) {
      out.weights = all;
    }
  };
  std::atomic<int> ended{0};
  out.end = ranks::run_world(world_size, [&](Local& world) {
    try {
      run_rank(world);
    } catch (...) {
      ++ended;
      // The engine is to end the others, not that this rank's thread is gone.
      for (int i = 0; i < 100'000 && ended < world_size; ++i) {
        ranks::Meeting::sleep_us(20);
      }
      out.probes[static_cast<std::size_t>(world.rank())].saw_all_end = ended == world_size;
      throw;
    }
    ++ended;
  });
  return out;
}

}  // namespace places
