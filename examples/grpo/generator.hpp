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

/// Draws prompts by the data policy, answers them.
template <class Comm, class Grid, class Data>
class Generator : public Model<Comm, Grid, Data> {
 public:
  static constexpr std::string_view name = "generator";
  using Batch = Prompts;
  using Model<Comm, Grid, Data>::Model;

  void set_generation(GenerateOptions options) noexcept { options_ = options; }

  /// Hook: several sampled answers to each prompt.
  [[nodiscard]] Groups forward_step(Batch const& batch, rlhf::Step) {
    GenerateOptions options = options_;
    options.episode = static_cast<std::uint64_t>(this->episode().value);
    std::vector<Answer> const answers = answer(batch, options);
    Groups groups;
    std::vector<Token> tokens;
    std::vector<float> log_probabilities;
    std::vector<std::int64_t> lengths;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      Answer const& one = answers[i];
      tokens.insert(tokens.end(), one.tokens.begin(), one.tokens.end());
      log_probabilities.insert(log_probabilities.end(), one.log_probabilities.begin(),
                               one.log_probabilities.end());
      lengths.push_back(std::ssize(one.tokens));
      if ((i + 1) % static_cast<std::size_t>(options.samples) == 0) {
        groups.tokens.push_back(tokens);
        groups.log_probabilities.push_back(log_probabilities);
        groups.lengths.push_back(lengths);
        tokens.clear();
        log_probabilities.clear();
        lengths.clear();
      }
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
    for (std::size_t i = 0; i < batch.id.size(); ++i) {
      requests.push_back(
          {batch.tokens[static_cast<std::int64_t>(i)], static_cast<std::uint64_t>(batch.id[i])});
    }
    return generate(this->transformer(), std::span<GenerateRequest const>(requests), options);
  }

  GenerateOptions options_{};
};

}  // namespace grpo
