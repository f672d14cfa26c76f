/// @file
/// Token sequences of different lengths, packed one after the other without padding.
#pragma once

#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace grpo {

using Token = std::int32_t;

/// Sequences for one pass through the model, and which of their tokens are scored.
///
/// A sequence is a prompt and an answer. The model reads all but the last token, which predicts
/// nothing that we ask for, and is scored on the answer's tokens: row r of its output is the
/// distribution of the token after input r. `rows[j]` is the row that predicts scored token j and
/// `targets[j]` that token; j counts answer tokens, sequence after sequence.
///
/// Example: prompt "1+2=", answer "3." gives inputs "1+2=3", rows {3, 4}, targets {'3', '.'}.
struct TokenBatch {
  std::vector<Token> inputs;              // (tokens)
  std::vector<std::ptrdiff_t> begins{0};  // (sequences + 1), of each sequence's inputs
  std::vector<std::ptrdiff_t> rows;       // (scored)
  std::vector<Token> targets;             // (scored)

  [[nodiscard]] std::ptrdiff_t tokens() const noexcept { return std::ssize(inputs); }
  [[nodiscard]] std::ptrdiff_t sequences() const noexcept { return std::ssize(begins) - 1; }
  [[nodiscard]] std::ptrdiff_t scored() const noexcept { return std::ssize(targets); }

  /// Adds one sequence, all of whose answer tokens are scored.
  void add(std::span<Token const> prompt, std::span<Token const> answer) {
    rlhf::expects(!prompt.empty(), "a sequence needs at least one prompt token");
    std::ptrdiff_t const first = tokens() + std::ssize(prompt) - 1;
    inputs.insert(inputs.end(), prompt.begin(), prompt.end());
    if (!answer.empty()) {
      inputs.insert(inputs.end(), answer.begin(), answer.end() - 1);
    }
    begins.push_back(tokens());
    for (std::ptrdiff_t j = 0; j < std::ssize(answer); ++j) {
      rows.push_back(first + j);
      targets.push_back(answer[static_cast<std::size_t>(j)]);
    }
  }
};

}  // namespace grpo
