/// @file
/// Sampling of answers, all sequences of a call together, with cached keys and values.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/rng.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "token_batch.hpp"
#include "transformer.hpp"

namespace grpo {

/// How the next token is chosen.
enum class Choice {
  sample,    ///< By its probability (temperature 1).
  likeliest  ///< The most probable one: for evaluation.
};

struct GenerateOptions {
  Choice choice = Choice::sample;
  Index samples = 1;     ///< Answers per prompt.
  Index max_tokens = 8;  ///< Longest answer, the end token included.
  Token end = 0;         ///< Token that ends an answer; it is part of the answer.
  std::uint64_t seed = 0;
  std::uint64_t episode = 0;
};

/// A prompt and the number that addresses its random draws: unique within an episode.
struct GenerateRequest {
  std::span<Token const> prompt;
  std::uint64_t id = 0;
};

/// A generated answer. `finished` is false where `max_tokens` came before the end token.
struct Answer {
  std::vector<Token> tokens;
  std::vector<float> log_probabilities;
  bool finished = false;
};

/// Chooses a token from logits, which become probabilities. `draw` is uniform in [0, 1).
[[nodiscard]] inline Token choose_token(std::span<float> logits, Choice choice, float draw) {
  auto const count = static_cast<Index>(logits.size());
  softmax(logits.data(), count);
  std::size_t best = 0;
  if (choice == Choice::likeliest) {
    for (std::size_t v = 1; v < logits.size(); ++v) {
      best = logits[v] > logits[best] ? v : best;
    }
    return static_cast<Token>(best);
  }
  float sum = 0;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    best = logits[v] > 0 ? v : best;  // where rounding leaves the sum below the draw
    sum += logits[v];
    if (draw < sum) {
      return static_cast<Token>(v);
    }
  }
  return static_cast<Token>(best);
}

/// Generates `options.samples` answers to every prompt; those to prompt i are at
/// [i x samples, (i + 1) x samples).
///
/// The random number of a token is addressed by (seed, episode, request id, sample, position), so
/// an answer depends neither on the other prompts of the call nor on the number of tensor ranks,
/// all of which choose the same tokens without a word: their logits are equal to the bit.
///
/// Cost: a token of all sequences together takes 2 all-reduces a layer.
/// Errors: invalid_argument where a prompt and its answer do not fit the model.
template <rlhf::comm::Communicator Comm>
[[nodiscard]] std::vector<Answer> generate(Transformer<Comm>& model,
                                           std::span<GenerateRequest const> requests,
                                           GenerateOptions const& options) {
  std::vector<Answer> answers(requests.size() * static_cast<std::size_t>(options.samples));
  if (answers.empty()) {
    return answers;
  }
  TokenBatch prompts;
  for (GenerateRequest const& request : requests) {
    rlhf::expects(std::ssize(request.prompt) + options.max_tokens <= model.config().max_length + 1,
                  "a prompt and its longest answer must fit the model's max_length");
    prompts.add(request.prompt, {});
  }

  struct Sequence {
    std::size_t slot;
    Index length;  // tokens read so far
    rlhf::CounterRandom random;
  };
  std::vector<Sequence> open;
  for (std::size_t slot = 0; slot < answers.size(); ++slot) {
    GenerateRequest const& request = requests[slot / static_cast<std::size_t>(options.samples)];
    std::uint64_t const sample = slot % static_cast<std::size_t>(options.samples);
    std::uint64_t const stream =
        rlhf::Fingerprint().add(options.episode).add(request.id).add(sample).value();
    open.push_back({slot, std::ssize(request.prompt), {options.seed, stream}});
  }

  KeyValueCache cache;
  Matrix const first =
      model.read_prompts(prompts, options.samples, cache);  // (prompts, vocabulary)
  std::vector<float> scores;
  for (Index i = 0; i < first.rows; ++i) {
    for (Index k = 0; k < options.samples; ++k) {
      scores.insert(scores.end(), first.row(i), first.row(i) + first.columns);
    }
  }
  Matrix logits{scores.data(), std::ssize(open), first.columns};  // (open, vocabulary)

  std::vector<Token> tokens;
  std::vector<Index> slots;
  std::vector<Index> positions;
  for (Index step = 0;; ++step) {
    tokens.clear();
    slots.clear();
    positions.clear();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < open.size(); ++i) {
      Sequence sequence = open[i];
      Answer& answer = answers[sequence.slot];
      std::span<float> const row(logits.row(static_cast<Index>(i)),
                                 static_cast<std::size_t>(logits.columns));
      float const draw = sequence.random.uniform(static_cast<std::uint64_t>(step));
      Token const token = choose_token(row, options.choice, draw);
      answer.tokens.push_back(token);
      answer.log_probabilities.push_back(std::log(row[static_cast<std::size_t>(token)]));
      answer.finished = token == options.end;
      if (!answer.finished && step + 1 < options.max_tokens) {
        tokens.push_back(token);
        slots.push_back(static_cast<Index>(sequence.slot));
        positions.push_back(sequence.length++);
        open[kept++] = sequence;
      }
    }
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(kept), open.end());
    if (open.empty()) {
      return answers;
    }
    logits = model.read_tokens(tokens, slots, positions, cache);
  }
}

}  // namespace grpo
