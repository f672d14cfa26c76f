/// @file
/// What the timers of all ranks have measured. Layer: runtime.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/detail/name_union.hpp>
#include <rlhf/runtime/detail/table.hpp>
#include <rlhf/runtime/timers.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::runtime {

/// One timer over the ranks that have it. Times are nanoseconds, of the ranks' totals.
template <class Late = void>
struct BasicTimingRow {
  std::string path;
  int ranks = 0;           ///< That have measured something.
  std::int64_t count = 0;  ///< Intervals of all ranks.
  std::int64_t least = 0;  ///< The smallest total of a rank.
  double mean = 0;         ///< Of the totals.
  std::int64_t p95 = 0;    ///< The total that 95 % of the ranks do not exceed (nearest rank).
  std::int64_t most = 0;   ///< The largest total of a rank.
  int slowest = -1;        ///< World rank that has it.
};
template <class Late = void>
using BasicTimingSummary = std::vector<BasicTimingRow<Late>>;
using TimingRow = BasicTimingRow<>;

/// Compares timers over the ranks of `comm`; collective, the same result on every rank.
///
/// Ranks may have different timers: a row is of those that have it. Timers that run count until
/// now. Rows stand as in `visit` of rank 0, then what only later ranks have.
/// Cost: an all-gather of 16 bytes a timer and rank, and the names.
template <class Clock, comm::Communicator C>
[[nodiscard]] BasicTimingSummary<rlhf::detail::late<void, C>> summarize(
    C& comm, BasicTimers<Clock> const& timers) {
  using Late = rlhf::detail::late<void, C>;
  std::vector<BasicNamedTiming<Late>> own;
  timers.visit([&](std::string_view path, Timing const& timing) {
    own.push_back({std::string(path), timing});
  });
  detail::NameUnion<Late> names;
  names.update(
      comm, static_cast<int>(own.size()),
      [&](int i) { return std::string_view(own[static_cast<std::size_t>(i)].path); },
      [](int) { return 0; }, [](int) { return "a timer"; });

  auto const size = static_cast<std::size_t>(names.size());
  auto const ranks = static_cast<std::size_t>(comm.size());
  std::vector<rlhf::detail::late<std::int64_t, Late>> mine(
      2 * size, -1);  // (timer, count and total), -1 where it is missing
  std::vector<rlhf::detail::late<std::int64_t, Late>> all(2 * size * ranks);
  for (std::size_t i = 0; i < own.size(); ++i) {
    auto const at = 2 * static_cast<std::size_t>(names.place(static_cast<int>(i)));
    mine[at] = own[i].timing.count;
    mine[at + 1] = own[i].timing.total;
  }
  if (size != 0) {
    comm.all_gather(mine.data(), all.data(), static_cast<std::int64_t>(mine.size()), DType::i64,
                    {});
  }

  BasicTimingSummary<Late> rows(size);
  std::vector<rlhf::detail::late<std::int64_t, Late>> totals;
  for (std::size_t i = 0; i < size; ++i) {
    BasicTimingRow<Late>& row = rows[i];
    row.path = names.name(static_cast<int>(i));
    totals.clear();
    double sum = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      std::int64_t const* const cell = &all[2 * (r * size + i)];
      if (cell[0] < 0) {
        continue;
      }
      row.count += cell[0];
      sum += static_cast<double>(cell[1]);
      if (totals.empty() || cell[1] > row.most) {
        row.most = cell[1];
        row.slowest = comm.world_rank(static_cast<int>(r));
      }
      totals.push_back(cell[1]);
    }
    rlhf::detail::sort(totals);
    row.ranks = static_cast<int>(totals.size());
    row.least = totals.front();
    row.mean = sum / static_cast<double>(totals.size());
    row.p95 = totals[(totals.size() * 95 + 99) / 100 - 1];
  }
  return rows;
}

/// A table for people, times in seconds; a timer inside another is indented.
template <class Late>
[[nodiscard]] std::string to_string(BasicTimingSummary<Late> const& rows) {
  detail::Table<Late> table(
      {"timer [s]", "ranks", "count", "min", "mean", "p95", "max", "slowest"});
  auto const seconds = [](double nanoseconds) { return detail::fixed(nanoseconds * 1e-9, 6); };
  for (BasicTimingRow<Late> const& row : rows) {
    std::size_t const slash = row.path.rfind('/');
    std::string name = row.path.substr(slash == std::string::npos ? 0 : slash + 1);
    for (char const letter : row.path) {
      name.insert(0, letter == '/' ? "  " : "");
    }
    table.row({std::move(name), text(row.ranks), text(row.count),
               seconds(static_cast<double>(row.least)), seconds(row.mean),
               seconds(static_cast<double>(row.p95)), seconds(static_cast<double>(row.most)),
               text("rank ", row.slowest)});
  }
  return table.text();
}

}  // namespace rlhf::inline v0::runtime
