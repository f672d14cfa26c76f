/// @file
/// What the trainer learns from: micro-batches of token sequences.
#pragma once

#include <rlhf/core/math.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/data/options.hpp>

#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "losses.hpp"
#include "prompts.hpp"
#include "rollout.hpp"
#include "token_batch.hpp"

namespace grpo {

/// Token sequences that the policy, or the reference, looks at.
struct Batch {
  Batch() = default;
  /// Answers of groups. Those that tell nothing (advantage 0, as when all answers of a group are
  /// right) are left out.
  Batch(Prompts const& prompts, Groups const& groups, Scores const& scores) {
    for (std::int64_t row = 0; row < groups.tokens.size(); ++row) {
      std::span<float const> const log_probabilities = groups.log_probabilities[row];
      for_each_answer(groups, row,
                      [&](std::size_t a, std::span<Token const> answer, std::size_t begin) {
                        float const advantage = scores.advantages[row][a];
                        if (advantage != 0) {
                          tokens.add(prompts.tokens[row], answer);
                          for (std::size_t t = 0; t < answer.size(); ++t) {
                            terms.push_back({advantage, log_probabilities[begin + t], 0});
                          }
                        }
                      });
      begins.push_back(terms.size());
    }
  }
  /// The same with what the reference thinks of them.
  Batch(Prompts const& prompts, Groups const& groups, Scores const& scores,
        ReferenceScores const& reference)
      : Batch(prompts, groups, scores) {
    for (std::size_t j = 0; j < terms.size(); ++j) {
      terms[j].reference_log_probability = reference.log_probabilities.values()[j];
    }
  }

  TokenBatch tokens;
  std::vector<PolicyTerms> terms;      // (tokens.scored()); empty: learn the answers as they are
  std::vector<std::size_t> begins{0};  // (prompts + 1), of each prompt's scored tokens
};

/// A careless answer: one more than the right number. Answers that are no numbers stay as they are.
[[nodiscard]] inline std::vector<Token> careless(Prompt const& prompt) {
  std::int64_t value = 0;
  char const* const end = prompt.answer.data() + prompt.answer.size();
  auto const [stop, error] = std::from_chars(prompt.answer.data(), end, value);
  return error == std::errc{} && stop == end ? Tokenizer::encode_answer(std::to_string(value + 1))
                                             : prompt.answer_tokens;
}

/// One supervised batch: the prompts drawn, with demonstrations of which the fraction `slips` is
/// careless. `random` says which.
[[nodiscard]] inline Batch supervised_batch(std::span<rlhf::data::Draw const> all,
                                            std::vector<PromptSet> const& sets, float slips,
                                            rlhf::CounterRandom const& random, int index,
                                            int ranks) {
  Batch batch;
  rlhf::IndexRange const mine = rlhf::split_evenly(std::ssize(all), ranks, index);
  for (std::int64_t i = mine.begin; i < mine.end; ++i) {
    rlhf::data::Draw const& draw = all[static_cast<std::size_t>(i)];
    Prompt const& prompt =
        sets[static_cast<std::size_t>(draw.dataset)].training[static_cast<std::size_t>(draw.index)];
    bool const slip = random.uniform(static_cast<std::uint64_t>(i)) < slips;
    std::vector<Token> const answer = slip ? careless(prompt) : prompt.answer_tokens;
    batch.tokens.add(prompt.tokens, answer);
  }
  return batch;
}

}  // namespace grpo
