/// @file
/// Real weights of datasets as whole numbers, and as text. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::data {

/// What the shares of all datasets add up to: a share has 18 decimal places.
inline constexpr std::int64_t whole_share = 1'000'000'000'000'000'000;
/// The smallest share but 0 that a mixture takes, about one prompt in a million.
inline constexpr std::int64_t smallest_share = whole_share >> 20;

/// Weights as shares: in proportion, rounded down to 18 decimal places; what that leaves goes to
/// the largest, the first among equals. The same on every machine with IEEE doubles.
///
/// Errors: invalid_argument that says which weight is negative, not finite or too small, or that
/// all are 0.
template <class Late = void>
[[nodiscard]] std::vector<rlhf::detail::late<std::int64_t, Late>> shares_of(
    std::vector<rlhf::detail::late<double, Late>> const& weights) {
  constexpr double most = 1e300;  // so that sums stay finite
  double sum = 0;
  std::size_t largest = 0;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    if (!(weights[d] >= 0 && weights[d] <= most)) {
      fail(Errc::invalid_argument, text("the weight of dataset ", d, " is negative, larger than ",
                                        "1e300 or no number; give each a part, such as 0.7"));
    }
    sum += weights[d];
    largest = weights[d] > weights[largest] ? d : largest;
  }
  if (!(sum > 0)) {
    fail(Errc::invalid_argument,
         "all weights are 0, so there is nothing to draw; one of them must be positive");
  }
  std::vector<rlhf::detail::late<std::int64_t, Late>> shares;
  std::int64_t rest = whole_share;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    double const part = weights[d] / sum;
    shares.push_back(static_cast<std::int64_t>(part * static_cast<double>(whole_share)));
    rest -= shares.back();
    if (weights[d] > 0 && shares.back() < smallest_share) {
      fail(Errc::invalid_argument, text("the weight of dataset ", d,
                                        " is less than 2^-20 of all, one prompt in a million; ",
                                        "make it larger, or 0 to leave the dataset out"));
    }
  }
  shares[largest] += rest;
  return shares;
}

/// A share as a decimal fraction without needless zeros: `0.7`.
template <class = void>
[[nodiscard]] std::string share_text(std::int64_t share) {
  if (share == whole_share || share == 0) {
    return share == 0 ? "0" : "1";
  }
  std::string out = "0.000000000000000000";
  for (std::size_t i = out.size(); i-- > 2; share /= 10) {
    out[i] = static_cast<char>('0' + share % 10);
  }
  out.resize(out.find_last_not_of('0') + 1);
  return out;
}

/// Reads what `share_text` wrote; false for anything else.
template <class = void>
[[nodiscard]] bool parse_share(std::string_view word, std::int64_t& share) {
  if (word == "0" || word == "1") {
    share = word == "1" ? whole_share : 0;
    return true;
  }
  if (word.size() < 3 || word.size() > 20 || word.substr(0, 2) != "0." || word.back() == '0') {
    return false;
  }
  share = 0;
  for (std::size_t i = 2; i < 20; ++i) {
    char const digit = i < word.size() ? word[i] : '0';
    if (digit < '0' || digit > '9') {
      return false;
    }
    share = share * 10 + (digit - '0');
  }
  return true;
}

}  // namespace rlhf::inline v0::data
