/// @file
/// A small decoder-only transformer, its layers tensor-parallel, forward and backward by hand.
///
/// Each of `tensor` ranks holds some of the attention heads and some of the feed-forward units of
/// every layer. A layer's first matrices (query|key|value, gate|up) are cut by rows, so that a rank
/// computes its heads and units alone; its second matrices (output, down) are cut by columns, so
/// that a rank's product is one term of the sum that all of them need: one all-reduce each. The
/// way back mirrors that. Embeddings, norms and head are replicated, and so are their gradients,
/// because what they see is equal on all ranks. Source: Shoeybi et al., "Megatron-LM", 2019.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layers.hpp"
#include "numerics.hpp"
#include "parameter_table.hpp"
#include "token_batch.hpp"

namespace grpo {

/// Sizes of a model. Heads and feed-forward units must be divisible by the number of tensor ranks.
struct TransformerConfig {
  Index layers = 2;
  Index hidden = 64;
  Index heads = 8;
  Index feed_forward = 128;  ///< Units behind the gated activation.
  Index vocabulary = 96;
  Index max_length = 32;  ///< Most tokens that the model reads: positions have learned embeddings.
};

/// Loss of one scored token, and its slope in the token's log-probability.
struct TokenLoss {
  float loss = 0;
  float slope = 0;
};

/// Keys and values of sequences that are being generated. Each has a slot.
struct KeyValueCache {
  struct Layer {
    MatrixBuffer keys;    // (slots x max_length, hidden / tp)
    MatrixBuffer values;  // (slots x max_length, hidden / tp)
  };
  std::vector<Layer> layers;
};

/// One rank of the model.
///
/// @tparam Comm  Communicator over the tensor ranks; its memory is host memory.
///
/// All ranks of `Comm` must call the same functions with the same batches; with one rank nothing is
/// communicated. Equal inputs give equal results, to the bit.
/// Thread safety: one caller per object.
template <rlhf::comm::Communicator Comm>
class Transformer {
 public:
  /// The weights depend on `config` and `seed` only, not on how many ranks share them.
  Transformer(TransformerConfig const& config, Comm& tensor, std::uint64_t seed)
      : config_(config),
        tensor_(&tensor),
        ranks_(tensor.size()) {
    rlhf::expects(config.hidden % config.heads == 0, "heads must divide the hidden size");
    if (config.heads % ranks_ != 0 || config.feed_forward % ranks_ != 0) {
      rlhf::fail(rlhf::Errc::invalid_argument,
                 rlhf::text(ranks_, " tensor ranks must divide ", config.heads, " heads and ",
                            config.feed_forward, " feed-forward units"));
    }
    head_size_ = config.hidden / config.heads;
    width_ = config.hidden / ranks_;
    units_ = config.feed_forward / ranks_;
    describe_parameters();
    weights_.resize(static_cast<std::size_t>(table_.elements()));
    gradients_.resize(weights_.size());
    activations_.resize(static_cast<std::size_t>(config.layers));
    weight_ = views(weights_);
    gradient_ = views(gradients_);
    initialise_weights(seed);
  }
  Transformer(Transformer const&) = delete;
  Transformer& operator=(Transformer const&) = delete;
  Transformer(Transformer&&) = delete;
  Transformer& operator=(Transformer&&) = delete;
  ~Transformer() = default;

  /// Calls `visit(name, tensor view, shard)` for every parameter, in the same order on all ranks.
  template <class Visit>
  void parameters(Visit&& visit) {
    for (Parameter const& parameter : table_.entries()) {
      visit(std::string_view(parameter.name), rlhf::view(parameter.in(weights_), parameter.shape),
            parameter.shard);
    }
  }

  [[nodiscard]] TransformerConfig const& config() const noexcept { return config_; }
  [[nodiscard]] Comm& tensor() const noexcept { return *tensor_; }
  [[nodiscard]] ParameterTable const& table() const noexcept { return table_; }
  /// All of this rank's weights; `table()` says what is where.
  [[nodiscard]] std::span<float> weights() noexcept { return weights_; }
  /// As `weights()`. Gradients add up until `clear_gradients`.
  [[nodiscard]] std::span<float> gradients() noexcept { return gradients_; }
  void clear_gradients() noexcept { std::fill(gradients_.begin(), gradients_.end(), 0.0F); }

  /// The log-probability of every scored token.   // (batch.scored())
  ///
  /// Cost: 2 all-reduces of (tokens, hidden) a layer.
  [[nodiscard]] std::vector<float> log_probabilities(TokenBatch const& batch) {
    run(batch);
    Matrix const scores = logits(batch.rows);  // (scored, vocabulary)
    return target_log_probabilities(batch, scores);
  }

  /// Adds the gradient of the sum of the scored tokens' losses; returns that sum.
  ///
  /// @param loss  `loss(j, log_probability)` gives the TokenLoss of scored token j.
  ///
  /// Cost: 4 all-reduces of (tokens, hidden) a layer.
  template <class Loss>
  double accumulate_gradients(TokenBatch const& batch, Loss&& loss) {
    run(batch);
    Matrix const scores = logits(batch.rows);  // (scored, vocab)
    std::vector<float> const log_probability = target_log_probabilities(batch, scores);
    double total = 0;
    for (Index j = 0; j < batch.scored(); ++j) {  // scores become the slopes in the logits
      TokenLoss const token = loss(j, log_probability[static_cast<std::size_t>(j)]);
      total += static_cast<double>(token.loss);
      float* const score = scores.row(j);
      for (Index v = 0; v < scores.columns; ++v) {
        score[v] *= -token.slope;
      }
      score[batch.targets[static_cast<std::size_t>(j)]] += token.slope;
    }
    backward(batch, scores);
    return total;
  }

  /// Reads prompts (of a batch without answers) into the cache. Prompt s goes to the slots
  /// [s x copies, (s + 1) x copies). Returns the logits of each prompt's next token, valid until
  /// the next call.   // (sequences, vocabulary)
  [[nodiscard]] Matrix read_prompts(TokenBatch const& batch, Index copies, KeyValueCache& cache) {
    run(batch);
    cache.layers.resize(activations_.size());
    Index const cached = batch.sequences() * copies * config_.max_length;
    for (std::size_t l = 0; l < activations_.size(); ++l) {
      Matrix const keys = cache.layers[l].keys.shape(cached, width_);
      Matrix const values = cache.layers[l].values.shape(cached, width_);
      ConstMatrix const qkv = activations_[l].qkv.view().as_const();
      for (Index s = 0; s < batch.sequences(); ++s) {
        Index const begin = batch.begins[static_cast<std::size_t>(s)];
        Index const length = batch.begins[static_cast<std::size_t>(s) + 1] - begin;
        for (Index slot = s * copies; slot < (s + 1) * copies; ++slot) {
          for (Index p = 0; p < length; ++p) {
            store_key_value(qkv.row(begin + p), keys.row(slot * config_.max_length + p),
                            values.row(slot * config_.max_length + p));
          }
        }
      }
    }
    std::vector<Index> last;
    for (Index s = 0; s < batch.sequences(); ++s) {
      last.push_back(batch.begins[static_cast<std::size_t>(s) + 1] - 1);
    }
    return logits(last);
  }

  /// Reads one more token of each of some sequences: `tokens[i]` at `positions[i]` of slot
  /// `slots[i]`. Returns the logits of the tokens after them, valid until the next call.
  /// // tokens, slots, positions: (n), result: (n, vocabulary)
  [[nodiscard]] Matrix read_tokens(std::span<Token const> tokens, std::span<Index const> slots,
                                   std::span<Index const> positions, KeyValueCache& cache) {
    embed(tokens, positions);
    run_layers([&](std::size_t l, ConstMatrix qkv, Matrix context) {
      Matrix const keys = cache.layers[l].keys.view();
      Matrix const values = cache.layers[l].values.view();
      Matrix const weights = attention_weights_.shape(1, config_.max_length);
      for (Index i = 0; i < qkv.rows; ++i) {
        Index const first = slots[static_cast<std::size_t>(i)] * config_.max_length;
        Index const position = positions[static_cast<std::size_t>(i)];
        store_key_value(qkv.row(i), keys.row(first + position), values.row(first + position));
        for (Index c = 0; c < width_; c += head_size_) {
          attend(qkv.row(i) + c, {keys.row(first) + c, width_}, {values.row(first) + c, width_},
                 position + 1, head_size_, weights.data, context.row(i) + c);
        }
      }
    });
    std::vector<Index> rows(tokens.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i] = static_cast<Index>(i);
    }
    return logits(rows);
  }

 private:
  /// Views of one layer's parameters in the weights or in the gradients.
  struct LayerViews {
    Matrix attention_norm;    // (1, hidden)
    Matrix qkv;               // (3 x hidden / tp, hidden)
    Matrix attention_output;  // (hidden, hidden / tp)
    Matrix mlp_norm;          // (1, hidden)
    Matrix gate_up;           // (2 x feed_forward / tp, hidden)
    Matrix down;              // (hidden, feed_forward / tp)
  };
  struct Views {
    Matrix embedding;  // (vocabulary, hidden)
    Matrix positions;  // (max_length, hidden)
    std::vector<LayerViews> layers;
    Matrix final_norm;  // (1, hidden)
    Matrix head;        // (vocabulary, hidden)
  };
  /// What the way back needs of one layer's way forward.
  struct LayerActivations {
    MatrixBuffer input;              // (tokens, hidden)
    MatrixBuffer attention_inverse;  // (tokens, 1)
    MatrixBuffer attention_input;    // (tokens, hidden), normalised
    MatrixBuffer qkv;                // (tokens, 3 x hidden / tp)
    MatrixBuffer weights;            // (tokens x heads / tp, max_length)
    MatrixBuffer context;            // (tokens, hidden / tp)
    MatrixBuffer middle;             // (tokens, hidden)
    MatrixBuffer mlp_inverse;        // (tokens, 1)
    MatrixBuffer mlp_input;          // (tokens, hidden), normalised
    MatrixBuffer gate_up;            // (tokens, 2 x feed_forward / tp)
    MatrixBuffer activated;          // (tokens, feed_forward / tp)
  };

  void describe_parameters() {
    using rlhf::Shape;
    namespace shard = rlhf::shard;
    table_.add("embedding", Shape{config_.vocabulary, config_.hidden}, shard::replicated());
    table_.add("positions", Shape{config_.max_length, config_.hidden}, shard::replicated());
    for (Index l = 0; l < config_.layers; ++l) {
      auto const name = [&](char const* last) { return rlhf::text("layers.", l, ".", last); };
      table_.add(name("attention.norm"), Shape{config_.hidden}, shard::replicated());
      table_.add(name("attention.qkv"), Shape{3 * width_, config_.hidden}, shard::rows(3));
      table_.add(name("attention.output"), Shape{config_.hidden, width_}, shard::columns());
      table_.add(name("mlp.norm"), Shape{config_.hidden}, shard::replicated());
      table_.add(name("mlp.gate_up"), Shape{2 * units_, config_.hidden}, shard::rows(2));
      table_.add(name("mlp.down"), Shape{config_.hidden, units_}, shard::columns());
    }
    table_.add("final_norm", Shape{config_.hidden}, shard::replicated());
    table_.add("head", Shape{config_.vocabulary, config_.hidden}, shard::replicated());
  }

  /// Views every parameter in a buffer, in the order of `describe_parameters`.
  [[nodiscard]] Views views(std::span<float> buffer) const {
    std::size_t place = 0;
    auto const next = [&] {
      Parameter const& parameter = table_[place++];
      bool const vector = parameter.shape.rank() == 1;
      return Matrix{parameter.in(buffer).data(), vector ? 1 : parameter.shape[0],
                    vector ? parameter.shape[0] : parameter.shape[1]};
    };
    Views out;
    out.embedding = next();
    out.positions = next();
    for (Index l = 0; l < config_.layers; ++l) {
      out.layers.push_back(LayerViews{.attention_norm = next(),
                                      .qkv = next(),
                                      .attention_output = next(),
                                      .mlp_norm = next(),
                                      .gate_up = next(),
                                      .down = next()});
    }
    out.final_norm = next();
    out.head = next();
    return out;
  }

  /// Norms start as 1; matrices with deviation 1 / sqrt(inputs), those that add to the residual
  /// stream divided by sqrt(2 x layers) so that its size does not grow with depth.
  void initialise_weights(std::uint64_t seed) {
    auto const inverse_sqrt = [](Index n) { return 1.0F / std::sqrt(static_cast<float>(n)); };
    for (Parameter const& parameter : table_.entries()) {
      std::span<float> const weights = parameter.in(weights_);
      if (parameter.shape.rank() == 1) {
        std::fill(weights.begin(), weights.end(), 1.0F);
        continue;
      }
      float deviation = inverse_sqrt(config_.hidden);
      if (parameter.name.ends_with("attention.output")) {
        deviation = inverse_sqrt(config_.hidden) * inverse_sqrt(2 * config_.layers);
      } else if (parameter.name.ends_with("mlp.down")) {
        deviation = inverse_sqrt(config_.feed_forward) * inverse_sqrt(2 * config_.layers);
      }
      initialise(parameter, weights, deviation, seed, tensor_->rank(), tensor_->size());
    }
  }

  /// The sum over the tensor ranks, in place.
  void sum_over_ranks(Matrix terms) {
    if (ranks_ > 1) {
      tensor_->all_reduce(terms.data, terms.data, terms.size(), rlhf::DType::f32,
                          rlhf::comm::Reduce::sum, {});
    }
  }

  /// The input of the first layer: embedding of the token plus embedding of its position.
  void embed(std::span<Token const> tokens, std::span<Index const> positions) {
    auto const count = static_cast<Index>(tokens.size());
    Matrix const x = stream(0).shape(count, config_.hidden);  // (tokens, hidden)
    for (Index t = 0; t < count; ++t) {
      Token const token = tokens[static_cast<std::size_t>(t)];
      Index const position = positions[static_cast<std::size_t>(t)];
      if (token < 0 || token >= config_.vocabulary || position >= config_.max_length) {
        rlhf::fail(
            rlhf::Errc::invalid_argument,
            rlhf::text("token ", token, " at position ", position, " does not fit a model of ",
                       config_.vocabulary, " tokens and ", config_.max_length, " positions"));
      }
      float const* const a = weight_.embedding.row(token);
      float const* const b = weight_.positions.row(position);
      float* const to = x.row(t);
      for (Index i = 0; i < config_.hidden; ++i) {
        to[i] = a[i] + b[i];
      }
    }
  }

  /// The residual stream before layer l, or after the last one.
  [[nodiscard]] MatrixBuffer& stream(std::size_t l) {
    return l < activations_.size() ? activations_[l].input : output_;
  }

  /// out = x + the sum over ranks of `input` weightsᵀ.
  void add_product(ConstMatrix x, ConstMatrix input, Matrix weights, Matrix out) {
    multiply_by_transpose(input, weights.as_const(), out, scratch_);
    sum_over_ranks(out);
    for (Index i = 0; i < out.size(); ++i) {
      out.data[i] += x.data[i];
    }
  }

  /// All layers. `attention(l, qkv, context)` fills the context of layer l.
  /// // qkv: (tokens, 3 x hidden / tp), context: (tokens, hidden / tp)
  template <class Attention>
  void run_layers(Attention&& attention) {
    for (std::size_t l = 0; l < activations_.size(); ++l) {
      LayerViews const& weight = weight_.layers[l];
      LayerActivations& act = activations_[l];
      ConstMatrix const x = act.input.view().as_const();
      Index const tokens = x.rows;

      Matrix const attention_input = act.attention_input.shape(tokens, config_.hidden);
      normalise(x, weight.attention_norm.data, attention_input,
                act.attention_inverse.shape(tokens, 1).data);
      Matrix const qkv = act.qkv.shape(tokens, 3 * width_);
      multiply_by_transpose(attention_input.as_const(), weight.qkv.as_const(), qkv, scratch_);
      Matrix const context = act.context.shape(tokens, width_);
      attention(l, qkv.as_const(), context);
      Matrix const middle = act.middle.shape(tokens, config_.hidden);
      add_product(x, context.as_const(), weight.attention_output, middle);

      Matrix const mlp_input = act.mlp_input.shape(tokens, config_.hidden);
      normalise(middle.as_const(), weight.mlp_norm.data, mlp_input,
                act.mlp_inverse.shape(tokens, 1).data);
      Matrix const gate_up = act.gate_up.shape(tokens, 2 * units_);
      multiply_by_transpose(mlp_input.as_const(), weight.gate_up.as_const(), gate_up, scratch_);
      Matrix const activated = act.activated.shape(tokens, units_);
      gated_silu(gate_up.as_const(), activated);
      add_product(middle.as_const(), activated.as_const(), weight.down,
                  stream(l + 1).shape(tokens, config_.hidden));
    }
  }

  /// Calls `visit(t, first, count)` for every input t of a batch: its sequence's first input, and
  /// the number of inputs from there to t.
  template <class Visit>
  static void for_each_input(TokenBatch const& batch, Visit&& visit) {
    for (std::size_t s = 0; s + 1 < batch.begins.size(); ++s) {
      for (Index t = batch.begins[s]; t < batch.begins[s + 1]; ++t) {
        visit(t, batch.begins[s], t - batch.begins[s] + 1);
      }
    }
  }

  /// The way forward of a batch, up to the residual stream after the last layer.
  void run(TokenBatch const& batch) {
    std::vector<Index> positions(batch.inputs.size());
    for_each_input(batch, [&](Index t, Index, Index count) {
      positions[static_cast<std::size_t>(t)] = count - 1;
    });
    embed(batch.inputs, positions);
    run_layers([&](std::size_t l, ConstMatrix qkv, Matrix context) {
      Index const heads = config_.heads / ranks_;
      Matrix const weights = activations_[l].weights.shape(qkv.rows * heads, config_.max_length);
      for_each_input(batch, [&](Index t, Index first, Index count) {
        for (Index h = 0; h < heads; ++h) {
          Index const c = h * head_size_;
          attend(qkv.row(t) + c, {qkv.row(first) + width_ + c, qkv.columns},
                 {qkv.row(first) + 2 * width_ + c, qkv.columns}, count, head_size_,
                 weights.row(t * heads + h), context.row(t) + c);
        }
      });
    });
  }

  /// Scores of the next token at some rows of the residual stream.   // (rows, vocabulary)
  [[nodiscard]] Matrix logits(std::span<Index const> rows) {
    auto const count = static_cast<Index>(rows.size());
    Matrix const x = scored_.shape(count, config_.hidden);
    for (Index j = 0; j < count; ++j) {
      float const* const from = output_.view().row(rows[static_cast<std::size_t>(j)]);
      std::copy(from, from + config_.hidden, x.row(j));
    }
    Matrix const normal = scored_normal_.shape(count, config_.hidden);
    normalise(x.as_const(), weight_.final_norm.data, normal, scored_inverse_.shape(count, 1).data);
    Matrix const scores = logits_.shape(count, config_.vocabulary);
    multiply_by_transpose(normal.as_const(), weight_.head.as_const(), scores, scratch_);
    return scores;
  }

  /// Turns logits into probabilities; returns the targets' log-probabilities.
  [[nodiscard]] std::vector<float> target_log_probabilities(TokenBatch const& batch,
                                                            Matrix scores) const {
    std::vector<float> out(batch.targets.size());
    for (std::size_t j = 0; j < out.size(); ++j) {
      float* const score = scores.row(static_cast<Index>(j));
      float const logit = score[batch.targets[j]];
      out[j] = logit - softmax(score, scores.columns);
    }
    return out;
  }

  /// The way back, from the slopes in the logits of the scored rows.   // d_logits: (scored, vocab)
  void backward(TokenBatch const& batch, Matrix d_logits) {
    Index const tokens = batch.tokens();
    Matrix const d_x = d_stream_.shape(tokens, config_.hidden);
    std::fill(d_x.data, d_x.data + d_x.size(), 0.0F);
    head_backward(batch, d_logits, d_x);
    for (std::size_t l = activations_.size(); l-- > 0;) {
      mlp_backward(l, d_x);
      attention_backward(batch, l, d_x);
    }
    for_each_input(batch, [&](Index t, Index, Index count) {
      Token const token = batch.inputs[static_cast<std::size_t>(t)];
      add_scaled(gradient_.embedding.row(token), 1.0F, d_x.row(t), config_.hidden);
      add_scaled(gradient_.positions.row(count - 1), 1.0F, d_x.row(t), config_.hidden);
    });
  }

  void head_backward(TokenBatch const& batch, Matrix d_logits, Matrix d_x) {
    add_transpose_product(d_logits.as_const(), scored_normal_.view().as_const(), gradient_.head);
    Matrix const d_normal = d_normal_.shape(d_logits.rows, config_.hidden);
    multiply(d_logits.as_const(), weight_.head.as_const(), d_normal);
    Matrix const d_scored = d_scored_.shape(d_logits.rows, config_.hidden);
    std::fill(d_scored.data, d_scored.data + d_scored.size(), 0.0F);
    normalise_backward(scored_.view().as_const(), weight_.final_norm.data,
                       scored_inverse_.view().data, d_normal, d_scored, gradient_.final_norm.data);
    for (Index j = 0; j < d_scored.rows; ++j) {
      add_scaled(d_x.row(batch.rows[static_cast<std::size_t>(j)]), 1.0F, d_scored.row(j),
                 config_.hidden);
    }
  }

  /// d_x: the slope after the feed-forward half of layer l; becomes the slope before it.
  void mlp_backward(std::size_t l, Matrix d_x) {
    LayerViews const& weight = weight_.layers[l];
    LayerViews const& gradient = gradient_.layers[l];
    LayerActivations& act = activations_[l];
    add_transpose_product(d_x.as_const(), act.activated.view().as_const(), gradient.down);
    Matrix const d_activated = d_part_.shape(d_x.rows, units_);
    multiply(d_x.as_const(), weight.down.as_const(), d_activated);
    Matrix const d_gate_up = act.gate_up.view();
    gated_silu_backward(d_gate_up, d_activated.as_const());
    linear_norm_backward(d_gate_up.as_const(), weight.gate_up, act.mlp_input.view(),
                         gradient.gate_up, act.middle.view(), weight.mlp_norm,
                         act.mlp_inverse.view(), gradient.mlp_norm, d_x);
  }

  /// d_x: the slope after the attention half of layer l; becomes the slope before it.
  void attention_backward(TokenBatch const& batch, std::size_t l, Matrix d_x) {
    LayerViews const& weight = weight_.layers[l];
    LayerViews const& gradient = gradient_.layers[l];
    LayerActivations& act = activations_[l];
    add_transpose_product(d_x.as_const(), act.context.view().as_const(), gradient.attention_output);
    Matrix const d_context = d_part_.shape(d_x.rows, width_);
    multiply(d_x.as_const(), weight.attention_output.as_const(), d_context);
    Matrix const d_qkv = d_qkv_.shape(d_x.rows, 3 * width_);
    std::fill(d_qkv.data, d_qkv.data + d_qkv.size(), 0.0F);
    ConstMatrix const qkv = act.qkv.view().as_const();
    Index const heads = config_.heads / ranks_;
    for_each_input(batch, [&](Index t, Index first, Index count) {
      for (Index h = 0; h < heads; ++h) {
        Index const q = h * head_size_;
        Index const k = width_ + q;
        Index const v = width_ + k;
        attend_backward(qkv.row(t) + q, {qkv.row(first) + k, qkv.columns},
                        {qkv.row(first) + v, qkv.columns}, count, head_size_,
                        act.weights.view().row(t * heads + h), d_context.row(t) + q,
                        d_qkv.row(t) + q, {d_qkv.row(first) + k, d_qkv.columns},
                        {d_qkv.row(first) + v, d_qkv.columns});
      }
    });
    linear_norm_backward(d_qkv.as_const(), weight.qkv, act.attention_input.view(), gradient.qkv,
                         act.input.view(), weight.attention_norm, act.attention_inverse.view(),
                         gradient.attention_norm, d_x);
  }

  /// The way back through a normalisation and the linear layer behind it, cut by rows: every rank
  /// knows its rows' share of the slope in the linear layer's input, the sum is all of it.
  void linear_norm_backward(ConstMatrix d_out, Matrix weight, Matrix input, Matrix d_weight,
                            Matrix x, Matrix norm, Matrix inverse, Matrix d_norm, Matrix d_x) {
    add_transpose_product(d_out, input.as_const(), d_weight);
    Matrix const d_input = d_normal_.shape(d_out.rows, config_.hidden);
    multiply(d_out, weight.as_const(), d_input);
    sum_over_ranks(d_input);
    normalise_backward(x.as_const(), norm.data, inverse.data, d_input, d_x, d_norm.data);
  }

  /// Copies the key and the value out of a row [query | key | value].
  void store_key_value(float const* qkv, float* key, float* value) const noexcept {
    std::copy(qkv + width_, qkv + 2 * width_, key);
    std::copy(qkv + 2 * width_, qkv + 3 * width_, value);
  }

  TransformerConfig config_;
  Comm* tensor_;
  Index ranks_;
  Index head_size_ = 0;
  Index width_ = 0;  ///< Of this rank's heads together: hidden / ranks.
  Index units_ = 0;  ///< Of this rank's feed-forward part.
  ParameterTable table_;
  std::vector<float> weights_;
  std::vector<float> gradients_;
  Views weight_;
  Views gradient_;

  std::vector<LayerActivations> activations_;
  MatrixBuffer output_;             // (tokens, hidden), the residual stream after the last layer
  MatrixBuffer scored_;             // (scored, hidden), its rows that are scored
  MatrixBuffer scored_inverse_;     // (scored, 1)
  MatrixBuffer scored_normal_;      // (scored, hidden)
  MatrixBuffer logits_;             // (scored, vocabulary)
  MatrixBuffer attention_weights_;  // (1, max_length)
  MatrixBuffer d_stream_;           // (tokens, hidden)
  MatrixBuffer d_normal_;           // (tokens, hidden)
  MatrixBuffer d_scored_;           // (scored, hidden)
  MatrixBuffer d_part_;             // (tokens, hidden / tp or feed_forward / tp)
  MatrixBuffer d_qkv_;              // (tokens, 3 x hidden / tp)
  MatrixBuffer scratch_;            // one transposed weight
};

}  // namespace grpo
