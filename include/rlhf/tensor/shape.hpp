/// @file
/// Extents of a tensor, in place, up to six dimensions. Layer: tensor.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace rlhf::inline v0 {

/// Most dimensions a tensor may have.
inline constexpr int max_rank = 6;

/// A short list of extents or indices, one a dimension. Unused places stay 0, so two of them
/// compare by value. Trivially copyable, no allocation.
class Extents {
 public:
  constexpr Extents() noexcept = default;
  constexpr Extents(std::initializer_list<std::int64_t> values) {
    expects(values.size() <= static_cast<std::size_t>(max_rank),
            "a tensor has at most 6 dimensions");
    for (std::int64_t const value : values) {
      values_[rank_++] = value;
    }
  }
  /// `rank` places of the same value.
  [[nodiscard]] static constexpr Extents filled(int rank, std::int64_t value) {
    expects(rank >= 0 && rank <= max_rank, "a tensor has at most 6 dimensions");
    Extents extents;
    extents.rank_ = rank;
    for (int d = 0; d < rank; ++d) {
      extents.values_[d] = value;
    }
    return extents;
  }

  [[nodiscard]] constexpr int rank() const noexcept { return rank_; }
  [[nodiscard]] constexpr std::int64_t operator[](int dimension) const noexcept {
    return values_[dimension];
  }
  [[nodiscard]] constexpr std::int64_t& operator[](int dimension) noexcept {
    return values_[dimension];
  }
  constexpr void push_back(std::int64_t value) {
    expects(rank_ < max_rank, "a tensor has at most 6 dimensions");
    values_[rank_++] = value;
  }
  constexpr bool operator==(Extents const&) const noexcept = default;

 private:
  std::int64_t values_[max_rank] = {};
  int rank_ = 0;
};

/// Extents of a whole tensor, outermost first.
using Shape = Extents;

/// Number of elements: the product of the extents, 1 for a scalar. Throws when it overflows.
[[nodiscard]] constexpr std::int64_t element_count(Extents const& shape) {
  std::int64_t count = 1;
  for (int d = 0; d < shape.rank(); ++d) {
    count = checked_multiply(count, shape[d]);
  }
  return count;
}

/// Strides, in elements, of a row-major tensor of this shape.
[[nodiscard]] constexpr Extents row_major_strides(Shape const& shape) {
  Extents strides = Extents::filled(shape.rank(), 1);
  for (int d = shape.rank() - 2; d >= 0; --d) {
    strides[d] = checked_multiply(strides[d + 1], shape[d + 1]);
  }
  return strides;
}

/// `(4096, 1024)`.
template <class = void>
[[nodiscard]] std::string to_string(Extents const& extents) {
  std::string out = "(";
  for (int d = 0; d < extents.rank(); ++d) {
    out += text(d == 0 ? "" : ", ", extents[d]);
  }
  return out + ")";
}

}  // namespace rlhf::inline v0
