/// @file
/// The episode loop of an engine whose graph is sound. Layer: engine, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/engine/detail/parts.hpp>
#include <rlhf/engine/detail/progress.hpp>
#include <rlhf/engine/detail/residence.hpp>
#include <rlhf/engine/detail/run_checkpoints.hpp>
#include <rlhf/engine/detail/versions.hpp>
#include <rlhf/engine/detail/watch.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/sync/link.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
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
/// | `evaluate(Episode)` | on every rank, with synced weights, as often as the options say |
/// | `finished(EpisodeReport const&)` | behind every episode, on every rank; before its checkpoint
/// | | `finished(EpisodeReport const&, std::vector<runtime::Metric> const&)` | the same, with
/// `take_metrics()` |
struct NoObserver {};

namespace detail {

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
  using Kind = NodeKind;
  using AllParts = Parts<Nodes...>;
  template <std::size_t At>
  using NodeAt = typename AllParts::template NodeAt<At>;

 public:
  Loop(C& world, Options options, Nodes... nodes)
      : world_(&world),
        options_(std::move(options)),
        parts_(std::move(nodes)...),
        versions_(parts_),
        watch_(world,
               options_.trace_events < 0 ? 0 : static_cast<std::size_t>(options_.trace_events)) {
    check_options();
    progress_.episodes = options_.episodes;
    progress_.ahead = options_.episodes_ahead;
    progress_.reserve();
    if (options_.episodes_ahead > 0 && !parts_.mark_ahead()) {
      fail(
          Errc::invalid_argument,
          text("engine::Options::episodes_ahead is ", options_.episodes_ahead, ", but every rank ",
               "that draws prompts also trains, so that nothing can be generated beside training; ",
               "give the generator ranks of its own, or set episodes_ahead to 0"));
    }
    parts_.for_each([&](auto& work) { work.made.resize(progress_.rows.size()); });
  }
  Loop(Loop&&) = delete;
  Loop(Loop const&) = delete;
  Loop& operator=(Loop&&) = delete;
  Loop& operator=(Loop const&) = delete;
  ~Loop() = default;

  /// All episodes that are left. Collective over the world.
  template <class Observer = NoObserver>
  void run(Observer&& observer = {}) {
    begin(observer);
    while (progress_.episode < options_.episodes) {
      round(observer);
    }
  }
  /// `run` in two: everything before the first episode, then one episode at a time.
  template <class Observer = NoObserver>
  void begin(Observer&& observer = {}) {
    parts_.for_each_model([&](auto& model, std::string_view name) {
      guarded(name, "setup", [&] {
        hook::setup(model);
        if (options_.offload && model.present()) {
          static_cast<void>(runtime::offload(model));
        }
      });
    });
    parts_.for_each_model([&](auto& model, std::string_view name) {
      guarded(name, "validate", [&] { hook::validate(model); });
    });
    bool const resumed = load_run(*world_, watch_, parts_, progress_, options_,
                                  [&](auto& model) { bring(model, runtime::Parts::all()); });
    if constexpr (requires { observer.begun(resumed); }) {
      guarded("engine", "begun", [&] { observer.begun(resumed); });
    }
    make_links(resumed);
    for (std::int64_t e = progress_.episode + progress_.made; e < progress_.end_of_flight(); ++e) {
      make_ahead(e, observer);
    }
    if (!resumed && options_.evaluate_before) {
      evaluate(observer);
    }
    begun_ = true;
    watch_.timers().clear();  // what follows are episodes
  }
  template <class Observer = NoObserver>
  void round(Observer&& observer = {}) {
    expects(begun_, "an engine's round comes behind its begin");
    expects(progress_.episode < options_.episodes,
            "an engine has no episode left: engine::Options::episodes are done");
    {
      runtime::Phase const timed(&watch_.timers(), &watch_.trace(), "episode", "engine");
      one_round(observer);
    }
  }

  /// Episodes that are done.
  [[nodiscard]] Episode episode() const noexcept { return Episode{progress_.episode}; }
  [[nodiscard]] EpisodeReport const& report() const noexcept { return report_; }
  [[nodiscard]] Options const& options() const noexcept { return options_; }
  /// Host time of this rank by phase, since `begin` or the last `clear`: `episode/policy` and so
  /// on. They add up to `episode`.
  [[nodiscard]] runtime::Timers& timers() noexcept { return watch_.timers(); }
  /// The same as spans, of `Options::trace_events` events; for `runtime::gather`.
  [[nodiscard]] runtime::Trace& trace() noexcept { return watch_.trace(); }
  /// For metrics of observers and hooks; `take_metrics` takes them, too.
  [[nodiscard]] runtime::Metrics& metrics() noexcept { return metrics_; }
  /// Metrics since the last call, over all ranks: of trainers whose `train_step` returns something
  /// with `metrics(visit)`, which calls `visit(name, value)` or `visit(name, value, weight)`, as
  /// `policy/loss`; and those put into `metrics()`. Collective; the same on every rank.
  [[nodiscard]] auto take_metrics() {
    parts_.for_each([&](auto& work) {
      metrics_.merge(work.metrics);
      work.metrics.clear();
    });
    return metrics_.take(*world_);
  }
  /// Errors of phases go through this signal, too. It must outlive the engine.
  void use(runtime::ErrorSignal& signal) noexcept { watch_.use(signal); }

 private:
  template <class Observer>
  void one_round(Observer& observer) {
    std::int64_t const start = steady_nanoseconds();
    std::int64_t const e = progress_.episode;
    watch_.set_episode(e);
    std::int64_t const next = e + options_.episodes_ahead;
    report_ = {};
    if (options_.episodes_ahead > 0) {
      receive_from_ahead(e);
      if (next < options_.episodes) {
        make_ahead(next, observer);
      }
    } else {
      draw(e);
    }
    before_episode(false);
    make(e, false, observer);
    report_.episode = e;
    report_.rows = progress_.rows[progress_.slot(e)];
    report_.version = progress_.versions[progress_.slot(e)];
    report_.version_lag = e - report_.version;
    report_.rollout_seconds = seconds_since(start);
    train(e, observer);
    after_episode(false);
    ++progress_.episode;
    sync_due();
    if (options_.evaluate_every > 0 && progress_.episode % options_.evaluate_every == 0) {
      evaluate(observer);
    }
    report_.seconds = seconds_since(start);
    tell_finished(observer);
    if (is_time_to_save()) {
      save_run(*world_, watch_, parts_, progress_, options_,
               [&](auto& model) { bring(model, runtime::Parts::all()); });
    }
  }
  template <class Observer>
  void tell_finished(Observer& observer) {
    using Metrics = std::vector<runtime::Metric>;
    if constexpr (requires(Metrics const& metrics) { observer.finished(report_, metrics); }) {
      guarded("engine", "finished", [&] {
        Metrics const metrics = take_metrics();
        observer.finished(report_, metrics);
      });
    } else if constexpr (requires { observer.finished(report_); }) {
      guarded("engine", "finished", [&] { observer.finished(report_); });
    }
  }

  template <class Node>
  struct LinkOf {
    using type = Nothing;
  };
  template <class S, class D>
  struct LinkOf<SyncNode<S, D>> {
    using type = sync::Link<S, D, C>;
  };

  // --- before the first episode ---------------------------------------------------------------

  void check_options() {
    expects(options_.episodes >= 0, "engine::Options::episodes must be 0 or more");
    expects(options_.episodes_ahead >= 0, "engine::Options::episodes_ahead must be 0 or more");
    expects(options_.save_every >= 0, "engine::Options::save_every must be 0 (never) or more");
    expects(options_.max_version_lag >= -1, "engine::Options::max_version_lag must be -1 or more");
    expects(options_.keep >= 0, "engine::Options::keep must be 0 (all) or more");
    expects(options_.resume_from >= -1, "engine::Options::resume_from must be -1 or more");
    expects(options_.evaluate_every >= 0, "engine::Options::evaluate_every must be 0 or more");
    expects(options_.trace_events >= 0, "engine::Options::trace_events must be 0 or more");
    check_names();
    check_training();
    check_lag();
  }
  void check_lag() {
    if (options_.max_version_lag < 0) {
      return;
    }
    std::string_view name;
    std::int64_t const age = versions_.worst_age(name);
    if (age < 0 || age + options_.episodes_ahead > options_.max_version_lag) {
      std::string const how =
          age < 0 ? text(name, " gets weights once only")
                  : text("episodes_ahead is ", options_.episodes_ahead,
                         age > 0 ? text(", and syncs leave ", name, " up to ", age, " behind")
                                 : std::string());
      fail(Errc::invalid_argument,
           text("rollouts could come from weights ",
                age < 0 ? std::string("of any age")
                        : text(age + options_.episodes_ahead, " episodes old"),
                ", engine::Options::max_version_lag allows ", options_.max_version_lag, ": ", how,
                "; sync more often, or lower episodes_ahead"));
    }
  }
  /// Names of parts tell them apart; those of models are directories of checkpoints.
  void check_names() {
    std::vector<std::string_view> parts;
    parts_.for_each([&](auto& work) {
      for (std::string_view const other : parts) {
        if (other == work.node.name) {
          fail(Errc::invalid_argument,
               text("two parts of an engine are called ", other, "; give each a name of its own"));
        }
      }
      parts.push_back(work.node.name);
    });
    if (options_.checkpoints.empty()) {
      return;
    }
    std::vector<std::string_view> models;
    parts_.for_each_model([&]<class M>(M&, std::string_view name) {
      if constexpr (model_detail::SavesFiles<M>) {
        if (!checkpoint::is_file_name(name) || name == "engine") {
          fail(
              Errc::invalid_argument,
              text("the model ", name, " saves files in a directory of its name, which must be of ",
                   "letters, digits, '.', '_' and '-', and not engine; give the part that refers "
                   "to ",
                   "it first, or M::name, another name"));
        }
        for (std::string_view const other : models) {
          if (other == name) {
            fail(Errc::invalid_argument, text("two models save files as ", name,
                                              "; give one of them another M::name, or the ",
                                              "part that refers to it first another name"));
          }
        }
        models.push_back(name);
      }
    });
    parts_.for_each([&]<class Node>(Work<Node>& work) {
      if constexpr (Node::kind == Kind::sync) {
        if (work.node.frequency == 0 &&
            !(model_detail::has_save_checkpoint<typename Node::Destination> &&
              model_detail::has_load_checkpoint<typename Node::Destination>)) {
          fail(
              Errc::invalid_argument,
              text("the sync ", work.node.name, " runs once only, so that a resumed run needs its ",
                   "destination's weights from the checkpoint: define save_checkpoint and ",
                   "load_checkpoint in it"));
        }
      }
    });
  }
  void check_training() {
    parts_.for_each([&]<class Node>(Work<Node>& work) {
      if constexpr (Node::kind == Kind::train) {
        TrainOptions const& train = work.node.options;
        if (train.global_batch < 0 || train.micro_batch < 0 || train.epochs < 1) {
          fail(Errc::invalid_argument,
               text(work.node.name,
                    ": TrainOptions need a global_batch and a micro_batch of 0 (all) ",
                    "or more rows and 1 or more epochs, got ", train.global_batch, ", ",
                    train.micro_batch, " and ", train.epochs));
        }
      } else if constexpr (Node::kind == Kind::stage) {
        if (work.node.options.batch < 0) {
          fail(Errc::invalid_argument,
               text(work.node.name, ": StageOptions::batch must be 0 (all) ", "or more rows, got ",
                    work.node.options.batch));
        }
      } else if constexpr (Node::kind == Kind::sync) {
        expects(work.node.frequency >= 0, "a sync's frequency must be 0 (once) or more episodes");
      }
    });
  }

  /// Links, and the first sync: of all of them in a fresh run; of those that sync again in one that
  /// was resumed, whose other destinations come from their own checkpoints.
  void make_links(bool resumed) {
    AllParts::in_order([&]<std::size_t At>() {
      using Node = NodeAt<At>;
      if constexpr (Node::kind == Kind::sync) {
        Node& node = parts_.template at<At>().node;
        auto& link = std::get<At>(links_);
        bring_both(node);
        guarded(node.name, "plan",
                [&] { link.emplace(*world_, *node.source, *node.destination, node.options); });
        if (!resumed || node.frequency > 0) {
          guarded(node.name, "sync", [&] { link->sync(Version{progress_.episode}); });
          versions_.synced(node.source, node.destination, progress_.episode);
        }
      }
    });
  }

  // --- one episode ----------------------------------------------------------------------------

  [[nodiscard]] static double seconds_since(std::int64_t start) noexcept {
    return static_cast<double>(steady_nanoseconds() - start) * 1e-9;
  }
  template <class W>
  [[nodiscard]] static Shares shares(W const& work) {
    return shares_of(*work.node.model);
  }

  /// How many rows an episode has, and which prompts are this rank's: every rank draws, so that all
  /// know the first and are in the same state.
  void draw(std::int64_t episode) {
    parts_.for_each([&]<class Node>(Work<Node>& work) {
      if constexpr (Node::kind == Kind::prompts) {
        guarded(work.node.name, "draw", [&] {
          auto& model = *work.node.model;
          Shares const mine = shares(work);
          progress_.rows[progress_.slot(episode)] =
              model.draw(draws_, model.present() ? mine.of(model.rank()) : 0, mine.count());
        });
      }
    });
    progress_.versions[progress_.slot(episode)] = versions_.of_generation(progress_.episode);
  }

  template <class Observer>
  void make_ahead(std::int64_t episode, Observer& observer) {
    draw(episode);
    before_episode(true);
    make(episode, true, observer);
    after_episode(true);
  }

  /// What crosses from parts that are ahead to those that are not, while both are here.
  void receive_from_ahead(std::int64_t episode) {
    AllParts::in_order([&]<std::size_t At>() {
      if (!parts_.template at<At>().ahead) {
        gather<At>(episode, true);
      }
    });
  }
  /// Brings a part's inputs, as far as they come from parts that are ahead, or are not.
  template <std::size_t At>
  void gather(std::int64_t episode, bool from_ahead) {
    using Node = NodeAt<At>;
    if constexpr (Node::Inputs::count > 0) {
      gather_values(parts_.template at<At>(), episode, from_ahead, typename Node::Inputs{},
                    std::make_index_sequence<static_cast<std::size_t>(Node::Inputs::count)>{});
    }
  }
  template <class W, class... Values, std::size_t... V>
  void gather_values(W& work, std::int64_t episode, bool from_ahead, Inputs<Values...>,
                     std::index_sequence<V...>) {
    (gather_value<V>(work, parts_.template maker<Values>(), episode, from_ahead), ...);
  }
  template <std::size_t V, class W, class From>
  void gather_value(W& work, From& from, std::int64_t episode, bool from_ahead) {
    if (from.ahead != from_ahead) {
      return;
    }
    watch_.run(work.node.name, "input", work.input_span, [&] {
      std::int64_t const rows = progress_.rows[progress_.slot(episode)];
      std::get<V>(work.received.values) =
          &std::get<V>(work.received.exchanges)
               .run(*world_, shares(from), shares(work), rows, Deal{0, rows, nullptr},
                    from.made[progress_.slot(episode)]);
    });
  }

  template <class Observer>
  void make(std::int64_t episode, bool ahead, Observer& observer) {
    AllParts::in_order([&]<std::size_t At>() {
      using Node = NodeAt<At>;
      if constexpr (is_of_rollout<Node>) {
        auto& work = parts_.template at<At>();
        if (work.ahead == ahead) {
          gather<At>(episode, ahead);
          if (work.node.model->present()) {
            make_value<Node>(work, episode, observer);
          }
        }
      }
    });
  }
  template <class Node, class Observer>
  void make_value(Work<Node>& work, std::int64_t episode, Observer& observer) {
    Shares const mine = shares(work);
    int const share = mine.of(work.node.model->rank());
    std::int64_t const all = progress_.rows[progress_.slot(episode)];
    std::int64_t const rows = split_evenly(all, mine.count(), share).size();
    typename Node::Output& out = work.made[progress_.slot(episode)];
    // Shares that work on their own are not asked without rows. Those of one copy of the weights
    // make the same number of calls, since they may meet in them.
    bool const together = mine.spread == Spread::data_sharded;
    std::int64_t const largest = together ? ceil_div<std::int64_t>(all, mine.count()) : rows;
    if (largest == 0) {
      clear_rows(out);
      return;
    }
    if constexpr (Node::kind == Kind::prompts) {
      watch_.run(work.node.name, "prompts", work.node.name,
                 [&] { out = work.node.make(std::span<data::Draw const>(draws_)); });
    } else if constexpr (Node::kind == Kind::stage) {
      watch_.run(work.node.name, "forward_step", work.node.name, [&] {
        bring(*work.node.model, runtime::Part::weights);
        std::int64_t const most = work.node.options.batch;
        run_stage(work, rows, most <= 0 ? 1 : ceil_div(largest, most), out);
      });
    } else {
      watch_.run(work.node.name, "compute", work.node.name, [&] {
        auto const call = [&](auto const*... values) { return work.node.function(*values...); };
        if constexpr (makes_value<Node>) {
          out = std::apply(call, work.received.values);
        } else {
          std::apply(call, work.received.values);
        }
      });
    }
    if (mine.speaker(share) == world_->rank()) {
      watch_.run(work.node.name, "result", "result", [&] {
        if constexpr (makes_value<Node>) {
          expect_rows(work.node.name, data::row_count(out), rows);
        }
        if constexpr (requires { observer.made(out, work.node.name); }) {
          observer.made(out, work.node.name);
        }
      });
    }
  }

  template <class Observer>
  void train(std::int64_t episode, Observer& observer) {
    std::int64_t const start = steady_nanoseconds();
    AllParts::in_order([&]<std::size_t At>() {
      if constexpr (NodeAt<At>::kind == Kind::train) {
        gather<At>(episode, false);  // of all trainers first: those on other ranks need not wait
      }
    });
    AllParts::in_order([&]<std::size_t At>() {
      using Node = NodeAt<At>;
      if constexpr (Node::kind == Kind::train) {
        auto& work = parts_.template at<At>();
        if (work.node.model->present()) {
          watch_.run(work.node.name, "train_step", work.node.name, [&] {
            bring(*work.node.model, runtime::Parts::all());
            run_training(*world_, work, progress_.rows[progress_.slot(episode)], options_.seed,
                         episode, [&](auto const& result) {
                           if constexpr (requires { result.metrics(MetricVisitor{}); }) {
                             result.metrics(MetricVisitor{&work.metrics});
                           }
                           if constexpr (requires { observer.trained(result, work.node.name); }) {
                             observer.trained(result, work.node.name);
                           }
                         });
          });
        }
      }
    });
    report_.train_seconds = seconds_since(start);
  }

  void sync_due() {
    std::int64_t const start = steady_nanoseconds();
    progress_.in_step = true;
    AllParts::in_order([&]<std::size_t At>() {
      using Node = NodeAt<At>;
      if constexpr (Node::kind == Kind::sync) {
        auto& link = *std::get<At>(links_);
        Node& node = parts_.template at<At>().node;
        if (sync::due(node.frequency, progress_.episode)) {
          watch_.run(node.name, "sync", node.name, [&] {
            if (bring_both(node)) {
              link.rebind(sync::Contents::kept);
            }
            link.sync(Version{progress_.episode});
            note_phases(link.report());
          });
          versions_.synced(node.source, node.destination, progress_.episode);
          report_.sync_bytes += link.report().bytes;
        } else if (node.frequency != 0) {
          progress_.in_step = false;
        }
      }
    });
    report_.sync_seconds = seconds_since(start);
  }

  /// Weights of both sides of a sync, where models take turns. Whether they do.
  template <class Node>
  bool bring_both(Node& node) {
    if (!options_.offload) {
      return false;
    }
    make_room(parts_, node.source, node.destination);
    auto const onload = [](auto& model) {
      if (model.present()) {
        static_cast<void>(runtime::onload(model, runtime::Part::weights));
      }
    };
    onload(*node.source);
    onload(*node.destination);
    return true;
  }

  /// Phases of a sync as timers below its own: `episode/weights/move` and so on.
  void note_phases(sync::SyncReport const& report) {
    auto const note = [&](std::string_view phase, double seconds) {
      watch_.timers().add(phase, static_cast<std::int64_t>(seconds * 1e9));
    };
    note("move", report.move_seconds);
    note("verify", report.verify_seconds);
    note("commit", report.commit_seconds);
  }

  template <class Observer>
  void evaluate(Observer& observer) {
    if constexpr (requires { observer.evaluate(Episode{}); }) {
      guarded("engine", "evaluation", [&] {
        bring_evaluated();
        observer.evaluate(episode());
      });
    }
  }
  /// Weights of all models that can be evaluated, where models take turns.
  void bring_evaluated() {
    if (!options_.offload) {
      return;
    }
    parts_.for_each_model([&]<class M>(M& model, std::string_view) {
      if (!model_detail::has_eval_step<M> && model.present()) {
        static_cast<void>(runtime::offload(model));
      }
    });
    parts_.for_each_model([&]<class M>(M& model, std::string_view) {
      if (model_detail::has_eval_step<M> && model.present()) {
        static_cast<void>(runtime::onload(model, runtime::Part::weights));
      }
    });
  }
  void before_episode(bool ahead) {
    parts_.for_each_model([&](auto& model, std::string_view name) {
      if (parts_.is_ahead(&model) == ahead) {
        guarded(name, "before_episode", [&] { hook::before_episode(model); });
      }
    });
  }
  void after_episode(bool ahead) {
    parts_.for_each_model([&](auto& model, std::string_view name) {
      if (parts_.is_ahead(&model) == ahead) {
        guarded(name, "after_episode", [&] { hook::after_episode(model); });
      }
    });
  }

  /// Brings a model's parts to the device, where models take turns there.
  template <class M>
  void bring(M& model, runtime::Parts parts) {
    if (options_.offload && model.present()) {
      make_room(parts_, &model);
      static_cast<void>(runtime::onload(model, parts));
    }
  }
  [[nodiscard]] bool is_time_to_save() const noexcept {
    if (options_.checkpoints.empty() || options_.save_every == 0) {
      return false;
    }
    bool const due = progress_.episode >= progress_.saved + options_.save_every;
    return progress_.episode == options_.episodes || (due && progress_.in_step);
  }
  template <class Phase>
  void guarded(std::string_view part, std::string_view phase, Phase&& run_phase) {
    watch_.run(part, phase, phase, run_phase);
  }

  C* world_;
  Options options_;
  Parts<Nodes...> parts_;
  std::tuple<std::optional<typename LinkOf<Nodes>::type>...> links_{};
  Progress progress_{};
  Versions versions_;
  Watch<C> watch_;
  runtime::Metrics metrics_;
  std::vector<data::Draw> draws_;
  EpisodeReport report_{};
  bool begun_ = false;
};

}  // namespace detail
}  // namespace rlhf::inline v0::engine
