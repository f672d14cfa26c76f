// A batch with a column of every sort.
#pragma once

#include <rlhf/data/rows.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace test {

struct Rollout {
  rlhf::data::Rows<std::int32_t> tokens;
  rlhf::data::Rows<float> hidden{2};
  std::vector<float> reward;
  std::vector<std::string> text;

  template <class Visit>
  void columns(Visit&& visit) {
    visit("tokens", tokens);
    visit("hidden", hidden);
    visit("reward", reward);
    visit("text", text);
  }
  bool operator==(Rollout const&) const = default;
};

/// Samples with these tokens; the other columns follow from them and from where they begin.
inline Rollout rollout(std::vector<std::vector<std::int32_t>> const& samples, int first) {
  Rollout out;
  for (std::vector<std::int32_t> const& tokens : samples) {
    out.tokens.push_back(tokens);
    std::vector<float> hidden;
    for (std::int32_t const token : tokens) {
      hidden.push_back(static_cast<float>(token) * 0.5F);
      hidden.push_back(static_cast<float>(first));
    }
    out.hidden.push_back(hidden);
    out.reward.push_back(static_cast<float>(first));
    out.text.push_back("sample " + std::to_string(first++));
  }
  return out;
}

}  // namespace test
