/// @file
/// Group-relative advantages.
#pragma once

#include <cmath>
#include <span>

namespace grpo {

/// How much better each answer to one prompt is than the answers to it on average, in standard
/// deviations of their rewards. All 0 where all rewards are equal: such a group teaches nothing.
///
/// Source: Shao et al., "DeepSeekMath", 2024, section 4.1.2.
/// // rewards, advantages: (answers to one prompt)
inline void group_advantages(std::span<float const> rewards, std::span<float> advantages) noexcept {
  auto const count = static_cast<float>(rewards.size());
  float mean = 0;
  for (float const reward : rewards) {
    mean += reward / count;
  }
  float variance = 0;
  for (float const reward : rewards) {
    variance += (reward - mean) * (reward - mean) / count;
  }
  float const deviation = std::sqrt(variance);
  for (std::size_t i = 0; i < rewards.size(); ++i) {
    advantages[i] = deviation > 1e-4F ? (rewards[i] - mean) / (deviation + 1e-4F) : 0.0F;
  }
}

}  // namespace grpo
