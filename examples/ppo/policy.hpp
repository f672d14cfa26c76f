/// @file
/// The policy that is trained, and the same weights laid out for generation.
#pragma once

#include <rlhf/data/evaluation.hpp>
#include <rlhf/data/mixture.hpp>

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "../grpo/generate.hpp"
#include "../grpo/losses.hpp"
#include "model.hpp"
#include "values.hpp"

namespace ppo {

/// What a step of the policy tells: sums over this rank's tokens.
struct PolicyStep {
  double loss = 0;
  double clipped = 0;  ///< Tokens whose ratio was clipped.
  double drift = 0;    ///< Divergence from the policy that generated them.
  double tokens = 0;
  double gradient_norm = 0;

  template <class Visit>
  void metrics(Visit&& visit) const {
    double const all = tokens > 0 ? tokens : 1;  // a share may have no rows
    visit("loss", loss / all, tokens);
    visit("clipped", clipped / all, tokens);
    visit("drift", drift / all, tokens);
    visit("gradient_norm", gradient_norm);
  }
};

struct PolicyOptions {
  float learning_rate = 2.5e-4F;
  float clip = 0.2F;
};

/// Trained by PPO's clipped surrogate. The penalty for leaving the reference is part of the reward.
template <class Comm>
class Policy : public Model<Comm, NoSync> {
 public:
  static constexpr std::string_view name = "policy";
  using Batch = Experience;

  Policy(Comm& world, Place const& place, TransformerConfig const& config, std::uint64_t seed,
         PolicyOptions options)
      : Model<Comm, NoSync>(world, place, config, seed),
        options_(options) {}

  void setup() {
    Model<Comm, NoSync>::setup();
    this->start_optimizer();
  }
  /// Hook: one step of the optimizer over this rank's micro-batches.
  PolicyStep train_step(std::span<Batch const> micro_batches, rlhf::Step) {
    PolicyStep out;
    for (Batch const& batch : micro_batches) {
      out.tokens += static_cast<double>(batch.answer.positions());
    }
    double const weight = 1.0 / this->sum_over_data(out.tokens);  // of a token, over all ranks
    grpo::PolicyLossOptions const clipped{.clip = options_.clip, .kl_coefficient = 0};
    for (Batch const& batch : micro_batches) {
      if (batch.answer.positions() == 0) {
        continue;
      }
      this->transformer().accumulate_gradients(
          sequences_of(batch.prompt, batch.answer), [&](Index token, float log_probability) {
            auto const j = static_cast<std::size_t>(token);
            float const old = batch.log_probability.values()[j];
            grpo::PolicyLoss const one = grpo::policy_loss(
                log_probability, {batch.advantage.values()[j], old, old}, clipped);
            out.loss += static_cast<double>(one.loss);
            out.clipped += one.clipped ? 1 : 0;
            out.drift += static_cast<double>(one.kl);
            auto const w = static_cast<float>(weight);
            return grpo::TokenLoss{w * one.loss, w * one.slope};
          });
    }
    out.gradient_norm = this->step_optimizer(options_.learning_rate);
    return out;
  }

  /// One supervised step: to give the demonstrated answers. Collective over the module, each rank
  /// of its data axis with other demonstrations.
  void imitate(TokenRows const& prompts, TokenRows const& answers, float rate) {
    auto const weight =
        static_cast<float>(1.0 / this->sum_over_data(static_cast<double>(answers.positions())));
    this->transformer().accumulate_gradients(
        sequences_of(prompts, answers),
        [&](Index, float log_probability) { return grpo::cross_entropy(log_probability, weight); });
    this->step_optimizer(rate);
  }

 private:
  PolicyOptions options_;
};

/// Draws prompts by the data policy and answers them with the policy's weights.
template <class Comm>
class Generator : public Model<Comm, EveryEpisode, rlhf::data::RuntimeMixture<>> {
 public:
  static constexpr std::string_view name = "generator";
  using Batch = Prompts;

  Generator(Comm& world, Place const& place, TransformerConfig const& config, std::uint64_t seed,
            grpo::GenerateOptions options)
      : Model<Comm, EveryEpisode, rlhf::data::RuntimeMixture<>>(world, place, config, seed),
        options_(options) {}

  /// Hook: a sampled answer to each prompt.
  Answers forward_step(Batch const& prompts, rlhf::Step) {
    grpo::GenerateOptions options = options_;
    options.episode = static_cast<std::uint64_t>(this->episode().value);
    std::vector<grpo::GenerateRequest> requests;
    for (std::int64_t row = 0; row < prompts.tokens.size(); ++row) {
      requests.push_back({prompts.tokens[row],
                          static_cast<std::uint64_t>(prompts.id[static_cast<std::size_t>(row)])});
    }
    Answers out;
    for (grpo::Answer const& answer : generate(requests, options)) {
      out.tokens.push_back(answer.tokens);
      out.log_probability.push_back(answer.log_probabilities);
    }
    return out;
  }

  /// How many of this rank's share of the held-out prompts get exactly the right answer, of each
  /// dataset. Zeros on all but one rank of a share.
  [[nodiscard]] std::vector<std::int64_t> count_right(std::vector<PromptSet> const& sets) {
    std::vector<std::int64_t> sizes;
    for (PromptSet const& set : sets) {
      sizes.push_back(std::ssize(set.held_out));
    }
    std::vector<std::int64_t> right(sizes.size(), 0);
    if (!this->present()) {
      return right;
    }
    grpo::GenerateOptions options = options_;
    options.choice = grpo::Choice::likeliest;
    rlhf::data::EvaluationSampler held_out(sizes, this->coordinate().data, this->layout().data);
    std::vector<rlhf::data::Draw> draws;
    while (held_out.next(evaluation_batch, draws)) {
      auto const prompt = [&](rlhf::data::Draw const& draw) -> grpo::Prompt const& {
        return sets[static_cast<std::size_t>(draw.dataset)]
            .held_out[static_cast<std::size_t>(draw.index)];
      };
      std::vector<grpo::GenerateRequest> requests;
      for (rlhf::data::Draw const& draw : draws) {
        requests.push_back({prompt(draw).tokens, static_cast<std::uint64_t>(draw.id)});
      }
      std::vector<grpo::Answer> const answers = generate(requests, options);
      for (std::size_t i = 0; i < answers.size() && this->coordinate().tensor == 0; ++i) {
        right[static_cast<std::size_t>(draws[i].dataset)] +=
            answers[i].tokens == prompt(draws[i]).answer_tokens ? 1 : 0;
      }
    }
    return right;
  }

 private:
  static constexpr std::int64_t evaluation_batch = 256;

  [[nodiscard]] std::vector<grpo::Answer> generate(
      std::vector<grpo::GenerateRequest> const& requests, grpo::GenerateOptions const& options) {
    return grpo::generate(this->transformer(), std::span<grpo::GenerateRequest const>(requests),
                          options);
  }

  grpo::GenerateOptions options_;
};

}  // namespace ppo
