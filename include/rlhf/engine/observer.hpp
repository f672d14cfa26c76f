/// @file
/// What watches a run: the members that an observer may have. Layer: engine.
#pragma once

#include <rlhf/core/ids.hpp>
#include <rlhf/engine/nodes.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/module/hooks.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>
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
/// | `evaluate(Episode)` | on every rank, behind the syncs that are due, as often as the options say |
/// | `finished(EpisodeReport const&)` | behind every episode, on every rank; before its checkpoint |
/// | `finished(EpisodeReport const&, std::vector<runtime::Metric> const&)` | the same, with `take_metrics()` |
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
concept HasMetrics = requires(Result const& result, MetricVisitor& visit) {
  result.metrics(visit);
};
template <class Result>
concept HasMutableMetrics = requires(Result& result, MetricVisitor& visit) {
  result.metrics(visit);
};

/// What a node gives to `made` and `trained`.
template <class Node, NodeKind Kind = Node::kind>
struct Given {
  using Trained = Nothing;
};
template <class Node>
struct Given<Node, NodeKind::train> {
  using Model = typename Node::Model;
  using Trained = std::decay_t<decltype(hook::train_step(std::declval<Model&>(),
                                                         std::declval<MicroBatchesOf<Model>>()))>;
};

template <class O, class Node>
inline constexpr bool takes_made = requires(O& observer, typename Node::Output const& value,
                                            std::string_view name) {
  observer.made(value, name);
};
template <class O, class Node>
inline constexpr bool takes_trained = requires(O& observer,
                                               typename Given<Node>::Trained const& result,
                                               std::string_view name) {
  observer.trained(result, name);
};

template <class Member>
inline constexpr bool is_function =
    std::is_member_function_pointer_v<Member> || std::is_function_v<std::remove_pointer_t<Member>>;

/// One assertion a member: what is called as the engine's is, but not as the engine calls it, would
/// silently not be called. Members that are templates or overloaded are not looked at.
template <class Observer, class... Nodes>
struct CheckObserver {
  using O = std::remove_reference_t<Observer>;
  using Metrics = std::vector<runtime::Metric>;

  static_assert(
      !requires { requires is_function<decltype(&O::begun)>; } ||
          requires(O & o) { o.begun(true); },
      "[rlhf:engine.observer] an observer's begun is called as begun(bool resumed); see "
      "engine/observer.hpp");
  static_assert(
      !requires { requires is_function<decltype(&O::evaluate)>; } ||
          requires(O & o) { o.evaluate(Episode{}); },
      "[rlhf:engine.observer] an observer's evaluate is called as "
      "evaluate(rlhf::Episode); see engine/observer.hpp");
  static_assert(
      !requires { requires is_function<decltype(&O::finished)>; } ||
          requires(O & o, EpisodeReport const& report) { o.finished(report); } ||
          requires(O & o, EpisodeReport const& report, Metrics const& metrics) {
            o.finished(report, metrics);
          },
      "[rlhf:engine.observer] an observer's finished is called as "
      "finished(engine::EpisodeReport const&), or with std::vector<runtime::Metric> const& "
      "behind it; see engine/observer.hpp");
  static_assert(
      !requires { requires is_function<decltype(&O::made)>; } ||
          (false || ... || takes_made<O, Nodes>),
      "[rlhf:engine.observer] an observer's made is called as made(Value const&, "
      "std::string_view stage), but takes nothing that a stage makes; see "
      "engine/observer.hpp");
  static_assert(
      !requires { requires is_function<decltype(&O::trained)>; } ||
          (false || ... || takes_trained<O, Nodes>),
      "[rlhf:engine.observer] an observer's trained is called as trained(Result const&, "
      "std::string_view trainer), but takes nothing that a train_step returns; see "
      "engine/observer.hpp");
};

}  // namespace detail
}  // namespace rlhf::inline v0::engine
