/// @file
/// Names of parameters: globs that choose some, rules that rename. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/placement.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// Whether a name fits a glob, in which `*` stands for any text, an empty one included.
[[nodiscard]] constexpr bool matches_glob(std::string_view name, std::string_view glob) noexcept {
  std::size_t n = 0;
  std::size_t g = 0;
  std::size_t star = std::string_view::npos;  // the last star, and where its text began
  std::size_t begin = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      begin = n;
    } else if (g < glob.size() && glob[g] == name[n]) {
      ++g;
      ++n;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      n = ++begin;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') {
    ++g;
  }
  return g == glob.size();
}

/// One renaming: `layers.{i}.w1` to `blocks.{i}.gate`. A `{word}` stands for a piece of a name
/// without dots that is not empty, the same piece on both sides.
struct NameRule {
  std::string from;
  std::string to;
};

namespace detail {

/// The pieces that `{word}`s of a pattern stand for in a name; false where it does not fit.
template <class T = void>
[[nodiscard]] bool match_pattern(
    std::string_view name, std::string_view pattern,
    rlhf::detail::late_vector<std::pair<std::string_view, std::string_view>, T>& words) {
  std::size_t const open = pattern.find('{');
  if (open == std::string_view::npos) {
    return name == pattern;
  }
  std::size_t const close = pattern.find('}', open);
  if (close == std::string_view::npos || name.substr(0, open) != pattern.substr(0, open)) {
    return false;
  }
  std::string_view const word = pattern.substr(open + 1, close - open - 1);
  std::string_view const rest = name.substr(open);
  std::size_t longest = rest.find('.');
  longest = longest == std::string_view::npos ? rest.size() : longest;
  for (std::size_t size = longest; size > 0; --size) {
    words.emplace_back(word, rest.substr(0, size));
    if (match_pattern(rest.substr(size), pattern.substr(close + 1), words)) {
      return true;
    }
    words.pop_back();
  }
  return false;
}

}  // namespace detail

/// Renames the source's parameters to the destination's names: the first rule that fits a whole
/// name applies, names that none fits stay.
template <class T = void>
class BasicNameMap {
 public:
  BasicNameMap() = default;
  /// Errors: invalid_argument where a rule is empty, a brace is not closed, or the new name uses a
  /// word that the old one has not.
  BasicNameMap(std::initializer_list<NameRule> rules)
      : BasicNameMap(rlhf::detail::late_vector<NameRule, T>(rules)) {}
  explicit BasicNameMap(rlhf::detail::late_vector<NameRule, T> rules) : rules_(std::move(rules)) {
    for (NameRule const& rule : rules_) {
      rlhf::detail::late_vector<std::string_view, T> const known = words_of(rule.from);
      for (std::string_view const word : words_of(rule.to)) {
        bool found = false;
        for (std::string_view const one : known) {
          found = found || one == word;
        }
        if (!found) {
          fail(Errc::invalid_argument, text("name rule ", rule.from, " -> ", rule.to, ": {", word,
                                            "} does not stand in the old name"));
        }
      }
    }
  }

  [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }

  /// The name that a source parameter has in the destination.
  [[nodiscard]] std::string operator()(std::string_view name) const {
    rlhf::detail::late_vector<std::pair<std::string_view, std::string_view>, T> words;
    for (NameRule const& rule : rules_) {
      words.clear();
      if (!detail::match_pattern(name, rule.from, words)) {
        continue;
      }
      std::string out;
      std::string_view rest = rule.to;
      for (std::size_t open = rest.find('{'); open != std::string_view::npos;
           open = rest.find('{')) {
        std::size_t const close = rest.find('}', open);
        out += rest.substr(0, open);
        for (auto const& [word, piece] : words) {
          if (word == rest.substr(open + 1, close - open - 1)) {
            out += piece;
            break;
          }
        }
        rest = rest.substr(close + 1);
      }
      return out += rest;
    }
    return std::string(name);
  }

 private:
  [[nodiscard]] static rlhf::detail::late_vector<std::string_view, T> words_of(
      std::string_view pattern) {
    std::string_view const whole = pattern;
    expects(!pattern.empty(), "a name rule needs a name on both sides");
    rlhf::detail::late_vector<std::string_view, T> words;
    for (std::size_t open = pattern.find('{'); open != std::string_view::npos;
         open = pattern.find('{')) {
      std::size_t const close = pattern.find('}', open);
      if (close == std::string_view::npos) {
        fail(Errc::invalid_argument, text("name rule ", whole, ": a brace is not closed"));
      }
      words.push_back(pattern.substr(open + 1, close - open - 1));
      pattern = pattern.substr(close + 1);
    }
    return words;
  }

  rlhf::detail::late_vector<NameRule, T> rules_;
};
using NameMap = BasicNameMap<>;

/// Gives the parameters of a placement their new names.
///
/// Errors: incompatible_policy naming both where two parameters would get the same name.
template <class T>
void rename(BasicPlacement<T>& placement, BasicNameMap<T> const& names) {
  if (names.empty()) {
    return;
  }
  rlhf::detail::late_vector<std::pair<std::string, std::string>, T> both;  // new, old
  for (auto& parameter : placement.parameters) {
    both.emplace_back(names(parameter.name), parameter.name);
    parameter.name = both.back().first;
  }
  rlhf::detail::sort(both);
  for (std::size_t i = 1; i < both.size(); ++i) {
    if (both[i].first == both[i - 1].first) {
      fail(Errc::incompatible_policy,
           text("the name map calls both ", both[i - 1].second, " and ", both[i].second, " ",
                both[i].first, "; each destination parameter needs exactly one source"));
    }
  }
}

/// Leaves only the parameters for which `wanted(name)` holds.
template <class T, class Wanted>
void keep(BasicPlacement<T>& placement, Wanted&& wanted) {
  std::erase_if(placement.parameters,
                [&](auto const& parameter) { return !wanted(std::string_view(parameter.name)); });
}

}  // namespace rlhf::inline v0::plan
