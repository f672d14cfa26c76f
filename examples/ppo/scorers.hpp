/// @file
/// Three models that judge what the policy wrote: the frozen reference, the reward model that was
/// trained before, the critic that is trained beside the policy.
#pragma once

#include <rlhf/engine/inputs.hpp>

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "../grpo/losses.hpp"
#include "advantages.hpp"
#include "model.hpp"
#include "scalar_head.hpp"
#include "values.hpp"

namespace ppo {

/// The policy as it was before reinforcement learning.
template <class Comm>
class Reference : public Model<Comm, Once> {
 public:
  static constexpr std::string_view name = "reference";
  using Inputs = rlhf::Inputs<Prompts, Answers>;
  using Batch = Sequences;
  using Model<Comm, Once>::Model;

  ReferenceScores forward_step(Batch const& batch, rlhf::Step) {
    return {rows_like(*batch.answers, this->transformer().log_probabilities(
                                          sequences_of(*batch.prompts, *batch.answers)))};
  }
};

/// Answers of which it is known how far they are right.
struct Lessons {
  TokenRows prompts;
  TokenRows answers;
  std::vector<char> right;  ///< Of each token: whether the answer is right up to it.

  /// An answer and the right one, both with their ends.
  void add(std::span<Token const> prompt, std::span<Token const> answer,
           std::span<Token const> right_answer) {
    prompts.push_back(prompt);
    answers.push_back(answer);
    bool same = true;
    for (std::size_t t = 0; t < answer.size(); ++t) {
      same = same && t < right_answer.size() && answer[t] == right_answer[t];
      right.push_back(same ? 1 : 0);
    }
  }
};

/// Learns what is right from examples, then is frozen and rewards.
template <class Comm>
class RewardModel : public Model<Comm, Once> {
 public:
  static constexpr std::string_view name = "reward";
  using Inputs = rlhf::Inputs<Prompts, Answers>;
  using Batch = Sequences;
  using Model<Comm, Once>::Model;

  /// Hook: the probability that an answer is right, as the model sees it behind the last token.
  Rewards forward_step(Batch const& batch, rlhf::Step) {
    return {judge(*batch.prompts, *batch.answers)};
  }
  [[nodiscard]] std::vector<float> judge(TokenRows const& prompts, TokenRows const& answers) {
    std::vector<float> const all =
        scalars(this->transformer(), whole_sequences_of(prompts, answers));
    std::vector<float> out;
    for (std::int64_t row = 0; row < answers.size(); ++row) {
      auto const end =
          static_cast<std::size_t>(answers.begins()[static_cast<std::size_t>(row) + 1]);
      out.push_back(sigmoid(all[end - 1]));
    }
    return out;
  }

  /// One supervised step: to say behind every token whether all is right so far, and, so that it
  /// has something to compare with, to give the right tokens itself. Collective over the module,
  /// each rank of its data axis with other lessons.
  void learn(Lessons const& lessons, float rate) {
    grpo::TokenBatch const batch = whole_sequences_of(lessons.prompts, lessons.answers);
    grpo::TokenBatch spoken;
    for (std::size_t j = 0; j < lessons.right.size(); ++j) {
      if (lessons.right[j] != 0) {
        spoken.rows.push_back(batch.rows[j] - 1);
        spoken.targets.push_back(lessons.answers.values()[j]);
      }
    }
    auto const tokens = static_cast<double>(lessons.right.size());
    auto const weight = static_cast<float>(1.0 / this->sum_over_data(tokens));
    accumulate_scalar_gradients(
        this->transformer(), batch,
        [&](Index j, float scalar) {
          ScalarLoss const one =
              judgement_loss(scalar, lessons.right[static_cast<std::size_t>(j)] != 0);
          return ScalarLoss{weight * one.loss, weight * one.slope};
        },
        spoken,
        [&](Index, float log_probability) { return grpo::cross_entropy(log_probability, weight); });
    this->step_optimizer(rate);
  }
};

/// What a step of the critic tells: sums over this rank's tokens.
struct CriticStep {
  double loss = 0;
  double tokens = 0;
  double gradient_norm = 0;

  template <class Visit>
  void metrics(Visit&& visit) const {
    visit("loss", tokens > 0 ? loss / tokens : 0.0, tokens);  // a share may have no rows
    visit("gradient_norm", gradient_norm);
  }
};

struct CriticOptions {
  float learning_rate = 1e-3F;
  float clip = 0.2F;
};

/// Expects what an answer will earn, before each of its tokens. Starts as the reward model, whose
/// scale it keeps: a number from 0 to 1.
template <class Comm>
class Critic : public Model<Comm, Once> {
 public:
  static constexpr std::string_view name = "critic";
  using Inputs = rlhf::Inputs<Prompts, Answers>;
  using Batch = Sequences;
  using TrainBatch = Experience;

  Critic(Comm& world, Place const& place, TransformerConfig const& config, std::uint64_t seed,
         CriticOptions options)
      : Model<Comm, Once>(world, place, config, seed),
        options_(options) {}

  void setup() {
    Model<Comm, Once>::setup();
    this->start_optimizer();
  }
  Values forward_step(Batch const& batch, rlhf::Step) {
    std::vector<float> all =
        scalars(this->transformer(), sequences_of(*batch.prompts, *batch.answers));
    for (float& one : all) {
      one = sigmoid(one);
    }
    return {rows_like(*batch.answers, std::move(all))};
  }

  CriticStep train_step(std::span<TrainBatch const> micro_batches, rlhf::Step) {
    CriticStep out;
    for (TrainBatch const& batch : micro_batches) {
      out.tokens += static_cast<double>(batch.answer.positions());
    }
    double const weight = 1.0 / this->sum_over_data(out.tokens);
    for (TrainBatch const& batch : micro_batches) {
      if (batch.answer.positions() == 0) {
        continue;
      }
      out.loss += accumulate_scalar_gradients(
          this->transformer(), sequences_of(batch.prompt, batch.answer),
          [&](Index token, float scalar) {
            auto const j = static_cast<std::size_t>(token);
            float const estimate = sigmoid(scalar);
            ScalarLoss const one = value_loss(
                estimate, {batch.value.values()[j], batch.target.values()[j]}, options_.clip);
            auto const w = static_cast<float>(weight);
            return ScalarLoss{w * one.loss, w * one.slope * estimate * (1.0F - estimate)};
          });
    }
    out.loss /= weight;  // a sum over tokens
    out.gradient_norm = this->step_optimizer(options_.learning_rate);
    return out;
  }

 private:
  CriticOptions options_;
};

}  // namespace ppo
