/// @file
/// The program of one rank: the parts of a run, given to the engine.
#pragma once

#include <rlhf/adapters/trace_json.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/data/evaluation.hpp>
#include <rlhf/engine/engine.hpp>
#include <rlhf/module/describe.hpp>
#include <rlhf/module/hooks.hpp>
#include <rlhf/runtime/trace_gather.hpp>

#include <algorithm>
#include <cstdint>
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

namespace grpo {

namespace engine = rlhf::engine;

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
    generator_.open_data(sampler_options());
    rlhf::Engine loop(*world_,
                      {.episodes = options_->episodes,
                       .episodes_ahead = options_->ahead,
                       .checkpoints = options_->out + "/checkpoints",
                       .keep = 2,
                       .resume = options_->resume,
                       .evaluate_every = options_->evaluate_every,
                       .evaluate_before = true,
                       .trace_events = 50'000,
                       .seed = options_->seed},
                      // Prompts -> Groups -> Scores -> ReferenceScores: which stage feeds which is
                      // in their types.
                      engine::prompts("prompts", generator_,
                                      [this](std::span<rlhf::data::Draw const> draws) {
                                        return prompts_of(draws, *sets_);
                                      }),
                      engine::stage("generate", generator_),
                      engine::compute("score", actor_,
                                      [this](Prompts const& prompts, Groups const& groups) {
                                        return score(prompts, groups, *sets_);
                                      }),
                      engine::stage("reference", reference_),
                      engine::compute("record", report_,
                                      [this](Prompts const& prompts, Scores const& scores) {
                                        report_.add(prompts, scores);
                                      }),
                      engine::train("policy", actor_, train_options()),
                      engine::sync("weights", actor_, generator_, verified()),
                      engine::sync("freeze", actor_, reference_, verified()));
    loop.run(*this);
    if (options_->episodes % options_->evaluate_every != 0) {
      evaluate(loop.episode());
    }
    auto const trace = rlhf::runtime::gather(*world_, loop.trace());
    if (world_->rank() == 0) {
      rlhf::adapters::write_trace(options_->out + "/trace.json", trace);
    }
    return {report_.first_accuracy(), report_.last_accuracy()};
  }

  /// The engine calls this before the first sync.
  void begun(bool resumed) {
    if (resumed) {
      report_.say(rlhf::text("resuming after episode ", actor_.episode().value));
    } else {
      if (options_->resume) {
        report_.say(rlhf::text("nothing to resume in ", options_->out,
                               "/checkpoints; starting from the beginning"));
      }
      warm_up();
    }
    actor_.set_learning_rate(options_->learning_rate);
  }
  /// And this behind every episode.
  void finished(engine::EpisodeReport const& report,
                std::vector<rlhf::runtime::Metric> const& metrics) {
    if (report_.present()) {
      report_.add(report, metrics);
    }
  }
  /// Held-out accuracy of the generator's present weights.
  void evaluate(rlhf::Episode episode) {
    std::vector<std::int64_t> sizes;
    for (PromptSet const& set : *sets_) {
      sizes.push_back(std::min<std::int64_t>(std::ssize(set.held_out), evaluation_prompts));
    }
    std::vector<std::int64_t> right(sizes.size(), 0);
    if (generator_.present()) {
      rlhf::data::EvaluationSampler sampler(sizes, generator_.coordinate().data,
                                            generator_.layout().data);
      std::vector<rlhf::data::Draw> draws;
      while (sampler.next(evaluation_prompts, draws)) {
        Prompts const prompts = prompts_of(draws, *sets_, &PromptSet::held_out);
        std::vector<Answer> const answers = rlhf::hook::eval_step(generator_, prompts);
        for (std::size_t i = 0; i < answers.size() && generator_.coordinate().tensor == 0; ++i) {
          auto const dataset = static_cast<std::size_t>(draws[i].dataset);
          std::string const& expected =
              (*sets_)[dataset].held_out[static_cast<std::size_t>(draws[i].index)].answer;
          right[dataset] += exact_match_reward(answers[i].tokens, expected) > 0 ? 1 : 0;
        }
      }
    }
    rlhf::comm::all_reduce(*world_, std::span<std::int64_t>(right));
    double all = 0;
    double all_right = 0;
    std::vector<double> by_dataset;
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      all += static_cast<double>(sizes[d]);
      all_right += static_cast<double>(right[d]);
      by_dataset.push_back(static_cast<double>(right[d]) / static_cast<double>(sizes[d]));
    }
    report_.add_accuracy(episode.value, all_right / all, by_dataset);
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
        report_(world.rank(), options,
                rlhf::text("seed=", options.seed, " actor ", rlhf::to_string(actor_.layout()), ", ",
                           settings_text(options))) {
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
  /// `updates` optimizer steps an episode, each on other prompts.
  [[nodiscard]] engine::TrainOptions train_options() const {
    std::int64_t const global = rlhf::ceil_div(options_->prompts, options_->updates);
    std::int64_t const own = rlhf::ceil_div<std::int64_t>(global, actor_.layout().data);
    return {.global_batch = global, .micro_batch = rlhf::ceil_div(own, options_->micro_batches)};
  }
  /// What arrived is what was sent, or an error names the parameter.
  [[nodiscard]] static rlhf::sync::LinkOptions verified() {
    rlhf::sync::LinkOptions options;
    options.verification = rlhf::sync::Verification::fingerprint;
    return options;
  }

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
    if (actor_.present()) {
      actor_.reset_optimizer();
      actor_.resume(rlhf::Step{}, rlhf::Episode{});
    }
    report_.say(rlhf::text("warmed up with ", options_->warm_up_steps, " supervised steps"));
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
