/// @file
/// The policy that generates: another layout, the same weights after every sync.
#pragma once

#include <rlhf/core/ids.hpp>
#include <rlhf/data/evaluation.hpp>
#include <rlhf/data/options.hpp>

#include <span>
#include <string_view>
#include <vector>

#include "actor.hpp"
#include "generate.hpp"
#include "prompts.hpp"
#include "rollout.hpp"

namespace grpo {

/// Prompts to answer: their places in the mixture and their tokens.
struct PromptBatch {
  std::vector<rlhf::data::Draw> draws;
  std::vector<std::span<Token const>> tokens;
};

/// Draws prompts by the data policy, answers them.
template <class Comm, class Grid, class Data>
class Generator : public Model<Comm, Grid, Data> {
 public:
  static constexpr std::string_view name = "generator";
  using Batch = PromptBatch;
  using Model<Comm, Grid, Data>::Model;

  void set_generation(GenerateOptions options) noexcept { options_ = options; }

  /// This replica's prompts of the next episode.
  [[nodiscard]] PromptBatch next_prompts(std::vector<PromptSet> const& sets) {
    PromptBatch batch;
    this->draw(batch.draws);
    for (rlhf::data::Draw const& draw : batch.draws) {
      batch.tokens.emplace_back(sets[static_cast<std::size_t>(draw.dataset)]
                                    .training[static_cast<std::size_t>(draw.index)]
                                    .tokens);
    }
    return batch;
  }

  /// Hook: several sampled answers to each prompt.
  [[nodiscard]] std::vector<Group> forward_step(Batch const& batch, rlhf::Step) {
    GenerateOptions options = options_;
    options.episode = static_cast<std::uint64_t>(this->episode().value);
    std::vector<Answer> answers = answer(batch, options);
    std::vector<Group> groups(batch.draws.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      Group& group = groups[i / static_cast<std::size_t>(options.samples)];
      group.answers.push_back(std::move(answers[i]));
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      groups[g].draw = batch.draws[g];
    }
    return groups;
  }

  /// Hook: the likeliest answer to each prompt.
  [[nodiscard]] std::vector<Answer> eval_step(Batch const& batch) {
    GenerateOptions options = options_;
    options.choice = Choice::likeliest;
    options.samples = 1;
    return answer(batch, options);
  }

 private:
  [[nodiscard]] std::vector<Answer> answer(Batch const& batch, GenerateOptions const& options) {
    std::vector<GenerateRequest> requests;
    for (std::size_t i = 0; i < batch.draws.size(); ++i) {
      requests.push_back({batch.tokens[i], static_cast<std::uint64_t>(batch.draws[i].id)});
    }
    return generate(this->transformer(), std::span<GenerateRequest const>(requests), options);
  }

  GenerateOptions options_{};
};

}  // namespace grpo
