/// @file
/// AdamW with decoupled weight decay, and the norm of a gradient that is spread over tensor ranks.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "parameter_table.hpp"

namespace grpo {

/// The Euclidean norm of the whole gradient: the ranks' parts of what is cut, and once what every
/// rank holds. Equal on all tensor ranks.
///
/// Cost: one all-reduce of one number.
template <rlhf::comm::Communicator Comm>
[[nodiscard]] double global_norm(ParameterTable const& table, std::span<float> gradients,
                                 Comm& tensor) {
  double replicated = 0;
  double cut = 0;
  for (Parameter const& parameter : table.entries()) {
    double squares = 0;
    for (float const value : parameter.in(gradients)) {
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    (parameter.replicated() ? replicated : cut) += squares;
  }
  if (tensor.size() > 1) {
    tensor.all_reduce(&cut, &cut, 1, rlhf::DType::f64, rlhf::comm::Reduce::sum, {});
  }
  return std::sqrt(replicated + cut);
}

struct AdamWOptions {
  float first_decay = 0.9F;
  float second_decay = 0.95F;
  float epsilon = 1e-8F;
  float weight_decay = 0.0F;
  double max_norm = 1.0;  ///< Longer gradients are scaled down to this norm.
};

/// State and step of the optimizer for one rank's parameters.
///
/// The moments are `state()`: first, then second, in the order of the parameters, so that a
/// checkpoint can treat them as it treats weights.
/// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
class AdamW {
 public:
  explicit AdamW(Index elements, AdamWOptions options = {})
      : options_(options),
        first_(static_cast<std::size_t>(elements)),
        second_(static_cast<std::size_t>(elements)) {}

  /// One step of learning rate `rate` along `gradients`, whose global norm is `norm`.
  ///
  /// Errors: invalid_argument where the norm is not finite; the weights are left as they were.
  void step(std::span<float> weights, std::span<float const> gradients, double norm, float rate) {
    rlhf::expects(weights.size() == first_.size() && gradients.size() == first_.size(),
                  "AdamW needs as many weights and gradients as it has moments");
    rlhf::expects(std::isfinite(norm), "the norm of the gradient must be finite");
    ++steps_;
    auto const scale =
        static_cast<float>(norm > options_.max_norm ? options_.max_norm / norm : 1.0);
    float const first_bias = 1.0F - power(options_.first_decay, steps_);
    float const second_bias = 1.0F - power(options_.second_decay, steps_);
    float const first_rate = rate / first_bias;
    float const second_scale = 1.0F / second_bias;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      float const gradient = gradients[i] * scale;
      first_[i] = options_.first_decay * first_[i] + (1.0F - options_.first_decay) * gradient;
      second_[i] =
          options_.second_decay * second_[i] + (1.0F - options_.second_decay) * gradient * gradient;
      float const size = std::sqrt(second_[i] * second_scale) + options_.epsilon;
      weights[i] -= first_rate * first_[i] / size + rate * options_.weight_decay * weights[i];
    }
  }

  [[nodiscard]] std::span<float> first_moments() noexcept { return first_; }
  [[nodiscard]] std::span<float> second_moments() noexcept { return second_; }
  [[nodiscard]] std::int64_t steps() const noexcept { return steps_; }
  /// For restarts: the moments are set through their spans.
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }

 private:
  /// base^exponent by squaring: equal on every C library.
  [[nodiscard]] static float power(float base, std::int64_t exponent) noexcept {
    double result = 1;
    double square = static_cast<double>(base);
    for (; exponent > 0; exponent >>= 1) {
      result *= (exponent & 1) != 0 ? square : 1.0;
      square *= square;
    }
    return static_cast<float>(result);
  }

  AdamWOptions options_;
  std::vector<float> first_;
  std::vector<float> second_;
  std::int64_t steps_ = 0;
};

}  // namespace grpo
