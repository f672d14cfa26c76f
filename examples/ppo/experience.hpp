/// @file
/// From answers, scores and values to what policy and critic learn from.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "advantages.hpp"
#include "policy.hpp"
#include "values.hpp"

namespace ppo {

struct ExperienceOptions {
  float kl = 0.05F;  ///< What a nat of divergence from the reference costs.
  float gamma = 1.0F;
  float lambda = 0.95F;
};

/// The engine calls it on the policy's ranks, with their shares of the rows.
///
/// A token's reward is minus the divergence from the reference that it adds; the last one's, also
/// the score of the answer.
template <class Comm>
struct MakeExperience {
  Policy<Comm>* policy;
  ExperienceOptions options;

  Experience operator()(Prompts const& prompts, Answers const& answers,
                        ReferenceScores const& reference, Rewards const& rewards,
                        Values const& values) {
    std::vector<float> const& new_log = answers.log_probability.values();
    std::vector<float> const& reference_log = reference.log_probability.values();
    std::vector<float> token_rewards(new_log.size());
    std::vector<float> advantages(new_log.size());
    std::vector<float> targets(new_log.size());
    for (std::size_t j = 0; j < new_log.size(); ++j) {
      token_rewards[j] = options.kl * (reference_log[j] - new_log[j]);
    }
    for (std::int64_t row = 0; row < answers.tokens.size(); ++row) {
      auto const first =
          static_cast<std::size_t>(answers.tokens.begins()[static_cast<std::size_t>(row)]);
      auto const count = static_cast<std::size_t>(answers.tokens.length(row));
      float const score = rewards.score[static_cast<std::size_t>(row)];
      token_rewards[first + count - 1] += score;
      estimate_advantages(std::span(token_rewards).subspan(first, count), values.value[row],
                          options.gamma, options.lambda,
                          std::span(advantages).subspan(first, count));
    }
    for (std::size_t j = 0; j < targets.size(); ++j) {
      targets[j] = advantages[j] + values.value.values()[j];
    }
    whiten(policy->groups().data, advantages);

    Experience out;
    out.prompt = prompts.tokens;
    out.answer = answers.tokens;
    out.log_probability = answers.log_probability;
    out.advantage = rows_like(answers.tokens, std::move(advantages));
    out.value = values.value;
    out.target = rows_like(answers.tokens, std::move(targets));
    return out;
  }
};

}  // namespace ppo
