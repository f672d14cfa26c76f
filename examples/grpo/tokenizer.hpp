/// @file
/// Text to tokens and back, one token a character.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "token_batch.hpp"

namespace grpo {

/// The vocabulary: token 0 ends an answer, tokens 1 to 95 are the printable ASCII characters.
class Tokenizer {
 public:
  static constexpr Token end = 0;
  static constexpr Token size = 96;

  /// Errors: invalid_argument, naming the character and its place, for anything but printable
  /// ASCII.
  [[nodiscard]] static std::vector<Token> encode(std::string_view characters) {
    std::vector<Token> tokens;
    tokens.reserve(characters.size() + 1);
    for (std::size_t i = 0; i < characters.size(); ++i) {
      int const code = static_cast<unsigned char>(characters[i]);
      if (code < first_character || code >= first_character + size - 1) {
        rlhf::fail(rlhf::Errc::invalid_argument,
                   rlhf::text("the vocabulary is printable ASCII and lacks the byte ", code,
                              " at position ", i, " of \"", characters, "\""));
      }
      tokens.push_back(code - first_character + 1);
    }
    return tokens;
  }

  /// As `encode`, with the end token behind the text: an answer that the model shall give.
  [[nodiscard]] static std::vector<Token> encode_answer(std::string_view characters) {
    std::vector<Token> tokens = encode(characters);
    tokens.push_back(end);
    return tokens;
  }

  /// The text up to the end token.
  [[nodiscard]] static std::string decode(std::span<Token const> tokens) {
    std::string out;
    for (Token const token : tokens) {
      if (token == end) {
        break;
      }
      out.push_back(static_cast<char>(token + first_character - 1));
    }
    return out;
  }

 private:
  static constexpr Token first_character = ' ';
};

}  // namespace grpo
