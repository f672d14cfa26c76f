/// @file
/// Says in words what a setting may be. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>
#include <rlhf/config/member_types.hpp>
#include <rlhf/core/text.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::config::detail {

/// `from 1 to 8`, `of at least 1`, nothing.
[[nodiscard]] inline std::string range_words(Limits const& limits) {
  bool const below = limits.least != INT64_MIN;
  bool const above = limits.most != INT64_MAX;
  if (below && above) {
    return limits.least == limits.most ? text(" that is ", limits.least)
                                       : text(" from ", limits.least, " to ", limits.most);
  }
  return below ? text(" of at least ", limits.least) : "";
}
[[nodiscard]] inline std::string real_range_words(Limits const& limits) {
  bool const below = limits.least_real > -1e308;
  bool const above = limits.most_real < 1e300;
  if (below && above) {
    return text(" from ", limits.least_real, limits.below_most ? " up to, not including, " : " to ",
                limits.most_real);
  }
  return below ? text(" of at least ", limits.least_real) : "";
}

/// `one of fixed, dynamic`.
template <class E>
[[nodiscard]] std::string choice_words() {
  std::string out;
  for (std::string_view const name : Choices<E>::names) {
    out += text(out.empty() ? "one of " : ", ", name);
  }
  return out;
}

/// What a member of this type may be: `a whole number from 1 to 8`.
template <class T>
[[nodiscard]] std::string wanted(Limits const& limits) {
  if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (is_whole<T>) {
    return "a whole number" + range_words(limits);
  } else if constexpr (std::is_same_v<T, double>) {
    return "a number" + real_range_words(limits);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return limits.least > 0 ? "a text that is not empty" : "a text";
  } else if constexpr (HasChoices<T>) {
    return choice_words<T>();
  } else if constexpr (is_optional<T>) {
    return wanted<typename OptionalOf<T>::type>(limits) + ", or null";
  } else if constexpr (std::is_same_v<T, std::vector<std::vector<std::string>>>) {
    return R"(a list of groups of names, such as ["a, b"] or [["a", "b"]])";
  } else if constexpr (is_list<T>) {
    return "a list, each element " + wanted<typename ElementOf<T>::type>(limits);
  } else {
    return "a section { ... }";
  }
}

}  // namespace rlhf::inline v0::config::detail
