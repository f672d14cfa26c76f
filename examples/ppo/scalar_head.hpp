/// @file
/// A number for a position of a sequence, on top of a language model: the head of critics and
/// reward models.
#pragma once

#include <rlhf/comm/concepts.hpp>

#include <cstddef>
#include <vector>

#include "../grpo/tokenizer.hpp"
#include "../grpo/transformer.hpp"

namespace ppo {

using grpo::Index;
using grpo::Transformer;

/// Loss of one scalar, and its slope in it.
struct ScalarLoss {
  float loss = 0;
  float slope = 0;
};

namespace detail {

/// Two rows of the vocabulary's head, of letters that the task does not use.
inline constexpr grpo::Token plus = grpo::Tokenizer::size - 1;
inline constexpr grpo::Token minus = grpo::Tokenizer::size - 2;

/// The batch with `rows` asked for several tokens each.
template <class... Tokens>
[[nodiscard]] grpo::TokenBatch ask(grpo::TokenBatch const& batch, Tokens... tokens) {
  grpo::TokenBatch out;
  out.inputs = batch.inputs;
  out.begins = batch.begins;
  for (std::ptrdiff_t const row : batch.rows) {
    (out.rows.push_back((static_cast<void>(tokens), row)), ...);
    (out.targets.push_back(tokens), ...);
  }
  return out;
}

}  // namespace detail

/// The scalar at every position that `batch.rows` names.
///
/// It is log p(a) - log p(b) of two tokens: the normaliser of the softmax cancels, which leaves
/// (w_a - w_b) . h, a linear head without bias on the hidden state h. So the model needs no
/// parameters of its own, and weights of a policy, a reward model and a critic fit each other.
template <rlhf::comm::Communicator Comm>
[[nodiscard]] std::vector<float> scalars(Transformer<Comm>& model, grpo::TokenBatch const& batch) {
  std::vector<float> const scores =
      model.log_probabilities(detail::ask(batch, detail::plus, detail::minus));
  std::vector<float> out(batch.rows.size());
  for (std::size_t j = 0; j < out.size(); ++j) {
    out[j] = scores[2 * j] - scores[2 * j + 1];
  }
  return out;
}

/// Adds the gradient of the sum of the scalars' losses; returns that sum. In the same pass, tokens
/// can be learned: `spoken` names rows of the batch and the tokens behind them.
///
/// @param loss  `loss(j, scalar)` gives the ScalarLoss of scalar j.
/// @param token_loss  `token_loss(k, log_probability)` gives the TokenLoss of spoken token k.
template <rlhf::comm::Communicator Comm, class Loss, class LossOfToken>
double accumulate_scalar_gradients(Transformer<Comm>& model, grpo::TokenBatch const& batch,
                                   Loss&& loss, grpo::TokenBatch const& spoken,
                                   LossOfToken&& token_loss) {
  // Tokens are shown one by one: b alone, to know it; a, with which the scalar is known; b again.
  grpo::TokenBatch all = detail::ask(batch, detail::minus, detail::plus, detail::minus);
  Index const of_scalars = all.scored();
  all.rows.insert(all.rows.end(), spoken.rows.begin(), spoken.rows.end());
  all.targets.insert(all.targets.end(), spoken.targets.begin(), spoken.targets.end());
  double total = 0;
  float first = 0;
  float slope = 0;
  model.accumulate_gradients(all, [&](Index token, float log_probability) {
    if (token >= of_scalars) {
      return token_loss(token - of_scalars, log_probability);
    }
    if (token % 3 == 0) {
      first = log_probability;
      return grpo::TokenLoss{};
    }
    if (token % 3 == 2) {
      return grpo::TokenLoss{0, -slope};
    }
    ScalarLoss const one = loss(token / 3, log_probability - first);
    total += static_cast<double>(one.loss);
    slope = one.slope;
    return grpo::TokenLoss{one.loss, slope};
  });
  return total;
}
template <rlhf::comm::Communicator Comm, class Loss>
double accumulate_scalar_gradients(Transformer<Comm>& model, grpo::TokenBatch const& batch,
                                   Loss&& loss) {
  return accumulate_scalar_gradients(model, batch, loss, {},
                                     [](Index, float) { return grpo::TokenLoss{}; });
}

}  // namespace ppo
