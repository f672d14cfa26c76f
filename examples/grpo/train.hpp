/// @file
/// The program of one rank: warm-up, then episodes of sync, generation, scoring and training.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/module/describe.hpp>
#include <rlhf/module/hooks.hpp>
#include <rlhf/sync/link.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "actor.hpp"
#include "batch.hpp"
#include "generator.hpp"
#include "options.hpp"
#include "prompts.hpp"
#include "report.hpp"
#include "rollout.hpp"
#include "run_state.hpp"

namespace grpo {

/// Held-out accuracy before and after reinforcement learning.
struct Outcome {
  double before = 0;
  double after = 0;
};

/// One rank of a run.
///
/// @tparam Comm   Communicator: threads here; nothing below knows.
/// @tparam Train  Parallel policy of actor and reference.
/// @tparam Serve  Parallel policy of the generator.
/// @tparam Data   Data policy of the generator.
template <class Comm, class Train, class Serve, class Data>
class Trainer {
 public:
  /// `train` and `serve` are the run-time layouts, where the policies have none.
  Trainer(Comm& world, Options const& options, std::vector<PromptSet> const& sets,
          rlhf::Mesh const& train_mesh, rlhf::Mesh const& serve_mesh, auto... layouts)
      : Trainer(world, options, sets, train_mesh, serve_mesh, config_for(sets),
                std::tuple(layouts...)) {}

  Outcome run() {
    rlhf::hook::setup(actor_);
    rlhf::hook::setup(reference_);
    rlhf::hook::setup(generator_);
    rlhf::hook::validate(actor_);
    rlhf::hook::validate(reference_);
    rlhf::hook::validate(generator_);
    open_data();

    // Two links: fresh weights to the generator every episode, to the reference once.
    rlhf::sync::Link weights(*world_, actor_, generator_);
    rlhf::sync::Link freeze(*world_, actor_, reference_);
    RunCheckpoint checkpoint(*world_, options_->out + "/checkpoints", actor_, reference_,
                             generator_);

    Outcome outcome;
    std::optional<RunState> const saved =
        options_->resume ? checkpoint.load(state(), report_) : std::nullopt;
    if (saved) {
      report_.say(rlhf::text("resuming after episode ", saved->episodes));
    } else {
      if (options_->resume) {
        report_.say(rlhf::text("nothing to resume in ", options_->out,
                               "/checkpoints; starting from the beginning"));
      }
      warm_up();
      freeze.sync(rlhf::Version{0});
      freeze.verify();
      if (actor_.present()) {
        actor_.reset_optimizer();
      }
    }
    actor_.set_learning_rate(options_->learning_rate);

    for (std::int64_t e = actor_.episode().value; e < options_->episodes; ++e) {
      std::int64_t const begin = rlhf::steady_nanoseconds();
      EpisodeMetrics metrics;
      metrics.episode = e;
      rlhf::hook::before_episode(actor_);
      rlhf::hook::before_episode(reference_);
      rlhf::hook::before_episode(generator_);
      if (!weights.version() || weights.due(actor_.episode())) {  // first, then as the policy says
        weights.sync(rlhf::Version{e});
        weights.verify();  // what arrived is what was sent, or an error names the parameter
      }
      metrics.sync_seconds = weights.report().seconds;
      metrics.sync_gigabytes_per_second = weights.report().gigabytes_per_second();
      if (e % options_->evaluate_every == 0) {
        evaluate(metrics);
      }

      std::vector<Group> const groups = generate_groups();
      train(groups, metrics);

      rlhf::hook::after_episode(actor_);
      rlhf::hook::after_episode(reference_);
      rlhf::hook::after_episode(generator_);
      metrics.seconds = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
      report_.add(metrics);
      checkpoint.save(state(), report_);
      report_.write();
    }

    weights.sync(rlhf::Version{options_->episodes});
    EpisodeMetrics last;
    evaluate(last);
    outcome.after = *last.accuracy;
    outcome.before = report_.first_accuracy().value_or(outcome.after);
    report_.add_accuracy(options_->episodes, outcome.after, last.accuracy_by_dataset);
    report_.write();
    return outcome;
  }

 private:
  using ActorModel = Actor<Comm, Train>;
  using ReferenceModel = Reference<Comm, Train>;
  using GeneratorModel = Generator<Comm, Serve, Data>;

  template <class... Layouts>
  Trainer(Comm& world, Options const& options, std::vector<PromptSet> const& sets,
          rlhf::Mesh const& train_mesh, rlhf::Mesh const& serve_mesh,
          TransformerConfig const& config, std::tuple<Layouts...> layouts)
      : world_(&world),
        options_(&options),
        sets_(&sets),
        actor_(make<ActorModel, 0>(world, train_mesh, config, options.seed, layouts)),
        reference_(make<ReferenceModel, 0>(world, train_mesh, config, options.seed, layouts)),
        generator_(make<GeneratorModel, 1>(world, serve_mesh, config, options.seed, layouts)),
        report_(options.out, world.rank() == 0, options.episodes) {
    actor_.set_loss({.kl_coefficient = options.kl_coefficient});
    generator_.set_generation({.samples = options.samples,
                               .max_tokens = longest(sets).answer + 1,
                               .end = Tokenizer::end,
                               .seed = options.seed});
    report_.say(rlhf::describe(actor_));
    report_.say(rlhf::describe(generator_));
  }

  /// A model with its run-time layout, if its policy wants one.
  template <class M, std::size_t Which, class Layouts>
  static M make(Comm& world, rlhf::Mesh const& mesh, TransformerConfig const& config,
                std::uint64_t seed, Layouts const& layouts) {
    if constexpr (std::tuple_size_v<Layouts> == 0) {
      return M(world, mesh, config, seed);
    } else {
      return M(world, mesh, config, seed, std::get<Which>(layouts));
    }
  }

  [[nodiscard]] static TransformerConfig config_for(std::vector<PromptSet> const& sets) {
    TransformerConfig config;
    Lengths const lengths = longest(sets);
    config.vocabulary = Tokenizer::size;
    config.max_length = lengths.prompt + lengths.answer + 1;
    return config;
  }

  [[nodiscard]] rlhf::data::SamplerOptions sampler_options() const {
    rlhf::data::SamplerOptions data;
    for (PromptSet const& set : *sets_) {
      data.dataset_sizes.push_back(std::ssize(set.training));
      data.dataset_fingerprints.push_back(set.fingerprint);
      if (Data::dataset_count == 0) {
        data.ratios.push_back(set.ratio);
      }
    }
    data.samples_per_episode = options_->prompts;
    data.seed = options_->seed;
    return data;
  }
  void open_data() { generator_.open_data(sampler_options()); }

  /// Supervised steps on careless demonstrations: the policy learns the task and its teachers'
  /// slip, and would rather slip than not. Telling right from wrong is left to the reward.
  void warm_up() {
    rlhf::data::SamplerOptions data = sampler_options();
    data.samples_per_episode = warm_up_batch;
    data.seed = ~options_->seed;  // another order than the episodes'
    auto sampler = rlhf::data::make_sampler<Data>(std::move(data));
    std::vector<rlhf::data::Draw> draws;
    for (std::int64_t s = 0; s < options_->warm_up_steps; ++s) {
      sampler.next(0, 1, draws);
      if (actor_.present()) {
        actor_.set_learning_rate(warm_up_rate * std::min(1.0F, static_cast<float>(s + 1) / 20));
        Batch const batch =
            supervised_batch(draws, *sets_, options_->slips,
                             rlhf::CounterRandom(options_->seed, static_cast<std::uint64_t>(s)),
                             actor_.coordinate().data, actor_.layout().data);
        rlhf::hook::train_step(actor_, std::span(&batch, 1));
      }
    }
    report_.say(rlhf::text("warmed up with ", options_->warm_up_steps, " supervised steps"));
  }

  /// Prompts, several answers to each, on every rank. Rewards and advantages included.
  [[nodiscard]] std::vector<Group> generate_groups() {
    std::vector<Group> mine;
    if (generator_.present()) {
      PromptBatch const prompts = generator_.next_prompts(*sets_);
      mine = rlhf::hook::forward_step(generator_, prompts);
      if (generator_.coordinate().tensor != 0) {
        mine.clear();  // all tensor ranks wrote the same
      }
    }
    std::vector<Group> groups = gather_groups(*world_, std::span<Group const>(mine));
    std::vector<rlhf::data::Draw> draws;
    for (Group& group : groups) {
      score(group, *sets_);
      draws.push_back(group.draw);
    }
    report_.add_prompts(generator_.episode().value, draws);
    return groups;
  }

  /// The updates of one episode, and what they tell.
  void train(std::vector<Group> const& groups, EpisodeMetrics& metrics) {
    double reward = 0;
    for (Group const& group : groups) {
      for (float const value : group.rewards) {
        reward += static_cast<double>(value);
        ++metrics.samples;
      }
    }
    metrics.reward = reward / static_cast<double>(metrics.samples);
    if (!actor_.present()) {
      return;
    }
    std::span<Group const> const all(groups);
    StepMetrics sums;
    for (std::int64_t u = 0; u < options_->updates; ++u) {
      rlhf::IndexRange const part = rlhf::split_evenly(std::ssize(all), options_->updates, u);
      sums += update(
          all.subspan(static_cast<std::size_t>(part.begin), static_cast<std::size_t>(part.size())));
    }
    double totals[] = {sums.kl, sums.clipped, sums.tokens};
    rlhf::comm::all_reduce(actor_.groups().data, std::span<double>(totals));
    double const tokens = std::max(1.0, totals[2]);
    metrics.kl = totals[0] / tokens;
    metrics.clipped = totals[1] / tokens;
    metrics.gradient_norm = sums.gradient_norm / static_cast<double>(options_->updates);
  }

  /// One optimizer step on some of an episode's groups: this rank's share of them, scored under the
  /// reference, then trained on.
  [[nodiscard]] StepMetrics update(std::span<Group const> groups) {
    std::vector<Batch> batches = policy_batches(groups, *sets_, options_->micro_batches,
                                                actor_.coordinate().data, actor_.layout().data);
    for (Batch& batch : batches) {
      if (batch.tokens.scored() > 0) {
        std::vector<float> const scores = rlhf::hook::forward_step(reference_, batch);
        for (std::size_t j = 0; j < scores.size(); ++j) {
          batch.terms[j].reference_log_probability = scores[j];
        }
      }
    }
    return rlhf::hook::train_step(actor_, std::span<Batch const>(batches));
  }

  /// Held-out accuracy of the generator's present weights, the same on every rank.
  void evaluate(EpisodeMetrics& metrics) {
    std::vector<std::int64_t> sizes;
    for (PromptSet const& set : *sets_) {
      sizes.push_back(std::min<std::int64_t>(std::ssize(set.held_out), evaluation_prompts));
    }
    std::vector<std::int64_t> right(sizes.size(), 0);
    if (generator_.present()) {
      rlhf::data::EvaluationSampler sampler(sizes, generator_.coordinate().data,
                                            generator_.layout().data);
      PromptBatch batch;
      while (sampler.next(evaluation_prompts, batch.draws)) {
        batch.tokens.clear();
        for (rlhf::data::Draw const& draw : batch.draws) {
          batch.tokens.emplace_back(held_out(draw).tokens);
        }
        std::vector<Answer> const answers = rlhf::hook::eval_step(generator_, batch);
        for (std::size_t i = 0; i < answers.size() && generator_.coordinate().tensor == 0; ++i) {
          rlhf::data::Draw const& draw = batch.draws[i];
          right[static_cast<std::size_t>(draw.dataset)] +=
              exact_match_reward(answers[i].tokens, held_out(draw).answer) > 0 ? 1 : 0;
        }
      }
    }
    rlhf::comm::all_reduce(*world_, std::span<std::int64_t>(right));
    double all = 0;
    double all_right = 0;
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      all += static_cast<double>(sizes[d]);
      all_right += static_cast<double>(right[d]);
      metrics.accuracy_by_dataset.push_back(static_cast<double>(right[d]) /
                                            static_cast<double>(sizes[d]));
    }
    metrics.accuracy = all_right / all;
  }
  [[nodiscard]] Prompt const& held_out(rlhf::data::Draw const& draw) const {
    return (*sets_)[static_cast<std::size_t>(draw.dataset)]
        .held_out[static_cast<std::size_t>(draw.index)];
  }

  [[nodiscard]] RunState state() const {
    RunState now;
    now.episodes = actor_.episode().value;
    now.steps = actor_.step().value;
    now.optimizer_steps = actor_.present() ? actor_.optimizer_steps() : 0;
    now.seed = options_->seed;
    now.actor_layout = rlhf::to_string(actor_.layout());
    now.settings = settings_text(*options_);
    return now;
  }

  static constexpr std::int64_t warm_up_batch = 128;
  static constexpr float warm_up_rate = 3e-3F;
  static constexpr std::int64_t evaluation_prompts = 256;

  Comm* world_;
  Options const* options_;
  std::vector<PromptSet> const* sets_;
  ActorModel actor_;
  ReferenceModel reference_;
  GeneratorModel generator_;
  Report report_;
};

}  // namespace grpo
