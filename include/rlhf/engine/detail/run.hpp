/// @file
/// What the phases of an engine share. Layer: engine, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/data/draws.hpp>
#include <rlhf/engine/detail/parts.hpp>
#include <rlhf/engine/detail/progress.hpp>
#include <rlhf/engine/detail/versions.hpp>
#include <rlhf/engine/detail/watch.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::engine::detail {

template <class C, class... Nodes>
struct Run {
  using World = C;
  using AllParts = Parts<Nodes...>;
  template <std::size_t At>
  using NodeAt = typename AllParts::template NodeAt<At>;

  Run(C& all_ranks, Options settings, Nodes... nodes)
      : world(&all_ranks),
        options(std::move(settings)),
        parts(std::move(nodes)...),
        versions(parts),
        watch(all_ranks,
              options.trace_events < 0 ? 0 : static_cast<std::size_t>(options.trace_events)) {}

  /// Runs a phase of a part, which is its name in timers, too.
  template <class Phase>
  void guarded(std::string_view part, std::string_view phase, Phase&& run_phase) {
    watch.run(part, phase, phase, run_phase);
  }

  C* world;
  Options options;
  AllParts parts;
  Progress progress{};
  Versions versions;
  Watch<C> watch;
  runtime::Metrics metrics{};
  EpisodeReport report{};
  std::vector<data::Draw> draws{};
};

[[nodiscard]] inline double seconds_since(std::int64_t start) noexcept {
  return static_cast<double>(steady_nanoseconds() - start) * 1e-9;
}

}  // namespace rlhf::inline v0::engine::detail
