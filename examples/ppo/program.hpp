/// @file
/// The program of one rank: five modules, their warm-up, an engine that runs the episodes.
#pragma once

#include <rlhf/checkpoint/store.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/hooks.hpp>
#include <rlhf/runtime/log.hpp>
#include <rlhf/sync/link.hpp>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "experience.hpp"
#include "options.hpp"
#include "policy.hpp"
#include "recorder.hpp"
#include "scorers.hpp"
#include "values.hpp"
#include "warm_up.hpp"

namespace ppo {

/// What a run came to, on rank 0.
struct Outcome {
  double before = 0;  ///< Held-out accuracy behind the warm-up,
  double after = 0;   ///< and behind the last episode.
};

/// Where each module is.
struct Places {
  explicit Places(Options const& o)
      : policy{rlhf::Mesh::range(0, o.policy.ranks()), o.policy},
        scorers{rlhf::Mesh::range(0, o.scorers.ranks()), o.scorers},
        generator{rlhf::Mesh::range(o.separate ? trainers(o) : 0, o.generator.ranks()),
                  o.generator},
        ranks(o.separate ? trainers(o) + o.generator.ranks()
                         : std::max(trainers(o), o.generator.ranks())) {}
  Place policy;
  Place scorers;
  Place generator;
  int ranks;

 private:
  [[nodiscard]] static int trainers(Options const& o) {
    return std::max(o.policy.ranks(), o.scorers.ranks());
  }
};

/// A model that fits the longest prompt with the longest answer.
[[nodiscard]] inline TransformerConfig config_for(std::vector<PromptSet> const& sets) {
  grpo::Lengths const lengths = grpo::longest(sets);
  TransformerConfig config;
  config.vocabulary = grpo::Tokenizer::size;
  config.max_length = lengths.prompt + lengths.answer + 1;
  return config;
}

/// Whether there is a run to go on with, the same on every rank. A run from the beginning puts
/// checkpoints of another one aside, which would be taken for its own.
template <class Comm>
[[nodiscard]] bool find_checkpoint(Comm& world, std::string const& directory, bool resume) {
  std::int64_t found = 0;
  if (world.rank() == 0) {
    bool const any = rlhf::checkpoint::Store(directory, 0).latest().has_value();
    found = any && resume ? 1 : 0;
    if (any && !resume) {
      std::filesystem::remove_all(directory + ".previous");
      std::filesystem::rename(directory, directory + ".previous");
    }
  }
  rlhf::comm::broadcast(world, std::span<std::int64_t>(&found, 1), 0);
  return found != 0;
}

/// Runs PPO. Collective: every rank of `world` calls it with equal arguments.
///
/// @tparam Comm  Communicator: threads or GPUs; nothing below knows.
template <class Comm>
Outcome train(Comm& world, Options const& options, std::vector<PromptSet> const& sets) {
  rlhf::runtime::Log log({.rank = world.rank(), .ranks = world.size(), .name = "ppo"});
  auto const say = [&](auto const&... words) {
    log.log_rank_0(rlhf::runtime::LogLevel::info, words...);
  };
  using rlhf::runtime::kv;

  // Five modules, three layouts. Each is an object on every rank; weights are on its own ranks.
  Places const places(options);
  TransformerConfig const config = config_for(sets);
  std::uint64_t const seed = options.seed;
  Policy<Comm> policy(world, places.policy, config, seed,
                      {.learning_rate = options.learning_rate, .clip = options.clip});
  Generator<Comm> generator(
      world, places.generator, config, seed,
      {.max_tokens = grpo::longest(sets).answer + 1, .end = grpo::Tokenizer::end, .seed = seed});
  Reference<Comm> reference(world, places.scorers, config, seed);
  RewardModel<Comm> reward(world, places.scorers, config, seed);
  Critic<Comm> critic(world, places.scorers, config, seed,
                      {.learning_rate = options.critic_learning_rate, .clip = options.clip});
  rlhf::hook::setup(policy);
  rlhf::hook::setup(reward);
  rlhf::hook::setup(critic);
  generator.open_data(sampler_options(sets, options.prompts, seed));

  // Before reinforcement learning: the policy learns from demonstrations, the reward model, which
  // begins with what the policy knows, from right and wrong answers.
  std::string const checkpoints = options.out + "/checkpoints";
  if (find_checkpoint(world, checkpoints, options.resume)) {
    say("going on", kv("checkpoints", checkpoints));
  } else {
    warm_up(policy, sets, options);
    say("the policy is warmed up", kv("steps", options.warm_up_steps));
    rlhf::sync::Link(world, policy, reward).sync(rlhf::Version{0});
    warm_up(reward, sets, options);
    if (reward.present()) {
      say("the reward model is trained", kv("steps", options.reward_steps),
          kv("held_out_judged_right", judgement(reward, sets, seed)));
    }
  }
  policy.start_optimizer();
  critic.start_optimizer();

  // The graph: which stage feeds which follows from the types that they take and return.
  Recorder<Comm> recorder(world, options, sets, generator);
  rlhf::engine::TrainOptions const updates{.global_batch = options.batch,
                                           .micro_batch = options.micro_batch,
                                           .epochs = options.epochs,
                                           .shuffle = true};
  rlhf::Engine engine(
      world,
      rlhf::engine::Options{.episodes = options.episodes,
                            .episodes_ahead = options.episodes_ahead(),
                            .max_version_lag = options.episodes_ahead(),
                            .checkpoints = checkpoints,
                            .resume = options.resume,
                            .evaluate_every = options.evaluate_every,
                            .evaluate_before = true,
                            .seed = seed},
      rlhf::engine::prompts("prompts", generator,
                            [&](auto draws) { return prompts_of(draws, sets); }),
      rlhf::engine::stage("generator", generator),  // Prompts -> Answers
      rlhf::engine::stage("reference", reference),  // Prompts, Answers -> ReferenceScores
      rlhf::engine::stage("reward", reward),        // Prompts, Answers -> Rewards
      rlhf::engine::stage("critic", critic),        // Prompts, Answers -> Values
      rlhf::engine::compute(
          "experience", policy,  // all of them -> Experience
          MakeExperience<Comm>{
              &policy, {options.kl, options.gamma, options.lambda}, &sets, &recorder.rollout()}),
      rlhf::engine::train("policy", policy, updates),
      rlhf::engine::train("critic", critic, updates),
      rlhf::engine::sync("fresh weights", policy, generator),  // every episode
      rlhf::engine::sync("reference", policy, reference),      // once, before the first
      rlhf::engine::sync("first critic", reward, critic));     // once
  engine.run(recorder);
  recorder.finish();
  auto const [before, after] = recorder.accuracies();
  return {before, after};
}

}  // namespace ppo
