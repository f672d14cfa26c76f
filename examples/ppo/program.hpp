/// @file
/// The program of one rank: five modules, their warm-up, an engine that runs the episodes.
#pragma once

#include <rlhf/adapters/trace_json.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/runtime/log.hpp>
#include <rlhf/runtime/metrics.hpp>
#include <rlhf/runtime/trace_gather.hpp>
#include <rlhf/sync/link.hpp>

#include <algorithm>
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

namespace engine = rlhf::engine;
using rlhf::runtime::kv;

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

/// Runs PPO. Collective: every rank of `world` calls it with equal arguments.
///
/// @tparam Comm  Communicator: threads or GPUs; nothing below knows.
template <class Comm>
class Program {
 public:
  /// Five modules, three layouts. Each is an object on every rank; weights are on its own ranks.
  Program(Comm& world, Options const& options, std::vector<PromptSet> const& sets)
      : Program(world, options, sets, Places(options), config_for(sets)) {}

  Outcome run() {
    std::string const checkpoints = options_->out + "/checkpoints";
    generator_.open_data(sampler_options(*sets_, options_->prompts, options_->seed));
    engine::TrainOptions const updates{.global_batch = options_->batch,
                                       .micro_batch = options_->micro_batch,
                                       .epochs = options_->epochs,
                                       .shuffle = engine::Shuffle::rows};
    // The graph: which stage feeds which follows from the types that they take and return.
    rlhf::Engine loop(
        *world_,
        {.episodes = options_->episodes,
         .episodes_ahead = options_->episodes_ahead(),
         .max_version_lag = options_->episodes_ahead(),
         .checkpoints = checkpoints,
         .save_every = options_->save_every,
         .keep = 2,
         .resume = options_->resume,
         .evaluate_every = options_->evaluate_every,
         .evaluate_before = true,
         .trace_events = 50'000,
         .seed = options_->seed},
        engine::prompts("prompts", generator_,
                        [this](auto draws) { return prompts_of(draws, *sets_); }),
        engine::stage("generator", generator_),  // Prompts -> Answers
        engine::stage("reference", reference_),  // Prompts, Answers -> ReferenceScores
        engine::stage("reward", reward_),        // Prompts, Answers -> Rewards
        engine::stage("values", critic_),        // Prompts, Answers -> Values
        engine::compute("experience", policy_, MakeExperience<Comm>{&policy_, experience()}),
        engine::compute("record", recorder_,
                        [this](Prompts const& prompts, Answers const& answers,
                               ReferenceScores const& reference, Rewards const& rewards) {
                          recorder_.add(prompts, answers, reference, rewards, *sets_);
                        }),
        engine::train("policy", policy_, updates),               // Experience
        engine::train("critic", critic_, updates),               // Experience
        engine::sync("fresh weights", policy_, generator_),      // every episode
        engine::sync("reference weights", policy_, reference_),  // once, before the first
        engine::sync("first critic", reward_, critic_));         // once
    loop.run(*this);

    if (options_->evaluate_every <= 0 || options_->episodes % options_->evaluate_every != 0) {
      evaluate(loop.episode());
      if (recorder_.present()) {
        recorder_.finish_row(options_->episodes, {}, {});
      }
    }
    auto const trace = rlhf::runtime::gather(*world_, loop.trace());
    if (world_->rank() == 0) {
      rlhf::adapters::write_trace(options_->out + "/trace.json", trace);
    }
    auto const [before, after] = recorder_.accuracies();
    return {before, after};
  }

  // --- what the engine calls ------------------------------------------------------------------

  /// Before the first sync. The policy learns from demonstrations; the reward model begins with
  /// what the policy knows and learns from right and wrong answers.
  void begun(bool resumed) {
    if (resumed) {
      say("going on", kv("episode", policy_.episode().value));
      return;
    }
    warm_up(policy_, *sets_, *options_);
    say("the policy is warmed up", kv("steps", options_->warm_up_steps));
    rlhf::sync::Link(*world_, policy_, reward_).sync(rlhf::Version{0});
    warm_up(reward_, *sets_, *options_);
    double judged_right = reward_.present() ? judgement(reward_, *sets_, options_->seed) : 0;
    rlhf::comm::all_reduce(*world_, std::span<double>(&judged_right, 1), rlhf::comm::Reduce::max);
    say("the reward model is trained", kv("steps", options_->reward_steps),
        kv("held_out_judged_right", judged_right));
    if (recorder_.present()) {
      recorder_.add_judgement(judged_right);
    }
    policy_.start_optimizer();  // anew
  }
  /// Accuracy on held-out prompts, with the generator's present weights.
  void evaluate(rlhf::Episode episode) {
    std::vector<std::int64_t> right = generator_.count_right(*sets_);
    rlhf::comm::all_reduce(*world_, std::span<std::int64_t>(right));
    if (recorder_.present()) {
      recorder_.add_evaluation(right, *sets_);
      if (episode.value == 0) {
        recorder_.finish_row(0, {}, {});
      }
    }
  }
  /// Behind every episode, with what the trainers told, over all ranks.
  void finished(engine::EpisodeReport const& report, MetricRow const& trainers) {
    if (recorder_.present()) {
      rlhf::runtime::Metrics seconds("seconds");
      seconds.sum("rollout", report.rollout_seconds);
      seconds.sum("train", report.train_seconds);
      seconds.sum("sync", report.sync_seconds);
      seconds.sum("episode", report.seconds);
      recorder_.finish_row(report.episode + 1, trainers, seconds.take());
    }
  }

 private:
  Program(Comm& world, Options const& options, std::vector<PromptSet> const& sets,
          Places const& places, TransformerConfig const& config)
      : world_(&world),
        options_(&options),
        sets_(&sets),
        log_({.rank = world.rank(), .ranks = world.size(), .name = "ppo"}),
        policy_(world, places.policy, config, options.seed,
                {.learning_rate = options.learning_rate, .clip = options.clip}),
        generator_(world, places.generator, config, options.seed,
                   {.max_tokens = grpo::longest(sets).answer + 1,
                    .end = grpo::Tokenizer::end,
                    .seed = options.seed}),
        reference_(world, places.scorers, config, options.seed),
        reward_(world, places.scorers, config, options.seed),
        critic_(world, places.scorers, config, options.seed,
                {.learning_rate = options.critic_learning_rate, .clip = options.clip}),
        recorder_(world.rank(), options) {}

  [[nodiscard]] ExperienceOptions experience() const {
    return {options_->kl, options_->gamma, options_->lambda};
  }
  /// Rank 0 speaks.
  template <class... Words>
  void say(Words const&... words) {
    log_.log_rank_0(rlhf::runtime::LogLevel::info, words...);
  }

  Comm* world_;
  Options const* options_;
  std::vector<PromptSet> const* sets_;
  rlhf::runtime::Log log_;
  Policy<Comm> policy_;
  Generator<Comm> generator_;
  Reference<Comm> reference_;
  RewardModel<Comm> reward_;
  Critic<Comm> critic_;
  Recorder recorder_;
};

}  // namespace ppo
