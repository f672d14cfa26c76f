/// @file
/// Several sequences in a row of fixed length, so that little of a batch is padding. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/micro_batch.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rlhf::inline v0::data {

/// Which sequences share a row, and where each lies in it.
struct PackPlan {
  std::int64_t length = 0;                ///< Positions of a row.
  Rows<std::int64_t> sequences;           ///< Of each row, in the order in which they lie there.
  Rows<std::int32_t> cumulative;          ///< Of each row: 0, then where each sequence ends.
  std::vector<std::int64_t> row_of;       ///< Of each sequence.
  std::vector<std::int64_t> position_of;  ///< Of each sequence, in its row.

  [[nodiscard]] std::int64_t rows() const noexcept { return sequences.size(); }
  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(row_of.size());
  }
  /// Positions that no sequence takes.
  [[nodiscard]] std::int64_t unused() const noexcept {
    std::int64_t used = 0;
    for (std::int64_t row = 0; row < rows(); ++row) {
      used += cumulative[row].back();
    }
    return rows() * length - used;
  }
};

/// Plans rows of `length` positions. Columns of one batch are packed by one plan.
///
/// by_length: first fit, the longest first (at most 11/9 of the fewest rows, and one); in_order:
/// sequences lie in their order. A function of the arguments alone. Cost: n log n.
/// Errors: invalid_argument, naming the sequence, for one longer than a row; a length out of range.
[[nodiscard]] inline PackPlan plan_packing(std::span<std::int64_t const> lengths,
                                           std::int64_t length,
                                           Grouping grouping = Grouping::by_length) {
  expects(length > 0 && length <= INT32_MAX, "the length of a packed row must be 1 to 2^31 - 1");
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > length) {
      fail(Errc::invalid_argument, text("sequence ", i, " has ", lengths[i], " positions, a row ",
                                        "has ", length, "; cut it, or choose longer rows"));
    }
  }
  PackPlan plan;
  plan.length = length;
  plan.sequences = micro_batches_by_tokens(lengths, {.tokens = length, .grouping = grouping});
  plan.row_of.resize(lengths.size());
  plan.position_of.resize(lengths.size());
  std::vector<std::int32_t> ends;
  for (std::int64_t row = 0; row < plan.rows(); ++row) {
    std::int64_t at = 0;
    ends.assign(1, 0);
    for (std::int64_t const sequence : plan.sequences[row]) {
      plan.row_of[static_cast<std::size_t>(sequence)] = row;
      plan.position_of[static_cast<std::size_t>(sequence)] = at;
      at += lengths[static_cast<std::size_t>(sequence)];
      ends.push_back(static_cast<std::int32_t>(at));
    }
    plan.cumulative.push_back(ends);
  }
  return plan;
}

/// The rows of a column, packed; what no sequence takes is `fill`. Shape (rows, length, inner).
///
/// Errors: invalid_argument unless the column has the lengths that were planned.
template <class T>
[[nodiscard]] std::vector<T> pack(Rows<T> const& column, PackPlan const& plan, T fill = {}) {
  if (column.size() != plan.size()) {
    fail(Errc::invalid_argument,
         text("the column has ", column.size(), " rows, ", plan.size(), " sequences were planned"));
  }
  std::int64_t const inner = column.inner();
  std::vector<T> out(
      static_cast<std::size_t>(checked_multiply(checked_multiply(plan.rows(), plan.length), inner)),
      fill);
  for (std::int64_t row = 0; row < plan.rows(); ++row) {
    std::span<std::int64_t const> const sequences = plan.sequences[row];
    std::span<std::int32_t const> const ends = plan.cumulative[row];
    for (std::size_t k = 0; k < sequences.size(); ++k) {
      std::int64_t const planned = ends[k + 1] - ends[k];
      if (column.length(sequences[k]) != planned) {
        fail(Errc::invalid_argument,
             text("row ", sequences[k], " of the column has ", column.length(sequences[k]),
                  " positions, ", planned, " were planned"));
      }
      T* to = out.data() + (row * plan.length + ends[k]) * inner;
      for (T const& value : column[sequences[k]]) {
        *to++ = value;
      }
    }
  }
  return out;
}

/// The rows that were packed: `unpack(pack(column, plan), plan, column.inner())` is the column.
///
/// Errors: invalid_argument unless there are as many values as the plan's rows hold.
template <class T>
[[nodiscard]] Rows<T> unpack(std::span<T const> packed, PackPlan const& plan,
                             std::int64_t inner = 1) {
  std::int64_t const expected = checked_multiply(checked_multiply(plan.rows(), plan.length), inner);
  if (static_cast<std::int64_t>(packed.size()) != expected) {
    fail(Errc::invalid_argument, text("there are ", packed.size(), " packed values, the plan has ",
                                      plan.rows(), " rows of ", plan.length * inner));
  }
  Rows<T> out(inner);
  std::vector<std::size_t> place(static_cast<std::size_t>(plan.rows()), 0);
  for (std::size_t sequence = 0; sequence < plan.row_of.size(); ++sequence) {
    std::int64_t const row = plan.row_of[sequence];
    // Sequences lie in their rows in rising order.
    std::size_t const k = place[static_cast<std::size_t>(row)]++;
    std::int64_t const begin = plan.cumulative[row][k];
    std::int64_t const end = plan.cumulative[row][k + 1];
    out.push_back(packed.subspan(static_cast<std::size_t>((row * plan.length + begin) * inner),
                                 static_cast<std::size_t>((end - begin) * inner)));
  }
  return out;
}
template <class T>
[[nodiscard]] Rows<T> unpack(std::vector<T> const& packed, PackPlan const& plan,
                             std::int64_t inner = 1) {
  return unpack(std::span<T const>(packed), plan, inner);
}

/// Each position's place in its own sequence; 0 where there is none. Shape (rows, length).
[[nodiscard]] inline std::vector<std::int32_t> position_ids(PackPlan const& plan) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(plan.rows() * plan.length), 0);
  for (std::int64_t row = 0; row < plan.rows(); ++row) {
    std::span<std::int32_t const> const ends = plan.cumulative[row];
    for (std::size_t k = 0; k + 1 < ends.size(); ++k) {
      for (std::int32_t at = ends[k]; at < ends[k + 1]; ++at) {
        out[static_cast<std::size_t>(row * plan.length + at)] = at - ends[k];
      }
    }
  }
  return out;
}

}  // namespace rlhf::inline v0::data
