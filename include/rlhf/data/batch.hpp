/// @file
/// Splits, joins and rearranges batches of columns. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/columns.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::data {

/// Appends rows [begin, end) of a batch to another of the same columns.
///
/// Cost: a copy of the rows. Errors: invalid_argument for rows that are not there, columns of
/// different lengths, or other columns.
template <ColumnBatch B>
void append_rows(B& into, B const& from, std::int64_t begin, std::int64_t end) {
  std::int64_t const rows = row_count(from);
  if (begin < 0 || begin > end || end > rows) {
    fail(Errc::invalid_argument,
         text("rows ", begin, " to ", end, " are not among the ", rows, " rows of a batch"));
  }
  expects(&into != &from, "a batch cannot be appended to itself; append a copy");
  for_each_pair(into, from, [&](std::string_view, auto& column, auto const& other) {
    detail::adopt_shape(column, other);
    for (std::int64_t row = begin; row < end; ++row) {
      detail::append_row(column, other, row);
    }
  });
}

/// The rows with these numbers, in this order; a row may come several times.
template <ColumnBatch B>
[[nodiscard]] B select(B const& batch, std::span<std::int64_t const> rows) {
  std::int64_t const count = row_count(batch);
  for (std::int64_t const row : rows) {
    if (row < 0 || row >= count) {
      fail(Errc::invalid_argument, text("row ", row, " is not one of the ", count, " of a batch"));
    }
  }
  B out;
  for_each_pair(out, batch, [&](std::string_view, auto& column, auto const& other) {
    detail::adopt_shape(column, other);
    for (std::int64_t const row : rows) {
      detail::append_row(column, other, row);
    }
  });
  return out;
}

/// Rows first, first + step, first + 2 step, ... of a batch.
///
/// Errors: invalid_argument for first < 0 or step < 1.
template <ColumnBatch B>
[[nodiscard]] B every(B const& batch, std::int64_t first, std::int64_t step) {
  expects(first >= 0 && step >= 1, "rows are taken from 0 or more, in steps of 1 or more");
  std::vector<std::int64_t> rows;
  for (std::int64_t row = first; row < row_count(batch); row += step) {
    rows.push_back(row);
  }
  return select(batch, std::span<std::int64_t const>(rows));
}

/// Batches one after the other. Of none: an empty batch. `join(split_by(b, n))` is b.
template <ColumnBatch B>
[[nodiscard]] B join(std::span<B const> parts) {
  B out;
  for (B const& part : parts) {
    append_rows(out, part, 0, row_count(part));
  }
  return out;
}
template <ColumnBatch B>
[[nodiscard]] B join(std::vector<B> const& parts) {
  return join(std::span<B const>(parts));
}

/// Micro-batches of `rows` samples each, the last one with what is left; of no samples: none.
///
/// Errors: invalid_argument for rows < 1.
template <ColumnBatch B>
[[nodiscard]] std::vector<B> split_by(B const& batch, std::int64_t rows) {
  expects(rows >= 1, "a micro-batch needs at least one sample");
  std::int64_t const count = row_count(batch);
  std::vector<B> parts;
  for (std::int64_t begin = 0; begin < count; begin += rows) {
    append_rows(parts.emplace_back(), batch, begin, begin + rows < count ? begin + rows : count);
  }
  return parts;
}

/// Exactly `parts` batches, the first of them one sample longer where it does not divide; some are
/// empty where there are fewer samples than parts. Errors: invalid_argument for parts < 1.
template <ColumnBatch B>
[[nodiscard]] std::vector<B> split_into(B const& batch, std::int64_t parts) {
  expects(parts >= 1, "a batch is split into at least one part");
  std::int64_t const count = row_count(batch);
  std::vector<B> out;
  for (std::int64_t part = 0; part < parts; ++part) {
    IndexRange const range = split_evenly(count, parts, part);
    append_rows(out.emplace_back(), batch, range.begin, range.end);
  }
  return out;
}

/// A batch for each group of row numbers, such as `micro_batches_by_tokens` or `balance` makes.
template <ColumnBatch B>
[[nodiscard]] std::vector<B> split_by_groups(B const& batch, Rows<std::int64_t> const& groups) {
  std::vector<B> out;
  for (std::int64_t group = 0; group < groups.size(); ++group) {
    out.push_back(select(batch, groups[group]));
  }
  return out;
}

}  // namespace rlhf::inline v0::data
