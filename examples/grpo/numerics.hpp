/// @file
/// Row-major matrices and the few float32 operations that the transformer is made of.
///
/// Plain loops that g++ and clang turn into vector code at -O3 without -ffast-math: sums that could
/// be reordered are written in the order they shall have. Every element of a product is one sum in
/// the order of the inner dimension, so a row's result does not depend on how many rows there are:
/// splitting a batch changes no bit.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace grpo {

using Index = std::ptrdiff_t;

/// View of a row-major matrix without gaps between rows.
template <class T>
struct BasicMatrix {
  T* data = nullptr;
  Index rows = 0;
  Index columns = 0;

  [[nodiscard]] T* row(Index r) const noexcept { return data + r * columns; }
  [[nodiscard]] Index size() const noexcept { return rows * columns; }
  /// `count` rows from `first` on.
  [[nodiscard]] BasicMatrix slice(Index first, Index count) const noexcept {
    return {row(first), count, columns};
  }
  [[nodiscard]] BasicMatrix<T const> as_const() const noexcept { return {data, rows, columns}; }
};
using Matrix = BasicMatrix<float>;
using ConstMatrix = BasicMatrix<float const>;

/// A matrix that owns its memory, reused from call to call.
class MatrixBuffer {
 public:
  /// Views `rows` x `columns` of uninitialised memory, which stays valid until the next `shape`.
  Matrix shape(Index rows, Index columns) {
    auto const needed = static_cast<std::size_t>(rows * columns);
    if (memory_.size() < needed) {
      memory_.resize(needed);
    }
    return view_ = {memory_.data(), rows, columns};
  }
  [[nodiscard]] Matrix view() const noexcept { return view_; }

 private:
  std::vector<float> memory_;
  Matrix view_;
};

/// What a product does with what its result held.
enum class Into { replace, add };

namespace detail {

/// Rows of the left operand that one tile of the result covers.
inline constexpr Index tile_rows = 4;
/// Longest part of the inner dimension that is packed at a time: 4 KiB.
inline constexpr Index packed_inner = 256;

/// A tile of C, of up to `tile_rows` rows and exactly `columns` columns: its sums stay in registers
/// over the whole inner dimension. Rows of B and C are `stride` apart.
/// // packed: (inner, tile_rows), b: (inner, columns), c: (rows, columns)
template <Index columns>
void product_tile(float const* __restrict packed, float const* __restrict b, Index inner,
                  float* __restrict c, Index rows, Index stride, Into into) {
  float sum[static_cast<std::size_t>(tile_rows * columns)] = {};
  if (into == Into::add) {
    for (Index r = 0; r < rows; ++r) {
      for (Index j = 0; j < columns; ++j) {
        sum[r * columns + j] = c[r * stride + j];
      }
    }
  }
  for (Index k = 0; k < inner; ++k) {
    for (Index r = 0; r < tile_rows; ++r) {
      for (Index j = 0; j < columns; ++j) {
        sum[r * columns + j] += packed[k * tile_rows + r] * b[k * stride + j];
      }
    }
  }
  for (Index r = 0; r < rows; ++r) {
    for (Index j = 0; j < columns; ++j) {
      c[r * stride + j] = sum[r * columns + j];
    }
  }
}

/// C (rows, n) from A (rows, inner) and B (inner, n), where A's element (r, k) is at
/// a[r x row_stride + k x inner_stride]: the strides let one kernel serve A and its transpose.
inline void product(float const* a, Index row_stride, Index inner_stride, ConstMatrix b, Matrix c,
                    Into into) {
  float packed[static_cast<std::size_t>(packed_inner * tile_rows)];
  for (Index first = 0; first < b.rows; first += packed_inner) {
    Index const inner = b.rows - first < packed_inner ? b.rows - first : packed_inner;
    Into const mode = first == 0 ? into : Into::add;
    for (Index i = 0; i < c.rows; i += tile_rows) {
      Index const rows = c.rows - i < tile_rows ? c.rows - i : tile_rows;
      for (Index k = 0; k < inner; ++k) {
        for (Index r = 0; r < tile_rows; ++r) {
          packed[k * tile_rows + r] =
              r < rows ? a[(i + r) * row_stride + (first + k) * inner_stride] : 0.0F;
        }
      }
      Index j = 0;
      for (; j + 8 <= c.columns; j += 8) {
        product_tile<8>(packed, b.row(first) + j, inner, c.row(i) + j, rows, c.columns, mode);
      }
      for (; j < c.columns; ++j) {
        product_tile<1>(packed, b.row(first) + j, inner, c.row(i) + j, rows, c.columns, mode);
      }
    }
  }
}

}  // namespace detail

/// C = A B.   // a: (m, k), b: (k, n), c: (m, n)
inline void multiply(ConstMatrix a, ConstMatrix b, Matrix c, Into into = Into::replace) {
  detail::product(a.data, a.columns, 1, b, c, into);
}

/// C += Aᵀ B, in blocks of rows that stay in the cache.   // a: (m, n), b: (m, k), c: (n, k)
inline void add_transpose_product(ConstMatrix a, ConstMatrix b, Matrix c) {
  constexpr Index block = 128;
  for (Index begin = 0; begin < a.rows; begin += block) {
    Index const count = a.rows - begin < block ? a.rows - begin : block;
    detail::product(a.row(begin), 1, a.columns, b.slice(begin, count), c, Into::add);
  }
}

/// C = A Bᵀ. Transposes B first: a sum along two rows cannot be vectorised without reordering it.
/// `scratch` holds the transpose.   // a: (m, k), b: (n, k), c: (m, n)
inline void multiply_by_transpose(ConstMatrix a, ConstMatrix b, Matrix c, MatrixBuffer& scratch) {
  Matrix const transposed = scratch.shape(b.columns, b.rows);  // (k, n)
  for (Index j = 0; j < b.rows; ++j) {
    for (Index k = 0; k < b.columns; ++k) {
      transposed.data[k * b.rows + j] = b.data[j * b.columns + k];
    }
  }
  multiply(a, transposed.as_const(), c);
}

/// Sum of a[i] b[i]: eight interleaved partial sums, added in pairs.
[[nodiscard]] inline float dot(float const* a, float const* b, Index n) noexcept {
  float partial[8] = {};
  Index i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int lane = 0; lane < 8; ++lane) {
      partial[lane] += a[i + lane] * b[i + lane];
    }
  }
  float rest = 0;
  for (; i < n; ++i) {
    rest += a[i] * b[i];
  }
  return ((partial[0] + partial[4]) + (partial[1] + partial[5])) +
         ((partial[2] + partial[6]) + (partial[3] + partial[7])) + rest;
}

/// y += scale * x.
inline void add_scaled(float* __restrict y, float scale, float const* __restrict x,
                       Index n) noexcept {
  for (Index i = 0; i < n; ++i) {
    y[i] += scale * x[i];
  }
}

/// e^x with a relative error below 2e-7, for x clamped to [-87, 88].
///
/// Vectorises where it is called in a loop, and is made of operations whose results every CPU
/// agrees on, which a C library's exp is not. The clamps compare bits as integers, because
/// compilers make branches of comparisons that NaN could trap in. NaN gives a finite value: a
/// caller that also uses `x` itself, as softmax's logarithm and SiLU do, still gets NaN. Source:
/// range reduction and polynomial of Cephes (Moshier).
[[nodiscard]] inline float exponential(float x) noexcept {
  constexpr auto lowest = std::bit_cast<std::uint32_t>(-87.0F);
  constexpr auto highest = std::bit_cast<std::uint32_t>(88.0F);
  auto bits = std::bit_cast<std::uint32_t>(x);
  std::uint32_t const below = 0U - static_cast<std::uint32_t>(bits > lowest);
  bits = (bits & ~below) | (lowest & below);
  std::uint32_t const above = 0U - static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >
                                                              static_cast<std::int32_t>(highest));
  bits = (bits & ~above) | (highest & above);
  x = std::bit_cast<float>(bits);
  float const shifted = x * 1.44269504F + 0x1.8p23F;  // the integer nearest x / ln 2, in low bits
  float const n = shifted - 0x1.8p23F;
  float const r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  float const fraction = p * (r * r) + r + 1.0F;
  std::uint32_t const power = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23;  // 2^n
  return fraction * std::bit_cast<float>(power);
}

/// Replaces the `n` values by their softmax; returns log(sum(exp(values))).
inline float softmax(float* values, Index n) noexcept {
  float largest = values[0];
  for (Index i = 1; i < n; ++i) {
    largest = values[i] > largest ? values[i] : largest;
  }
  for (Index i = 0; i < n; ++i) {
    values[i] = exponential(values[i] - largest);
  }
  float sum = 0;
  for (Index i = 0; i < n; ++i) {
    sum += values[i];
  }
  float const inverse = 1.0F / sum;
  for (Index i = 0; i < n; ++i) {
    values[i] *= inverse;
  }
  return largest + static_cast<float>(std::log(static_cast<double>(sum)));
}

}  // namespace grpo
