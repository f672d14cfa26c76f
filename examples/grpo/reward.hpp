/// @file
/// The verifiable reward: a rule that a program can check, no learned model.
#pragma once

#include <span>
#include <string_view>

#include "token_batch.hpp"
#include "tokenizer.hpp"

namespace grpo {

/// 1 where the answer is exactly the expected text followed by the end token, else 0.
///
/// Nothing for a part: an answer without its end, with a wrong digit or one too many earns nothing.
[[nodiscard]] inline float exact_match_reward(std::span<Token const> answer,
                                              std::string_view expected) {
  bool const ended = !answer.empty() && answer.back() == Tokenizer::end;
  return ended && Tokenizer::decode(answer) == expected ? 1.0F : 0.0F;
}

}  // namespace grpo
