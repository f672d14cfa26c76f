/// @file
/// The values that go from one stage of a rollout to the next: columns, one row an answer.
#pragma once

#include <rlhf/data/options.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "../grpo/prompts.hpp"
#include "../grpo/token_batch.hpp"

namespace ppo {

using grpo::PromptSet;
using grpo::Token;
using TokenRows = rlhf::data::Rows<Token>;
using FloatRows = rlhf::data::Rows<float>;

/// What is asked.
struct Prompts {
  std::vector<std::int64_t> dataset;
  std::vector<std::int64_t> index;  ///< In the dataset.
  std::vector<std::int64_t> id;     ///< Unique within an episode.
  TokenRows tokens;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("dataset", dataset);
    visit("index", index);
    visit("id", id);
    visit("tokens", tokens);
  }
};

/// What the generator answered, and how likely each of its tokens was.
struct Answers {
  TokenRows tokens;
  FloatRows log_probability;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("tokens", tokens);
    visit("log_probability", log_probability);
  }
};

/// How likely the answers' tokens are under the frozen reference.
struct ReferenceScores {
  FloatRows log_probability;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("log_probability", log_probability);
  }
};

/// What the reward model thinks of each answer as a whole.
struct Rewards {
  std::vector<float> score;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("score", score);
  }
};

/// What the critic expected before each of the answers' tokens.
struct Values {
  FloatRows value;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("value", value);
  }
};

/// What policy and critic are trained on.
struct Experience {
  TokenRows prompt;
  TokenRows answer;
  FloatRows log_probability;  ///< When the answer was generated.
  FloatRows advantage;        ///< Whitened over all answers of the episode.
  FloatRows value;            ///< Before training.
  FloatRows target;           ///< What the critic should have said.

  template <class Visit>
  void columns(Visit&& visit) {
    visit("prompt", prompt);
    visit("answer", answer);
    visit("log_probability", log_probability);
    visit("advantage", advantage);
    visit("value", value);
    visit("target", target);
  }
};

/// Prompts that the data policy drew.
[[nodiscard]] inline Prompts prompts_of(std::span<rlhf::data::Draw const> draws,
                                        std::vector<PromptSet> const& sets) {
  Prompts out;
  for (rlhf::data::Draw const& draw : draws) {
    out.dataset.push_back(draw.dataset);
    out.index.push_back(draw.index);
    out.id.push_back(draw.id);
    out.tokens.push_back(sets[static_cast<std::size_t>(draw.dataset)]
                             .training[static_cast<std::size_t>(draw.index)]
                             .tokens);
  }
  return out;
}

/// Prompts with answers for a pass through a model that scores the answers' tokens. Scored token j
/// is `answers.values()[j]`.
[[nodiscard]] inline grpo::TokenBatch sequences_of(TokenRows const& prompts,
                                                   TokenRows const& answers) {
  grpo::TokenBatch batch;
  for (std::int64_t row = 0; row < prompts.size(); ++row) {
    batch.add(prompts[row], answers[row]);
  }
  return batch;
}

/// The same for a model that reads the answers to their ends: scored row j is behind token
/// `answers.values()[j]`. Targets are left to who knows them.
[[nodiscard]] inline grpo::TokenBatch whole_sequences_of(TokenRows const& prompts,
                                                         TokenRows const& answers) {
  grpo::TokenBatch batch;
  std::vector<Token> all;
  for (std::int64_t row = 0; row < prompts.size(); ++row) {
    all.assign(prompts[row].begin(), prompts[row].end());
    all.insert(all.end(), answers[row].begin(), answers[row].end());
    std::ptrdiff_t const first = batch.tokens() + std::ssize(prompts[row]);
    batch.add(all, {});
    for (std::ptrdiff_t j = 0; j < std::ssize(answers[row]); ++j) {
      batch.rows.push_back(first + j);
    }
  }
  return batch;
}

/// Numbers of all rows, one after the other, cut as `like` is.
template <class T>
[[nodiscard]] FloatRows rows_like(rlhf::data::Rows<T> const& like, std::vector<float> values) {
  FloatRows out;
  out.assign(std::move(values), like.begins());
  return out;
}

/// What a model's forward_step takes: prompts and the answers to them.
struct Sequences {
  Sequences(Prompts const& asked, Answers const& given)
      : prompts(&asked.tokens),
        answers(&given.tokens) {}
  TokenRows const* prompts;
  TokenRows const* answers;
};

}  // namespace ppo
