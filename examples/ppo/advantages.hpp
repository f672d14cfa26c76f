/// @file
/// Advantages of answers from rewards and values, and the losses of PPO's critic.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>

#include <cmath>
#include <cstddef>
#include <span>

#include "scalar_head.hpp"

namespace ppo {

/// Generalised advantage estimation over one answer.
///
/// delta_t = r_t + gamma v_(t+1) - v_t, where the value behind the last token is 0;
/// advantage_t = delta_t + gamma lambda advantage_(t+1).
/// Source: Schulman et al., "High-dimensional continuous control using GAE", 2016, equation 16.
/// // rewards, values, advantages: (tokens)
inline void estimate_advantages(std::span<float const> rewards, std::span<float const> values,
                                float gamma, float lambda, std::span<float> advantages) noexcept {
  float next_value = 0;
  float next_advantage = 0;
  for (std::size_t t = rewards.size(); t-- > 0;) {
    float const delta = rewards[t] + gamma * next_value - values[t];
    advantages[t] = delta + gamma * lambda * next_advantage;
    next_advantage = advantages[t];
    next_value = values[t];
  }
}

/// Shifts and scales what all ranks of `comm` hold to mean 0 and deviation 1. Collective.
/// Cost: two all-reduces of a few numbers.
template <rlhf::comm::Communicator Comm>
void whiten(Comm& comm, std::span<float> values) {
  double sums[2] = {0, static_cast<double>(values.size())};
  for (float const value : values) {
    sums[0] += static_cast<double>(value);
  }
  rlhf::comm::all_reduce(comm, std::span<double>(sums));
  if (sums[1] < 1) {
    return;
  }
  double const mean = sums[0] / sums[1];
  double squares = 0;
  for (float const value : values) {
    squares += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean);
  }
  rlhf::comm::all_reduce(comm, std::span<double>(&squares, 1));
  double const scale = 1.0 / (std::sqrt(squares / sums[1]) + 1e-6);
  for (float& value : values) {
    value = static_cast<float>((static_cast<double>(value) - mean) * scale);
  }
}

/// What the critic's loss needs to know about a token besides its new value.
struct ValueTerms {
  float old_value = 0;
  float target = 0;
};

/// Half the squared error, of the value or of the value held within `clip` of the old one,
/// whichever is larger: the critic, too, takes small steps.
[[nodiscard]] inline ScalarLoss value_loss(float value, ValueTerms const& terms,
                                           float clip) noexcept {
  float const low = terms.old_value - clip;
  float const high = terms.old_value + clip;
  float const held = value < low ? low : value > high ? high : value;
  float const error = value - terms.target;
  float const held_error = held - terms.target;
  if (held_error * held_error > error * error) {  // then the value was held, which has no slope
    return {0.5F * held_error * held_error, 0};
  }
  return {0.5F * error * error, error};
}

/// 1 / (1 + exp(-x)).
[[nodiscard]] inline float sigmoid(float x) noexcept {
  return 1.0F / (1.0F + std::exp(-x));
}

/// -log p of what is so (`right`) where p = sigmoid(scalar) was said; stable for large scalars.
[[nodiscard]] inline ScalarLoss judgement_loss(float scalar, bool right) noexcept {
  float const away = right ? -scalar : scalar;
  float const loss = (away > 0 ? away : 0) + std::log1p(std::exp(-std::fabs(away)));
  return {loss, sigmoid(scalar) - (right ? 1.0F : 0.0F)};
}

}  // namespace ppo
