/// @file
/// Rows of different lengths as one rectangle. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::data {

/// Where the padding stands.
enum class PadSide : std::uint8_t {
  right,  ///< Behind the row: for training.
  left,   ///< Before the row: for generation, so that all rows end together.
};

/// How one column is padded; a batch has one for each of its keys.
template <class T>
struct Padding {
  T value{};
  PadSide side = PadSide::right;
  std::int64_t multiple_of = 1;
  /// 0: the longest row. Else this; longer rows are errors. Rounded up to `multiple_of`, too.
  std::int64_t width = 0;
};

/// Rows of one width. Shape (rows, width, inner), row-major.
template <class T>
struct Padded {
  std::vector<T> values;
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t inner = 1;
  std::vector<std::int64_t> lengths;  ///< Of each row without its padding.

  [[nodiscard]] std::span<T const> operator[](std::int64_t row) const noexcept {
    std::size_t const size = static_cast<std::size_t>(width * inner);
    return std::span<T const>(values).subspan(static_cast<std::size_t>(row) * size, size);
  }
  bool operator==(Padded const&) const = default;
};

/// Pads rows into `out`, whose memory is used again. `row(i)` is a span of the values of row i;
/// each position has `inner` values.
///
/// Cost: one pass over the result. Errors: invalid_argument for a row that is longer than
/// `padding.width` or has no whole positions, a result that does not fit, or options out of range.
template <class T, class RowOf>
void pad_rows(std::int64_t rows, std::int64_t inner, RowOf&& row, Padding<T> const& padding,
              Padded<T>& out) {
  expects(rows >= 0 && inner >= 1, "padding needs 0 or more rows of 1 or more values a position");
  expects(padding.multiple_of >= 1 && padding.multiple_of <= (std::int64_t{1} << 40),
          "Padding::multiple_of must be from 1 to 2^40");
  expects(padding.width >= 0, "Padding::width must be 0 (the longest row) or more");
  out.rows = rows;
  out.inner = inner;
  out.width = padding.width;
  out.lengths.clear();
  for (std::int64_t i = 0; i < rows; ++i) {
    std::int64_t const size = static_cast<std::int64_t>(std::span<T const>(row(i)).size());
    std::int64_t const length = size / inner;
    if (length * inner != size) {
      fail(Errc::invalid_argument, text("row ", i, " of ", size, " values has no whole positions ",
                                        "of ", inner, " values each"));
    }
    if (padding.width != 0 && length > padding.width) {
      fail(Errc::invalid_argument,
           text("row ", i, " has ", length, " positions, more than Padding::width, ", padding.width,
                "; cut the row, or choose a larger width"));
    }
    out.width = length > out.width ? length : out.width;
    out.lengths.push_back(length);
  }
  expects(out.width <= (std::int64_t{1} << 60), "the width of a padded row must be at most 2^60");
  out.width = align_up(out.width, padding.multiple_of);
  std::int64_t const count = checked_multiply(checked_multiply(rows, out.width), inner);
  if (count > (std::int64_t{1} << 44)) {
    fail(Errc::invalid_argument, text(rows, " rows padded to ", out.width, " positions of ", inner,
                                      " values do not fit into memory"));
  }
  out.values.resize(static_cast<std::size_t>(count));
  T* to = out.values.data();
  for (std::int64_t i = 0; i < rows; ++i) {
    std::span<T const> const values = row(i);
    std::int64_t const fill = (out.width - out.lengths[static_cast<std::size_t>(i)]) * inner;
    if (padding.side == PadSide::left) {
      for (std::int64_t k = 0; k < fill; ++k) {
        *to++ = padding.value;
      }
    }
    for (T const& value : values) {
      *to++ = value;
    }
    if (padding.side == PadSide::right) {
      for (std::int64_t k = 0; k < fill; ++k) {
        *to++ = padding.value;
      }
    }
  }
}

/// Pads the rows of a column.
template <class T>
void pad(Rows<T> const& rows, Padding<T> const& padding, Padded<T>& out) {
  pad_rows<T>(
      rows.size(), rows.inner(), [&](std::int64_t i) { return rows[i]; }, padding, out);
}
template <class T>
[[nodiscard]] Padded<T> pad(Rows<T> const& rows, Padding<T> const& padding = {}) {
  Padded<T> out;
  pad(rows, padding, out);
  return out;
}

/// The rows without their padding: `unpad(pad(rows, p), p.side)` is `rows`.
template <class T>
[[nodiscard]] Rows<T> unpad(Padded<T> const& padded, PadSide side) {
  Rows<T> out(padded.inner);
  for (std::int64_t i = 0; i < padded.rows; ++i) {
    std::int64_t const length = padded.lengths[static_cast<std::size_t>(i)];
    std::int64_t const begin = side == PadSide::left ? padded.width - length : 0;
    out.push_back(padded[i].subspan(static_cast<std::size_t>(begin * padded.inner),
                                    static_cast<std::size_t>(length * padded.inner)));
  }
  return out;
}

/// 1 where a padded tensor has a row's own positions, 0 where it has padding. Shape (rows, width).
template <class Mask = std::uint8_t, class T>
[[nodiscard]] Padded<Mask> mask_of(Padded<T> const& padded, PadSide side) {
  Padded<Mask> out{{}, padded.rows, padded.width, 1, padded.lengths};
  out.values.reserve(static_cast<std::size_t>(padded.rows * padded.width));
  for (std::int64_t i = 0; i < padded.rows; ++i) {
    std::int64_t const length = padded.lengths[static_cast<std::size_t>(i)];
    std::int64_t const begin = side == PadSide::left ? padded.width - length : 0;
    for (std::int64_t k = 0; k < padded.width; ++k) {
      out.values.push_back(static_cast<Mask>(k >= begin && k < begin + length ? 1 : 0));
    }
  }
  return out;
}

}  // namespace rlhf::inline v0::data
