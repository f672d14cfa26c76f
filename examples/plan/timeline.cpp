#include "timeline.hpp"

#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/simulate.hpp>

#include <algorithm>
#include <cstddef>

namespace planner {
namespace {

namespace plan = rlhf::plan;

constexpr std::size_t most_rows = 16;
constexpr std::int64_t most_steps = std::int64_t{1} << 17;  // as predictions have

/// Which ranks the picture shows.
std::vector<TimelineRow> choose_rows(plan::Prediction const& prediction, std::optional<int> wanted,
                                     int& active) {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < prediction.ranks.size(); ++r) {
    auto const& load = prediction.ranks[r];
    if (load.sent + load.received > 0) {
      ranks.push_back(static_cast<int>(r));
    }
  }
  active = static_cast<int>(ranks.size());
  std::vector<int> by_load = ranks;
  std::stable_sort(by_load.begin(), by_load.end(), [&](int a, int b) {
    auto const load = [&](int rank) {
      auto const& one = prediction.ranks[static_cast<std::size_t>(rank)];
      return std::max(one.sent, one.received);
    };
    return load(a) < load(b);
  });
  std::vector<int> chosen;
  auto const add = [&](int rank) {
    if (std::find(chosen.begin(), chosen.end(), rank) == chosen.end()) {
      chosen.push_back(rank);
    }
  };
  if (!ranks.empty()) {
    add(prediction.slowest);
    add(by_load[by_load.size() / 2]);
  }
  if (wanted) {
    add(*wanted);
  }
  std::size_t const others = ranks.size() <= most_rows ? ranks.size() : most_rows - chosen.size();
  for (std::size_t i = 0; i < others; ++i) {
    add(ranks[ranks.size() == others ? i : i * (ranks.size() - 1) / (others - 1)]);
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<TimelineRow> rows;
  for (int const rank : chosen) {
    rows.push_back({rank, {}, {}, {}});
    if (rank == prediction.slowest) {
      rows.back().note = "slowest";
    } else if (ranks.size() > 2 && rank == by_load[by_load.size() / 2]) {
      rows.back().note = "median";
    }
  }
  return rows;
}

/// Joins bars that a picture cannot keep apart.
void join(std::vector<Bar>& bars, double gap, double widest) {
  std::vector<Bar> out;
  for (Bar const& bar : bars) {
    if (!out.empty() && out.back().slow == bar.slow && bar.begin - out.back().end <= gap &&
        bar.end - out.back().begin <= widest) {
      out.back().end = bar.end;
      out.back().buckets += bar.buckets;
      out.back().bytes += bar.bytes;
    } else {
      out.push_back(bar);
    }
  }
  bars = std::move(out);
}

}  // namespace

Timeline timeline_of(plan::Plan const& made, plan::Topology const& topology,
                     plan::Prediction const& prediction, std::optional<int> wanted) {
  Timeline out;
  out.rows = choose_rows(prediction, wanted, out.ranks);
  std::vector<TimelineRow*> row_of(static_cast<std::size_t>(made.world), nullptr);
  for (TimelineRow& row : out.rows) {
    row_of[static_cast<std::size_t>(row.rank)] = &row;
  }
  auto const add = [&](int rank, std::vector<Bar> TimelineRow::*lane, Bar const& bar) {
    if (TimelineRow* const row = row_of[static_cast<std::size_t>(rank)]) {
      (row->*lane).push_back(bar);
    }
  };
  out.seconds =
      plan::simulate(made, plan::flows_of(made), made.bucket_bytes, topology, most_steps,
                     [&](plan::SimulatedTransfer const& one, std::vector<int> const& to) {
                       Bar const bar{one.begin, one.end, one.slow, one.buckets, one.bytes};
                       add(one.from, &TimelineRow::sends, bar);
                       for (int const rank : to) {
                         add(rank, &TimelineRow::receives, bar);
                       }
                     });
  for (TimelineRow& row : out.rows) {
    for (auto* const lane : {&row.sends, &row.receives}) {
      // A thousandth is about a pixel; bars stay apart where they are wide enough to see.
      join(*lane, out.seconds / 4000, lane->size() > 200 ? out.seconds / 200 : 0);
    }
  }
  return out;
}

}  // namespace planner
