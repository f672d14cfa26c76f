/// @file
/// What happens before reinforcement learning: the policy learns from careless demonstrations, the
/// reward model learns to tell right answers from wrong ones.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/sampler.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "options.hpp"
#include "policy.hpp"
#include "scorers.hpp"
#include "values.hpp"

namespace ppo {

/// How prompts are drawn: the files in their ratios, shuffled.
[[nodiscard]] inline rlhf::data::SamplerOptions sampler_options(std::vector<PromptSet> const& sets,
                                                                std::int64_t samples,
                                                                std::uint64_t seed) {
  rlhf::data::SamplerOptions data;
  for (PromptSet const& set : sets) {
    data.dataset_sizes.push_back(std::ssize(set.training));
    data.dataset_fingerprints.push_back(set.fingerprint);
    data.ratios.push_back(set.ratio);
  }
  data.samples_per_episode = samples;
  data.seed = seed;
  return data;
}

/// An answer as tokens, its end included; no negative numbers.
[[nodiscard]] inline std::vector<Token> number_answer(std::int64_t value) {
  return grpo::Tokenizer::encode_answer(std::to_string(value));
}

/// The right answer as a number; false where it is none.
[[nodiscard]] inline bool read_number(grpo::Prompt const& prompt, std::int64_t& value) {
  char const* const end = prompt.answer.data() + prompt.answer.size();
  auto const [stop, error] = std::from_chars(prompt.answer.data(), end, value);
  return error == std::errc{} && stop == end && value >= 0;
}

/// A wrong answer: mostly near the right one, as the policy's will be, some far away, some of which
/// are no numbers or do not end. `random` gives a number in [0, 1) for each place.
[[nodiscard]] inline std::vector<Token> wrong_answer(grpo::Prompt const& prompt,
                                                     rlhf::CounterRandom const& random,
                                                     std::uint64_t place) {
  std::int64_t value = 0;
  float const kind = random.uniform(place);
  float const which = random.uniform(place + 1);
  if (!read_number(prompt, value) || kind < 0.05F) {  // the end comes late
    std::vector<Token> out = prompt.answer_tokens;
    out.insert(out.end() - 1, static_cast<Token>(grpo::Tokenizer::encode("0").front() +
                                                 static_cast<Token>(which * 10.0F)));
    return out;
  }
  if (kind < 0.45F) {
    return number_answer(value + 1);
  }
  if (kind < 0.65F) {
    return number_answer(value > 0 ? value - 1 : value + 2);
  }
  if (kind < 0.8F) {
    return number_answer(value >= 10 && which < 0.5F ? value - 10 : value + 10);
  }
  auto const other = static_cast<std::int64_t>(which * 110.0F);
  return number_answer(other == value ? other + 1 : other);
}

/// Calls `teach(prompts, random, rate)` for each step with this rank's share of the prompts drawn.
template <class M, class Teach>
void for_each_lesson(M& model, std::vector<PromptSet> const& sets, std::int64_t steps,
                     std::int64_t batch, float rate, std::uint64_t seed, Teach&& teach) {
  auto sampler = rlhf::data::make_sampler<rlhf::data::RuntimeMixture<>>(
      sampler_options(sets, batch, ~seed));  // another order than the episodes'
  std::vector<rlhf::data::Draw> draws;
  std::vector<grpo::Prompt const*> prompts;
  for (std::int64_t step = 0; model.present() && step < steps; ++step) {
    sampler.next(model.coordinate().data, model.layout().data, draws);
    prompts.clear();
    for (rlhf::data::Draw const& draw : draws) {
      prompts.push_back(&sets[static_cast<std::size_t>(draw.dataset)]
                             .training[static_cast<std::size_t>(draw.index)]);
    }
    std::uint64_t const stream = rlhf::Fingerprint()
                                     .add(static_cast<std::uint64_t>(step))
                                     .add(static_cast<std::uint64_t>(model.coordinate().data))
                                     .add(M::name)
                                     .value();
    // Up for 20 steps, then down in a line to a tenth.
    float const up = std::min(1.0F, static_cast<float>(step + 1) / 20);
    float const down = 1.0F - 0.9F * static_cast<float>(step) / static_cast<float>(steps);
    teach(prompts, rlhf::CounterRandom(seed, stream), rate * up * down);
  }
}

/// The policy learns the task and its teacher's slip: the part `slips` of the demonstrations is off
/// by one. It would rather slip than not; telling right from wrong is left to the reward.
template <class Comm>
void warm_up(Policy<Comm>& policy, std::vector<PromptSet> const& sets, Options const& options) {
  policy.start_optimizer();
  for_each_lesson(policy, sets, options.warm_up_steps, 128, 3e-3F, options.seed,
                  [&](auto const& prompts, rlhf::CounterRandom const& random, float rate) {
                    Lessons lessons;
                    for (std::size_t i = 0; i < prompts.size(); ++i) {
                      std::int64_t value = 0;
                      grpo::Prompt const& prompt = *prompts[i];
                      bool const slip = random.uniform(i) < options.slips;
                      lessons.add(prompt.tokens,
                                  slip && read_number(prompt, value) ? number_answer(value + 1)
                                                                     : prompt.answer_tokens,
                                  prompt.answer_tokens);
                    }
                    policy.imitate(lessons.prompts, lessons.answers, rate);
                  });
}

/// The reward model sees each prompt with its right answer and with a wrong one.
template <class Comm>
void warm_up(RewardModel<Comm>& reward, std::vector<PromptSet> const& sets,
             Options const& options) {
  reward.start_optimizer();
  for_each_lesson(reward, sets, options.reward_steps, 128, 3e-3F, options.seed,
                  [&](auto const& prompts, rlhf::CounterRandom const& random, float rate) {
                    Lessons lessons;
                    for (std::size_t i = 0; i < prompts.size(); ++i) {
                      grpo::Prompt const& prompt = *prompts[i];
                      std::vector<Token> const& right = prompt.answer_tokens;
                      lessons.add(prompt.tokens, right, right);
                      lessons.add(prompt.tokens, wrong_answer(prompt, random, 2 * i), right);
                    }
                    reward.learn(lessons, rate);
                  });
  reward.stop_optimizer();
}

/// The part of answers to held-out prompts, one right and one wrong each, that the reward model
/// judges as they are.
template <class Comm>
[[nodiscard]] double judgement(RewardModel<Comm>& reward, std::vector<PromptSet> const& sets,
                               std::uint64_t seed) {
  Lessons lessons;
  rlhf::CounterRandom const random(seed, 1);
  for (PromptSet const& set : sets) {
    for (grpo::Prompt const& prompt : set.held_out) {
      auto const place = static_cast<std::uint64_t>(2 * lessons.prompts.size());
      lessons.add(prompt.tokens, prompt.answer_tokens, prompt.answer_tokens);
      lessons.add(prompt.tokens, wrong_answer(prompt, random, place), prompt.answer_tokens);
    }
  }
  std::vector<float> const scores = reward.judge(lessons.prompts, lessons.answers);
  double judged = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    judged += (scores[i] > 0.5F) == (i % 2 == 0) ? 1 : 0;
  }
  return judged / static_cast<double>(scores.size());
}

}  // namespace ppo
