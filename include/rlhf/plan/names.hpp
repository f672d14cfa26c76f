/// @file
/// Names of parameters: globs that choose some, rules that rename. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/placement.hpp>

#include <cstddef>
#include <cstdint>
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

/// The pieces that `{word}`s of a pattern stand for in a name; false where it does not fit. Words
/// take the longest piece that fits, the first word first.
///
/// Cost: at most the name's length, squared, times the words: what did not fit is not tried again.
template <class T = void>
class PatternMatch {
 public:
  using Words = rlhf::detail::late_vector<std::pair<std::string_view, std::string_view>, T>;

  [[nodiscard]] bool operator()(std::string_view name, std::string_view pattern, Words& words) {
    tried_.clear();
    width_ = name.size() + 1;
    return fits(name, pattern, words);
  }

 private:
  [[nodiscard]] bool fits(std::string_view name, std::string_view pattern, Words& words) {
    std::size_t const open = pattern.find('{');
    if (open == std::string_view::npos) {
      return name == pattern;
    }
    std::size_t const close = pattern.find('}', open);
    if (close == std::string_view::npos || name.substr(0, open) != pattern.substr(0, open)) {
      return false;
    }
    // That many words into the pattern and that much of the name left: the same question again.
    std::size_t const question = words.size() * width_ + name.size();
    if (question >= tried_.size()) {
      tried_.resize((words.size() + 1) * width_, 0);
    }
    if (tried_[question] != 0) {
      return false;
    }
    tried_[question] = 1;
    std::string_view const word = pattern.substr(open + 1, close - open - 1);
    std::string_view const rest = name.substr(open);
    std::size_t longest = rest.find('.');
    longest = longest == std::string_view::npos ? rest.size() : longest;
    for (std::size_t size = longest; size > 0; --size) {
      words.emplace_back(word, rest.substr(0, size));
      if (fits(rest.substr(size), pattern.substr(close + 1), words)) {
        return true;
      }
      words.pop_back();
    }
    return false;
  }

  rlhf::detail::late_vector<std::uint8_t, T> tried_;
  std::size_t width_ = 0;
};

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
  [[nodiscard]] rlhf::detail::late_vector<NameRule, T> const& rules() const noexcept {
    return rules_;
  }

  /// The name that a source parameter has in the destination.
  [[nodiscard]] std::string operator()(std::string_view name) const {
    std::size_t rule = 0;
    return renamed(name, rule);
  }
  /// The same, and the number of the rule that said so; that of all rules where none did.
  [[nodiscard]] std::string renamed(std::string_view name, std::size_t& number) const {
    typename detail::PatternMatch<T>::Words words;
    detail::PatternMatch<T> match;
    for (number = 0; number < rules_.size(); ++number) {
      NameRule const& rule = rules_[number];
      words.clear();
      if (!match(name, rule.from, words)) {
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
      if (close == std::string_view::npos || pattern.find('{', open + 1) < close) {
        fail(Errc::invalid_argument, text("name rule ", whole, ": a brace is not closed"));
      }
      if (pattern.find('}') < open) {
        break;
      }
      words.push_back(pattern.substr(open + 1, close - open - 1));
      pattern = pattern.substr(close + 1);
    }
    if (pattern.find('}') != std::string_view::npos) {
      fail(Errc::invalid_argument, text("name rule ", whole, ": a brace is closed but not opened"));
    }
    return words;
  }

  rlhf::detail::late_vector<NameRule, T> rules_;
};
using NameMap = BasicNameMap<>;

/// Gives the parameters of a placement their new names.
///
/// Errors: incompatible_policy naming both where two parameters would get the same name, or the
/// rule that no parameter's name fits.
template <class T>
void rename(BasicPlacement<T>& placement, BasicNameMap<T> const& names) {
  if (names.empty()) {
    return;
  }
  rlhf::detail::late_vector<std::pair<std::string, std::string>, T> both;  // new, old
  rlhf::detail::late_vector<std::uint8_t, T> applied(names.rules().size() + 1, 0);
  for (auto& parameter : placement.parameters) {
    std::size_t rule = 0;
    both.emplace_back(names.renamed(parameter.name, rule), parameter.name);
    parameter.name = both.back().first;
    applied[rule] = 1;
  }
  for (std::size_t r = 0; r < names.rules().size(); ++r) {
    if (applied[r] == 0) {
      NameRule const& rule = names.rules()[r];
      fail(Errc::incompatible_policy,
           text("name rule ", rule.from, " -> ", rule.to,
                ": no source parameter has such a name that no earlier rule takes"));
    }
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
