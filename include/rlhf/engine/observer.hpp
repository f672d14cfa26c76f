/// @file
/// What watches a run: the members that an observer may have. Layer: engine.
#pragma once

#include <rlhf/core/ids.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine {

/// Tells nobody anything. What `run` takes may have any of these members; each is called on the
/// rank where it happened.
///
/// | member | called |
/// |---|---|
/// | `begun(bool resumed)` | behind setup and loading, before the first sync; a warm-up, say |
/// | `made(Value const&, std::string_view stage)` | with the rows of a share, on its speaker |
/// | `trained(Result const&, std::string_view trainer)` | behind every `train_step`, on its ranks |
/// | `evaluate(Episode)` | on every rank, behind the syncs that are due, as often as the options
/// say | | `finished(EpisodeReport const&)` | behind every episode, on every rank; before its
/// checkpoint | | `finished(EpisodeReport const&, std::vector<runtime::Metric> const&)` | the same,
/// with `take_metrics()` |
struct NoObserver {};

namespace detail {

/// Takes metrics of a result: a mean over rows, or over weights of the trainer's own.
struct MetricVisitor {
  runtime::Metrics* into;
  std::int64_t rows;

  void operator()(std::string_view name, double value) const {
    into->weighted(name, value, static_cast<double>(rows));
  }
  void operator()(std::string_view name, double value, double weight) const {
    into->weighted(name, value, weight);
  }
};

template <class Result>
concept HasMetrics = requires(Result const& result) {
  result.metrics(MetricVisitor{});
};

}  // namespace detail
}  // namespace rlhf::inline v0::engine
