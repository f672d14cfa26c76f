/// @file
/// The prompts of a run: read from files, some held out for evaluation.
#pragma once

#include <rlhf/adapters/jsonl.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "numerics.hpp"
#include "options.hpp"
#include "token_batch.hpp"
#include "tokenizer.hpp"

namespace grpo {

struct Prompt {
  std::vector<Token> tokens;
  std::string answer;
  std::vector<Token> answer_tokens;  ///< With the end token.
};

/// One file of prompts.
struct PromptSet {
  std::string path;
  std::int64_t ratio = 1;
  std::vector<Prompt> training;
  std::vector<Prompt> held_out;
  std::uint64_t fingerprint = 0;  ///< Of its lines, so that a resumed run notices another file.
};

/// One prompt in ten is held out, by a hash of its text: the same ones in every run, and never a
/// prompt that is also trained on.
[[nodiscard]] inline bool is_held_out(std::string_view text) {
  return rlhf::Fingerprint().add(text).value() % 10 == 0;
}

/// Errors: as `rlhf::adapters::read_jsonl`, also, naming file and line, for rows without a prompt
/// or an answer, for characters that the tokenizer lacks, and for files that leave nothing to train
/// on or to hold out.
[[nodiscard]] inline PromptSet read_prompts(DataFile const& file) {
  PromptSet set{file.path, file.ratio, {}, {}, 0};
  rlhf::Fingerprint fingerprint;
  rlhf::adapters::read_jsonl(file.path, [&](rlhf::adapters::JsonlRow const& row) {
    std::string const& text = row.string("prompt");
    std::string const answer = row.string_or_number("answer");
    fingerprint.add(text).add(answer);
    if (text.empty()) {
      row.bad("the prompt is empty");
    }
    Prompt prompt{{}, answer, {}};
    try {
      prompt.tokens = Tokenizer::encode(text);
      prompt.answer_tokens = Tokenizer::encode_answer(answer);
    } catch (rlhf::Error const& error) {
      row.bad(error.message());
    }
    (is_held_out(text) ? set.held_out : set.training).push_back(std::move(prompt));
  });
  set.fingerprint = fingerprint.value();
  if (set.training.empty() || set.held_out.empty()) {
    rlhf::fail(rlhf::Errc::invalid_argument,
               rlhf::text(file.path, " leaves ", set.training.size(), " prompts to train on and ",
                          set.held_out.size(), " to evaluate on; both need at least one"));
  }
  return set;
}

[[nodiscard]] inline std::vector<PromptSet> read_all_prompts(std::vector<DataFile> const& files) {
  std::vector<PromptSet> sets;
  for (DataFile const& file : files) {
    sets.push_back(read_prompts(file));
  }
  return sets;
}

/// Longest prompt and longest answer, in tokens.
struct Lengths {
  Index prompt = 0;
  Index answer = 0;
};
[[nodiscard]] inline Lengths longest(std::vector<PromptSet> const& sets) {
  Lengths out;
  for (PromptSet const& set : sets) {
    for (auto const* prompts : {&set.training, &set.held_out}) {
      for (Prompt const& prompt : *prompts) {
        out.prompt = std::max(out.prompt, std::ssize(prompt.tokens));
        out.answer = std::max(out.answer, std::ssize(prompt.answer_tokens));
      }
    }
  }
  return out;
}

}  // namespace grpo
