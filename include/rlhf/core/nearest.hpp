/// @file
/// The nearest of several words, for messages about misspelt ones. Layer: core.
#pragma once

#include <rlhf/core/config.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace rlhf::inline v0 {

/// Changes of one letter that make one word of the other. Cost: the product of the lengths.
template <class Late = void>
[[nodiscard]] std::size_t letters_apart(std::string_view a, std::string_view b) {
  std::vector<rlhf::detail::late<std::size_t, Late>> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::size_t const change = corner + (a[i] == b[j] ? 0U : 1U);
      corner = row[j + 1];
      std::size_t const step = 1 + (row[j] < corner ? row[j] : corner);
      row[j + 1] = change < step ? change : step;
    }
  }
  return row[b.size()];
}

/// The known word that the fewest changes lead to, the first among equals; empty where none is
/// known. Only the first 40 letters of `word` count.
template <class = void>
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<std::string_view const> known) {
  word = word.substr(0, 40);
  std::string_view found;
  std::size_t least = static_cast<std::size_t>(-1);
  for (std::string_view const one : known) {
    std::size_t const apart = letters_apart(word, one);
    if (apart < least) {
      least = apart;
      found = one;
    }
  }
  return found;
}

}  // namespace rlhf::inline v0
