#include "timeline.hpp"

#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/turns.hpp>

#include <algorithm>
#include <cstddef>
#include <tuple>

namespace planner {
namespace {

namespace plan = rlhf::plan;

constexpr std::size_t most_rows = 16;

/// One bucket of a flow, before its pieces are known: sizes are all that time depends on.
struct Step {
  std::int32_t turn;
  std::size_t flow;
  std::int64_t bytes;
};

std::vector<Step> steps_of(plan::Plan const& made, std::vector<plan::Flow> const& flows) {
  auto const turns = plan::turns_of(made, flows);
  std::vector<Step> steps;
  for (std::size_t f = 0; f < flows.size(); ++f) {
    std::int64_t left = flows[f].bytes;
    for (std::int64_t round = 0; left > 0; ++round) {
      std::int64_t const bytes = std::min(left, made.bucket_bytes);
      steps.push_back({turns.of(f, round), f, bytes});
      left -= bytes;
    }
  }
  std::sort(steps.begin(), steps.end(), [](Step const& a, Step const& b) {
    return std::tie(a.turn, a.flow) < std::tie(b.turn, b.flow);
  });
  return steps;
}

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

/// The clock of every rank and direction, and the bars of the rows.
class Clocks {
 public:
  Clocks(plan::Topology const& topology, std::size_t world, std::vector<TimelineRow>& rows)
      : topology_(topology),
        sending_(world, 0),
        receiving_(world, 0),
        row_of_(world, nullptr) {
    for (TimelineRow& row : rows) {
      row_of_[static_cast<std::size_t>(row.rank)] = &row;
    }
  }

  /// One transfer to all receivers at once, not before `ready`. When it ends.
  double transfer(int from, std::vector<int> const& to, std::int64_t bytes, double ready) {
    double begin = std::max(ready, sending_[static_cast<std::size_t>(from)]);
    bool slow = false;
    for (int const rank : to) {
      begin = std::max(begin, receiving_[static_cast<std::size_t>(rank)]);
      slow = slow || topology_.domain_of(rank) != topology_.domain_of(from);
    }
    double const speed = slow ? topology_.slow_bytes_per_second : topology_.fast_bytes_per_second;
    Bar const bar{begin, begin + topology_.call_seconds + static_cast<double>(bytes) / speed, slow,
                  1, bytes};
    sending_[static_cast<std::size_t>(from)] = bar.end;
    add(from, &TimelineRow::sends, bar);
    for (int const rank : to) {
      receiving_[static_cast<std::size_t>(rank)] = bar.end;
      add(rank, &TimelineRow::receives, bar);
    }
    last_ = std::max(last_, bar.end);
    return bar.end;
  }
  [[nodiscard]] double last() const { return last_; }

 private:
  void add(int rank, std::vector<Bar> TimelineRow::*lane, Bar const& bar) {
    if (TimelineRow* const row = row_of_[static_cast<std::size_t>(rank)]) {
      (row->*lane).push_back(bar);
    }
  }

  plan::Topology const& topology_;
  std::vector<double> sending_;
  std::vector<double> receiving_;
  std::vector<TimelineRow*> row_of_;
  double last_ = 0;
};

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
  auto const flows = plan::flows_of(made);
  Clocks clocks(topology, static_cast<std::size_t>(made.world), out.rows);
  for (Step const& step : steps_of(made, flows)) {
    plan::Flow const& flow = flows[step.flow];
    auto const& path = made.paths[static_cast<std::size_t>(flow.path)];
    std::vector<double> arrived;
    if (path.method == plan::Method::broadcast) {
      arrived.assign(path.receivers.size(),
                     clocks.transfer(flow.source, path.receivers, step.bytes, 0));
    } else {
      for (int const rank : path.receivers) {
        arrived.push_back(clocks.transfer(flow.source, {rank}, step.bytes, 0));
      }
    }
    for (plan::Forward const& forward : path.forwards) {
      auto const at = static_cast<std::size_t>(
          std::find(path.receivers.begin(), path.receivers.end(), forward.from) -
          path.receivers.begin());
      clocks.transfer(forward.from, {forward.to}, step.bytes, arrived[at]);
    }
  }
  out.seconds = clocks.last();
  for (TimelineRow& row : out.rows) {
    for (auto* const lane : {&row.sends, &row.receives}) {
      // A thousandth is about a pixel; bars stay apart where they are wide enough to see.
      join(*lane, out.seconds / 4000, lane->size() > 200 ? out.seconds / 200 : 0);
    }
  }
  return out;
}

}  // namespace planner
