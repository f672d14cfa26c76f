/// @file
/// The layers between the matrix products: normalisation, gated activation, attention; each with
/// its derivative. All work on one rank's part and know nothing of the other ranks.
#pragma once

#include <cmath>

#include "numerics.hpp"

namespace grpo {

/// Root-mean-square normalisation: out = x / rms(x) * gain, row by row. `inverse` keeps 1 / rms(x)
/// for the way back.   // x, out: (tokens, hidden), gain: (hidden), inverse: (tokens)
inline void normalise(ConstMatrix x, float const* gain, Matrix out, float* inverse) noexcept {
  for (Index t = 0; t < x.rows; ++t) {
    float const* const in = x.row(t);
    float const mean_square = dot(in, in, x.columns) / static_cast<float>(x.columns);
    float const scale = 1.0F / std::sqrt(mean_square + 1e-5F);
    float* const to = out.row(t);
    for (Index i = 0; i < x.columns; ++i) {
      to[i] = in[i] * scale * gain[i];
    }
    inverse[t] = scale;
  }
}

/// The way back through `normalise`: adds to d_x what d_out causes, and to d_gain.
/// `d_out` is overwritten.   // x, d_out, d_x: (tokens, hidden)
inline void normalise_backward(ConstMatrix x, float const* gain, float const* inverse, Matrix d_out,
                               Matrix d_x, float* __restrict d_gain) noexcept {
  for (Index t = 0; t < x.rows; ++t) {
    float const* const in = x.row(t);
    float* __restrict const d = d_out.row(t);
    float const scale = inverse[t];
    for (Index i = 0; i < x.columns; ++i) {
      d_gain[i] += d[i] * in[i] * scale;
      d[i] *= gain[i];
    }
    float const along = dot(d, in, x.columns) * scale * scale / static_cast<float>(x.columns);
    float* __restrict const to = d_x.row(t);
    for (Index i = 0; i < x.columns; ++i) {
      to[i] += scale * (d[i] - along * in[i]);
    }
  }
}

/// out = silu(gate) * up, where a row of `gate_up` is [gate | up].
/// // gate_up: (tokens, 2 x width), out: (tokens, width)
inline void gated_silu(ConstMatrix gate_up, Matrix out) noexcept {
  for (Index t = 0; t < out.rows; ++t) {
    float const* const gate = gate_up.row(t);
    float const* const up = gate + out.columns;
    float* __restrict const to = out.row(t);
    for (Index i = 0; i < out.columns; ++i) {
      to[i] = gate[i] / (1.0F + exponential(-gate[i])) * up[i];
    }
  }
}

/// Replaces [gate | up] by the loss's slope in them, given its slope in `gated_silu`'s result.
/// // gate_up: (tokens, 2 x width), d_out: (tokens, width)
inline void gated_silu_backward(Matrix gate_up, ConstMatrix d_out) noexcept {
  for (Index t = 0; t < d_out.rows; ++t) {
    float* __restrict const gate = gate_up.row(t);
    float* __restrict const up = gate + d_out.columns;
    float const* const d = d_out.row(t);
    for (Index i = 0; i < d_out.columns; ++i) {
      float const sigmoid = 1.0F / (1.0F + exponential(-gate[i]));
      float const silu = gate[i] * sigmoid;
      float const slope = sigmoid + silu * (1.0F - sigmoid);
      gate[i] = d[i] * up[i] * slope;
      up[i] = d[i] * silu;
    }
  }
}

/// Rows of keys or values of one head: row j is at `data + j x stride`.
template <class T>
struct HeadRows {
  T* data;
  Index stride;

  [[nodiscard]] T* row(Index j) const noexcept { return data + j * stride; }
};

/// One query of one head over the first `count` keys: leaves the attention weights in `weights` and
/// the weighted sum of the values in `context`.   // query, context: (size), weights: (count)
inline void attend(float const* query, HeadRows<float const> keys, HeadRows<float const> values,
                   Index count, Index size, float* weights, float* __restrict context) noexcept {
  float const scale = 1.0F / std::sqrt(static_cast<float>(size));
  for (Index j = 0; j < count; ++j) {
    weights[j] = scale * dot(query, keys.row(j), size);
  }
  softmax(weights, count);
  for (Index i = 0; i < size; ++i) {
    context[i] = 0;
  }
  for (Index j = 0; j < count; ++j) {
    add_scaled(context, weights[j], values.row(j), size);
  }
}

/// The way back through `attend`: adds to the slopes of query, keys and values.
inline void attend_backward(float const* query, HeadRows<float const> keys,
                            HeadRows<float const> values, Index count, Index size,
                            float const* weights, float const* d_context, float* d_query,
                            HeadRows<float> d_keys, HeadRows<float> d_values) noexcept {
  float const scale = 1.0F / std::sqrt(static_cast<float>(size));
  float mean = 0;  // of the slopes in the weights
  for (Index j = 0; j < count; ++j) {
    mean += weights[j] * dot(d_context, values.row(j), size);
  }
  for (Index j = 0; j < count; ++j) {
    float const d_weight = dot(d_context, values.row(j), size);
    float const d_score = scale * weights[j] * (d_weight - mean);
    add_scaled(d_values.row(j), weights[j], d_context, size);
    add_scaled(d_query, d_score, keys.row(j), size);
    add_scaled(d_keys.row(j), d_score, query, size);
  }
}

}  // namespace grpo
