/// @file
/// Batches as named columns, one row a sample. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {
namespace detail {

/// A visitor that takes anything, to ask whether a batch lists its columns.
struct AnyColumn {
  template <class Column>
  void operator()(std::string_view, Column&) const {}
};

template <class T>
[[nodiscard]] std::int64_t rows_of(std::vector<T> const& column) noexcept {
  return static_cast<std::int64_t>(column.size());
}
template <class T>
[[nodiscard]] std::int64_t rows_of(Rows<T> const& column) noexcept {
  return column.size();
}
template <class T>
void adopt_shape(std::vector<T>&, std::vector<T> const&) noexcept {}
/// What rows of `from` can be put into has its number of values a position; where there are none,
/// any has. One without rows takes it over.
template <class T>
void adopt_shape(Rows<T>& column, Rows<T> const& from) {
  if (column.inner() == from.inner() ||
      (from.size() == 0 && (column.size() != 0 || column.inner() != 1))) {
    return;
  }
  if (column.size() != 0) {
    fail(Errc::invalid_argument, text("rows of ", from.inner(), " values a position cannot join ",
                                      "rows of ", column.inner()));
  }
  column = Rows<T>(from.inner());
}
template <class T>
void append_row(std::vector<T>& column, std::vector<T> const& from, std::int64_t row) {
  column.push_back(from[static_cast<std::size_t>(row)]);
}
template <class T>
void append_row(Rows<T>& column, Rows<T> const& from, std::int64_t row) {
  column.push_back(from[row]);
}

}  // namespace detail

/// A batch lists its columns, always the same ones in the same order:
///
///     struct Rollout {
///       data::Rows<std::int32_t> tokens;
///       std::vector<float> reward;
///       template <class Visit>
///       void columns(Visit&& visit) {
///         visit("tokens", tokens);
///         visit("reward", reward);
///       }
///     };
///
/// A column is a `Rows<T>` or a `std::vector<T>`; row i of every column belongs to sample i. With
/// that, batches are split, joined, rearranged, buffered and saved by functions of this library.
template <class B>
concept ColumnBatch = std::is_default_constructible_v<B> && std::is_copy_constructible_v<B> &&
    requires(B& batch) {
  batch.columns(detail::AnyColumn{});
};

/// Calls `visit(name, column const&)` for each column.
template <ColumnBatch B, class Visit>
void for_each_column(B const& batch, Visit&& visit) {
  // `columns` is one member for both; nothing is written through it here.
  const_cast<B&>(batch).columns(
      [&](std::string_view name, auto& column) { visit(name, std::as_const(column)); });
}

/// Number of samples. Errors: invalid_argument when a column has more or fewer rows than the first.
template <ColumnBatch B>
[[nodiscard]] std::int64_t row_count(B const& batch) {
  std::int64_t rows = -1;
  std::string_view first;
  for_each_column(batch, [&](std::string_view name, auto const& column) {
    std::int64_t const own = detail::rows_of(column);
    if (rows < 0) {
      rows = own;
      first = name;
    } else if (own != rows) {
      fail(Errc::invalid_argument, text("the column ", name, " has ", own, " rows, the column ",
                                        first, " has ", rows, "; every sample needs one in each"));
    }
  });
  return rows < 0 ? 0 : rows;
}

/// Calls `visit(name, into's column, from's column)` for each pair of columns.
///
/// Errors: invalid_argument when the two do not list the same columns.
template <ColumnBatch B, class Visit>
void for_each_pair(B& into, B const& from, Visit&& visit) {
  std::int64_t columns = 0;
  into.columns([&](std::string_view name, auto& column) {
    std::int64_t at = 0;
    bool found = false;
    for_each_column(from, [&](std::string_view other_name, auto const& other) {
      if (at++ == columns && other_name == name) {
        if constexpr (std::is_same_v<
                          decltype(column),
                          std::remove_const_t<std::remove_reference_t<decltype(other)>>&>) {
          visit(name, column, other);
          found = true;
        }
      }
    });
    if (!found) {
      fail(Errc::invalid_argument,
           text("the batches do not have the same columns: ", name, " is in one of them only"));
    }
    ++columns;
  });
  std::int64_t others = 0;
  for_each_column(from, [&](std::string_view, auto const&) { ++others; });
  if (others != columns) {
    fail(Errc::invalid_argument, text("the batches do not have the same columns: one has ", columns,
                                      ", the other ", others));
  }
}

}  // namespace rlhf::inline v0::data
