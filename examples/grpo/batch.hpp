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

/// One micro-batch of one rank.
struct Batch {
  TokenBatch tokens;
  std::vector<PolicyTerms> terms;  // (tokens.scored()); empty: supervised, learn the answers as is
  float weight = 1;                ///< Of a token: one over the scored tokens of all ranks.
};

/// The micro-batches of data rank `index` of `ranks` for the answers of all groups.
///
/// Groups are dealt out whole and evenly; answers that tell nothing (advantage 0, as when all
/// answers of a group are right) are left out on every rank.
[[nodiscard]] inline std::vector<Batch> policy_batches(std::span<Group const> groups,
                                                       std::vector<PromptSet> const& sets,
                                                       std::int64_t micro_batches, int index,
                                                       int ranks) {
  std::vector<Batch> batches(static_cast<std::size_t>(micro_batches));
  rlhf::IndexRange const mine = rlhf::split_evenly(std::ssize(groups), ranks, index);
  std::int64_t scored = 0;
  for (std::int64_t g = 0; g < std::ssize(groups); ++g) {
    Group const& group = groups[static_cast<std::size_t>(g)];
    bool const here = g >= mine.begin && g < mine.end;
    Batch& batch = batches[static_cast<std::size_t>(
        here ? (g - mine.begin) * micro_batches / mine.size() : 0)];
    for (std::size_t a = 0; a < group.answers.size(); ++a) {
      if (group.advantages[a] == 0) {
        continue;
      }
      Answer const& answer = group.answers[a];
      scored += std::ssize(answer.tokens);
      if (here) {
        batch.tokens.add(sets[static_cast<std::size_t>(group.draw.dataset)]
                             .training[static_cast<std::size_t>(group.draw.index)]
                             .tokens,
                         answer.tokens);
        for (float const log_probability : answer.log_probabilities) {
          batch.terms.push_back(PolicyTerms{group.advantages[a], log_probability, 0});
        }
      }
    }
  }
  for (Batch& batch : batches) {
    batch.weight = scored > 0 ? 1.0F / static_cast<float>(scored) : 0.0F;
  }
  return batches;
}

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
  std::int64_t scored = 0;
  for (std::int64_t i = 0; i < std::ssize(all); ++i) {
    rlhf::data::Draw const& draw = all[static_cast<std::size_t>(i)];
    Prompt const& prompt =
        sets[static_cast<std::size_t>(draw.dataset)].training[static_cast<std::size_t>(draw.index)];
    bool const slip = random.uniform(static_cast<std::uint64_t>(i)) < slips;
    std::vector<Token> const answer = slip ? careless(prompt) : prompt.answer_tokens;
    scored += std::ssize(answer);
    if (i >= mine.begin && i < mine.end) {
      batch.tokens.add(prompt.tokens, answer);
    }
  }
  batch.weight = 1.0F / static_cast<float>(scored);
  return batch;
}

}  // namespace grpo
