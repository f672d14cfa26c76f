/// @file
/// Losses of one token as functions of its log-probability, for Transformer::accumulate_gradients.
#pragma once

#include <cmath>

#include "transformer.hpp"

namespace grpo {

/// Supervised: -log p(target), times `weight`.
[[nodiscard]] inline TokenLoss cross_entropy(float log_probability, float weight) noexcept {
  return {-weight * log_probability, -weight};
}

/// What the policy loss needs to know about a token besides its log-probability.
struct PolicyTerms {
  float advantage = 0;
  float old_log_probability = 0;        ///< Under the policy that generated it.
  float reference_log_probability = 0;  ///< Under the frozen reference.
};

struct PolicyLossOptions {
  float clip = 0.2F;             ///< Ratios beyond 1 -/+ clip gain nothing more.
  float kl_coefficient = 0.01F;  ///< Weight of the divergence from the reference.
};

/// The loss of one token, the parts that a log shows, and the slope in its log-probability.
struct PolicyLoss {
  float loss = 0;
  float slope = 0;
  float ratio = 1;
  float kl = 0;
  bool clipped = false;
};

/// GRPO: the clipped surrogate of PPO, plus the KL divergence from the reference, estimated by
/// k3 = exp(d) - d - 1 with d = log p_reference - log p, which is never negative and unbiased.
///
/// Source: Shao et al., "DeepSeekMath", 2024, equations 3 and 4; Schulman, "Approximating KL
/// divergence", 2020.
[[nodiscard]] inline PolicyLoss policy_loss(float log_probability, PolicyTerms const& terms,
                                            PolicyLossOptions const& options) noexcept {
  PolicyLoss out;
  out.ratio = exponential(log_probability - terms.old_log_probability);
  bool const high = terms.advantage > 0 && out.ratio > 1.0F + options.clip;
  bool const low = terms.advantage < 0 && out.ratio < 1.0F - options.clip;
  out.clipped = high || low;
  float const difference = terms.reference_log_probability - log_probability;
  float const reverse_ratio = exponential(difference);
  out.kl = reverse_ratio - difference - 1.0F;
  float const used = high ? 1.0F + options.clip : (low ? 1.0F - options.clip : out.ratio);
  out.loss = -used * terms.advantage + options.kl_coefficient * out.kl;
  out.slope = (out.clipped ? 0.0F : -out.ratio * terms.advantage) +
              options.kl_coefficient * (1.0F - reverse_ratio);
  return out;
}

}  // namespace grpo
