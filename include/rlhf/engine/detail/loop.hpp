/// @file
/// The episode loop of an engine whose graph is sound. Layer: engine, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/engine/detail/check_options.hpp>
#include <rlhf/engine/detail/expect_same.hpp>
#include <rlhf/engine/detail/residence.hpp>
#include <rlhf/engine/detail/rollout.hpp>
#include <rlhf/engine/detail/run.hpp>
#include <rlhf/engine/detail/run_checkpoints.hpp>
#include <rlhf/engine/detail/training.hpp>
#include <rlhf/engine/detail/weight_syncs.hpp>
#include <rlhf/engine/observer.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/runtime/offload.hpp>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::engine::detail {

/// The working loop, and one that accepts everything where the graph is wrong, so that the refusal
/// is the only error.
template <bool Valid, class C, class... Nodes>
class Loop {
 public:
  template <class... Anything>
  explicit Loop(Anything&&...) noexcept {}
  template <class... Observer>
  void run(Observer&&...);
  template <class... Observer>
  void begin(Observer&&...);
  template <class... Observer>
  void round(Observer&&...);
  [[nodiscard]] runtime::Timers& timers() noexcept;
  [[nodiscard]] runtime::Trace& trace() noexcept;
  [[nodiscard]] runtime::Metrics& metrics() noexcept;
  [[nodiscard]] std::vector<runtime::Metric> take_metrics();
  void use(runtime::ErrorSignal&) noexcept;
  [[nodiscard]] Episode episode() const noexcept;
  [[nodiscard]] EpisodeReport const& report() const noexcept;
  [[nodiscard]] Options const& options() const noexcept;
};

template <class C, class... Nodes>
class Loop<true, C, Nodes...> {
 public:
  Loop(C& world, Options options, Nodes... nodes)
      : run_(world, std::move(options), std::move(nodes)...) {
    check_options(run_);
    Progress& progress = run_.progress;
    progress.episodes = run_.options.episodes;
    progress.ahead = run_.options.episodes_ahead;
    progress.reserve();
    if (progress.ahead > 0 && !run_.parts.mark_ahead()) {
      fail(
          Errc::invalid_argument,
          text("engine::Options::episodes_ahead is ", progress.ahead, ", but every rank ",
               "that draws prompts also trains, so that nothing can be generated beside training; ",
               "give the generator ranks of its own, or set episodes_ahead to 0"));
    }
    run_.parts.for_each([&](auto& work) { work.made.resize(progress.rows.size()); });
  }
  Loop(Loop&&) = delete;
  Loop(Loop const&) = delete;
  Loop& operator=(Loop&&) = delete;
  Loop& operator=(Loop const&) = delete;
  ~Loop() = default;

  /// All episodes that are left. Collective over the world.
  template <class Observer = NoObserver>
  void run(Observer&& observer = {}) {
    static_assert(sizeof(CheckObserver<Observer, Nodes...>) != 0);
    begin(observer);
    while (run_.progress.episode < run_.options.episodes) {
      round(observer);
    }
    run_.guarded("engine", "end",
                 [&, this] { run_.world->barrier(); });  // all, or none without an error
  }
  /// `run` in two: everything before the first episode, then one episode at a time.
  template <class Observer = NoObserver>
  void begin(Observer&& observer = {}) {
    run_.guarded("engine", "options", [&, this] { expect_same_settings(run_); });
    run_.parts.for_each_model([&, this](auto& model, std::string_view name) {
      run_.guarded(name, "setup", [&, this] {
        hook::setup(model);
        if (run_.options.offload && model.present()) {
          static_cast<void>(runtime::offload(model));
        }
      });
    });
    run_.parts.for_each_model([&, this](auto& model, std::string_view name) {
      run_.guarded(name, "validate", [&] { hook::validate(model); });
    });
    bool const resumed = load_run(run_);
    if constexpr (requires { observer.begun(resumed); }) {
      run_.guarded("engine", "begun", [&] { observer.begun(resumed); });
    }
    syncs_.begin(run_, resumed);
    for (std::int64_t e = run_.progress.episode + run_.progress.made();
         e < run_.progress.end_of_flight(); ++e) {
      make_ahead(e, observer);
    }
    if (!resumed && run_.options.evaluate_before) {
      evaluate(observer);
    }
    begun_ = true;
    run_.watch.timers().clear();  // what follows are episodes
  }
  template <class Observer = NoObserver>
  void round(Observer&& observer = {}) {
    static_assert(sizeof(CheckObserver<Observer, Nodes...>) != 0);
    expects(begun_, "an engine's round comes behind its begin");
    expects(run_.progress.episode < run_.options.episodes,
            "an engine has no episode left: engine::Options::episodes are done");
    {
      runtime::Phase const timed(&run_.watch.timers(), &run_.watch.trace(), "episode", "engine");
      one_round(observer);
    }
  }

  /// Episodes that are done.
  [[nodiscard]] Episode episode() const noexcept { return Episode{run_.progress.episode}; }
  [[nodiscard]] EpisodeReport const& report() const noexcept { return run_.report; }
  [[nodiscard]] Options const& options() const noexcept { return run_.options; }
  /// Host time of this rank by phase, since `begin` or the last `clear`: `episode/policy` and so
  /// on. They add up to `episode`.
  [[nodiscard]] runtime::Timers& timers() noexcept { return run_.watch.timers(); }
  /// The same as spans, of `Options::trace_events` events; for `runtime::gather`.
  [[nodiscard]] runtime::Trace& trace() noexcept { return run_.watch.trace(); }
  /// For metrics of observers and hooks; `take_metrics` takes them, too.
  [[nodiscard]] runtime::Metrics& metrics() noexcept { return run_.metrics; }
  /// Metrics since the last call, over all ranks: of trainers whose `train_step` returns something
  /// with `metrics(visit)`, as `policy/loss`, and those put into `metrics()`. `visit(name, value)`
  /// is weighted by the rows that the call had on its share, `visit(name, value, weight)` as it
  /// says; shares without rows are not asked. Collective; the same on every rank.
  [[nodiscard]] auto take_metrics() {
    run_.parts.for_each([&, this](auto& work) {
      run_.metrics.merge(work.metrics);
      work.metrics.clear();
    });
    return run_.metrics.take(*run_.world);
  }
  /// Errors of phases go through this signal, too. It must outlive the engine.
  void use(runtime::ErrorSignal& signal) noexcept { run_.watch.use(signal); }

 private:
  template <class Observer>
  void one_round(Observer& observer) {
    std::int64_t const start = steady_nanoseconds();
    std::int64_t const e = run_.progress.episode;
    run_.watch.set_episode(e);
    std::int64_t const next = e + run_.options.episodes_ahead;
    run_.report = {};
    if (run_.options.episodes_ahead > 0) {
      receive_from_ahead(run_, e);
      if (next < run_.options.episodes) {
        make_ahead(next, observer);
      }
    } else {
      draw(run_, e);
    }
    before_episode(false);
    make(run_, e, false, observer);
    run_.report.episode = e;
    run_.report.rows = run_.progress.rows[run_.progress.slot(e)];
    run_.report.version = run_.progress.versions[run_.progress.slot(e)];
    run_.report.version_lag = e - run_.report.version;
    run_.report.rollout_seconds = seconds_since(start);
    train(run_, e, observer);
    after_episode(false);
    ++run_.progress.episode;
    syncs_.run_due(run_);
    run_.progress.restores = false;
    if (run_.options.evaluate_every > 0 &&
        run_.progress.episode % run_.options.evaluate_every == 0) {
      evaluate(observer);
    }
    run_.report.seconds = seconds_since(start);
    tell_finished(observer);
    if (is_time_to_save()) {
      save_run(run_);
    }
  }
  template <class Observer>
  void tell_finished(Observer& observer) {
    using Metrics = std::vector<runtime::Metric>;
    if constexpr (requires(Metrics const& metrics) { observer.finished(run_.report, metrics); }) {
      run_.guarded("engine", "finished", [&, this] {
        Metrics const metrics = take_metrics();
        observer.finished(run_.report, metrics);
      });
    } else if constexpr (requires { observer.finished(run_.report); }) {
      run_.guarded("engine", "finished", [&, this] { observer.finished(run_.report); });
    }
  }

  template <class Observer>
  void make_ahead(std::int64_t episode, Observer& observer) {
    run_.watch.set_episode(episode);  // errors name it
    draw(run_, episode);
    before_episode(true);
    make(run_, episode, true, observer);
    after_episode(true);
    run_.progress.flown = episode + 1;
    run_.watch.set_episode(run_.progress.episode);
  }
  template <class Observer>
  void evaluate(Observer& observer) {
    if constexpr (requires { observer.evaluate(Episode{}); }) {
      run_.guarded("engine", "evaluation", [&, this] {
        bring_evaluated(run_);
        observer.evaluate(episode());
      });
    }
  }
  void before_episode(bool ahead) {
    run_.parts.for_each_model([&, this](auto& model, std::string_view name) {
      if (run_.parts.is_ahead(&model) == ahead) {
        run_.guarded(name, "before_episode", [&] { hook::before_episode(model); });
      }
    });
  }
  void after_episode(bool ahead) {
    run_.parts.for_each_model([&, this](auto& model, std::string_view name) {
      if (run_.parts.is_ahead(&model) == ahead) {
        run_.guarded(name, "after_episode", [&] { hook::after_episode(model); });
      }
    });
  }
  [[nodiscard]] bool is_time_to_save() const noexcept {
    Options const& options = run_.options;
    if (options.checkpoints.empty() || options.save_every == 0) {
      return false;
    }
    std::int64_t const done = run_.progress.episode;
    bool const due = done >= run_.progress.saved + options.save_every;
    return done == options.episodes || (due && run_.progress.in_step);
  }

  Run<C, Nodes...> run_;
  WeightSyncs<C, Nodes...> syncs_{};
  bool begun_ = false;
};

}  // namespace rlhf::inline v0::engine::detail
