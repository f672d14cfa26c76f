/// @file
/// What passes between the stages of a rollout: columns with one row a prompt.
#pragma once

#include <rlhf/data/options.hpp>
#include <rlhf/data/rows.hpp>

#include <cstdint>
#include <span>
#include <vector>

#include "advantage.hpp"
#include "generate.hpp"
#include "prompts.hpp"
#include "reward.hpp"

namespace grpo {

/// Prompts to answer: their places in the mixture and their tokens.
struct Prompts {
  std::vector<std::int32_t> dataset;
  std::vector<std::int64_t> index;
  std::vector<std::int64_t> id;
  rlhf::data::Rows<Token> tokens;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("dataset", dataset);
    visit("index", index);
    visit("id", id);
    visit("tokens", tokens);
  }
};

/// The group of answers that was sampled to each prompt, one after the other.
struct Groups {
  rlhf::data::Rows<Token> tokens;
  rlhf::data::Rows<std::int64_t> lengths;     ///< Of each answer.
  rlhf::data::Rows<float> log_probabilities;  ///< Of each token, when it was sampled.

  template <class Visit>
  void columns(Visit&& visit) {
    visit("tokens", tokens);
    visit("lengths", lengths);
    visit("log_probabilities", log_probabilities);
  }
};

/// What each answer earned, and how much better than its group that is.
struct Scores {
  rlhf::data::Rows<float> rewards;
  rlhf::data::Rows<float> advantages;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("rewards", rewards);
    visit("advantages", advantages);
  }
};

/// Log-probabilities under the frozen reference, of the tokens of answers that tell something.
struct ReferenceScores {
  rlhf::data::Rows<float> log_probabilities;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("log_probabilities", log_probabilities);
  }
};

/// The prompts of `draws`, training or held out.
[[nodiscard]] inline Prompts prompts_of(std::span<rlhf::data::Draw const> draws,
                                        std::vector<PromptSet> const& sets,
                                        std::vector<Prompt> PromptSet::*of = &PromptSet::training) {
  Prompts out;
  for (rlhf::data::Draw const& draw : draws) {
    out.dataset.push_back(draw.dataset);
    out.index.push_back(draw.index);
    out.id.push_back(draw.id);
    out.tokens.push_back(
        (sets[static_cast<std::size_t>(draw.dataset)].*of)[static_cast<std::size_t>(draw.index)]
            .tokens);
  }
  return out;
}

/// Calls `visit(answer's number, its tokens, where they begin in the group)` for each answer.
template <class Visit>
void for_each_answer(Groups const& groups, std::int64_t row, Visit&& visit) {
  std::size_t begin = 0;
  std::size_t number = 0;
  for (std::int64_t const length : groups.lengths[row]) {
    auto const size = static_cast<std::size_t>(length);
    visit(number++, groups.tokens[row].subspan(begin, size), begin);
    begin += size;
  }
}

/// Rewards and advantages of groups of answers.
[[nodiscard]] inline Scores score(Prompts const& prompts, Groups const& groups,
                                  std::vector<PromptSet> const& sets) {
  Scores out;
  std::vector<float> rewards;
  std::vector<float> advantages;
  for (std::int64_t row = 0; row < groups.tokens.size(); ++row) {
    auto const at = static_cast<std::size_t>(row);
    Prompt const& prompt = sets[static_cast<std::size_t>(prompts.dataset[at])]
                               .training[static_cast<std::size_t>(prompts.index[at])];
    rewards.clear();
    for_each_answer(groups, row, [&](std::size_t, std::span<Token const> answer, std::size_t) {
      rewards.push_back(exact_match_reward(answer, prompt.answer));
    });
    advantages.resize(rewards.size());
    group_advantages(rewards, advantages);
    out.rewards.push_back(rewards);
    out.advantages.push_back(advantages);
  }
  return out;
}

}  // namespace grpo
