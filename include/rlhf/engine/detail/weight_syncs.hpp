/// @file
/// The links of an engine's syncs, and when they move weights. Layer: engine, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/engine/detail/residence.hpp>
#include <rlhf/engine/detail/run.hpp>
#include <rlhf/parallel/lora.hpp>
#include <rlhf/runtime/lora.hpp>
#include <rlhf/sync/link.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>

namespace rlhf::inline v0::engine::detail {

template <class C, class Node>
struct LinkOf {
  using type = Nothing;
};
template <class C, class S, class D>
struct LinkOf<C, SyncNode<S, D>> {
  using type = sync::Link<S, D, C>;
};

template <class C, class... Nodes>
class WeightSyncs {
  template <std::size_t At>
  using NodeAt = typename Parts<Nodes...>::template NodeAt<At>;

 public:
  /// Makes the links, and the first sync: of all of them in a fresh run; of those that sync again
  /// in one that was resumed, whose other destinations come from their own checkpoints. So do those
  /// of a source that a later sync refreshes: what it had before is gone.
  void begin(Run<C, Nodes...>& run, bool resumed) {
    Parts<Nodes...>::in_order([&, this]<std::size_t At>() {
      if constexpr (NodeAt<At>::kind == NodeKind::sync) {
        auto& node = run.parts.template at<At>().node;
        auto& link = std::get<At>(links_);
        run.guarded(node.name, "plan", [&] {
          bring_both(run, node);
          link.emplace(*run.world, *node.source, *node.destination, node.options);
        });
        if (!resumed || (node.frequency > 0 && !run.versions.is_before_its_source(At))) {
          run.guarded(node.name, "sync", [&] {
            with_adapters(node, [&] { link->sync(Version{run.progress.episode}); });
          });
          run.versions.synced(node.source, node.destination, run.progress.episode);
        }
      }
    });
  }

  /// Those that are due behind the episodes that are done.
  void run_due(Run<C, Nodes...>& run) {
    std::int64_t const start = steady_nanoseconds();
    run.progress.in_step = true;
    Parts<Nodes...>::in_order([&, this]<std::size_t At>() {
      if constexpr (NodeAt<At>::kind == NodeKind::sync) {
        auto& node = run.parts.template at<At>().node;
        if (sync::due(node.frequency, run.progress.episode)) {
          run_one(run, node, *std::get<At>(links_));
        } else if (node.frequency != 0) {
          run.progress.in_step = false;
        }
      }
    });
    run.report.sync_seconds = seconds_since(start);
  }

 private:
  template <class Node, class Link>
  static void run_one(Run<C, Nodes...>& run, Node& node, Link& link) {
    run.watch.run(node.name, "sync", node.name, [&] {
      if (bring_both(run, node)) {
        link.rebind(sync::Contents::kept);
      }
      with_adapters(node, [&] { link.sync(Version{run.progress.episode}); });
      note_phases(run, link.report());
    });
    run.versions.synced(node.source, node.destination, run.progress.episode);
    run.report.sync_bytes += link.report().bytes;
  }
  /// `call()` with the source's adapters in its weights, unless the destination has adapters of its
  /// own, or gets nothing but adapters.
  template <class S, class D, class Call>
  static void with_adapters(SyncNode<S, D>& node, Call&& call) {
    if constexpr (runtime::HasLora<S> && !runtime::HasLora<D>) {
      if (node.source->present() && node.options.wanted != &lora::is_factor) {
        runtime::with_fused_lora(*node.source, call);
        return;
      }
    }
    call();
  }
  /// Phases of a sync as timers below its own: `episode/weights/move` and so on.
  static void note_phases(Run<C, Nodes...>& run, sync::SyncReport const& report) {
    auto const note = [&](std::string_view phase, double seconds) {
      run.watch.timers().add(phase, static_cast<std::int64_t>(seconds * 1e9));
    };
    note("move", report.move_seconds);
    note("verify", report.verify_seconds);
    note("commit", report.commit_seconds);
  }

  std::tuple<std::optional<typename LinkOf<C, Nodes>::type>...> links_{};
};

}  // namespace rlhf::inline v0::engine::detail
