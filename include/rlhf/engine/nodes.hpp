/// @file
/// The parts of a rollout and its training: prompts, stages, computations, trainers. Layer: engine.
#pragma once

#include <rlhf/data/columns.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/options.hpp>
#include <rlhf/engine/inputs.hpp>
#include <rlhf/engine/spread.hpp>
#include <rlhf/sync/link_options.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rlhf::inline v0::engine {

enum class NodeKind : std::uint8_t { prompts, stage, compute, train, sync };

/// What changes place from pass to pass over an episode's rows.
enum class Shuffle : std::uint8_t {
  none,
  rows,           ///< Single rows.
  micro_batches,  ///< Runs of `micro_batch` rows, which stay together but where shares cut them.
};

/// How a trainer goes through the rows of an episode. A share that a global batch has no rows for
/// is asked, too, with empty micro-batches: its ranks take part in the step.
struct TrainOptions {
  std::int64_t global_batch = 0;    ///< Rows of an optimizer step over all shares; 0: all rows.
  std::int64_t micro_batch = 0;     ///< Rows of a micro-batch at most; 0: one micro-batch a share.
  std::int64_t epochs = 1;          ///< Passes over the rows of an episode.
  Shuffle shuffle = Shuffle::none;  ///< Another order in every pass, the same on all ranks.
  /// Episodes whose rows are trained on together, the newest and those before it; 1: its own, -1:
  /// all. Older ones are kept by the trainer's ranks and in checkpoints. (The reference's relay
  /// buffer. For a selection of one's own there is `data::RolloutBuffer`.)
  std::int64_t replay_episodes = 1;
  std::int64_t replay_from = 0;  ///< Episodes before this one are trained on once only.
};
/// How a stage goes through its rows.
struct StageOptions {
  std::int64_t batch = 0;  ///< Rows of a call of `forward_step` at most; 0: all of a share.
  /// Whether what it makes behind a checkpoint is saved, too (`Options::stage_outputs`), so that a
  /// run stopped before the next training does not make it again: a resumed run loads it, if all of
  /// it is there and whole, and does not call `forward_step`.
  bool save_outputs = false;
  /// Any number that is another one where outputs would be others though weights, rows and episode
  /// are the same, such as a hash of the sampling settings: what was saved with another is made
  /// again.
  std::uint64_t outputs_depend_on = 0;
};

namespace detail {

struct Nothing {
  template <class Visit>
  void columns(Visit&&) {}
};

/// Result and arguments of a callable, without references.
template <class R, class... Args>
struct Signature {
  using Result = std::decay_t<R>;
  using Arguments = rlhf::Inputs<std::decay_t<Args>...>;
  /// Arguments are only looked at: they belong to the stages that made them.
  static constexpr bool only_looks =
      (true && ... &&
       (!std::is_lvalue_reference_v<Args> || std::is_const_v<std::remove_reference_t<Args>>));
};
template <class Call>
struct SignatureOfCall;
template <class R, class... Args>
struct SignatureOfCall<R (*)(Args...)> : Signature<R, Args...> {};
template <class R, class... Args>
struct SignatureOfCall<R (*)(Args...) noexcept> : Signature<R, Args...> {};
template <class R, class F, class... Args>
struct SignatureOfCall<R (F::*)(Args...)> : Signature<R, Args...> {};
template <class R, class F, class... Args>
struct SignatureOfCall<R (F::*)(Args...) noexcept> : Signature<R, Args...> {};
template <class R, class F, class... Args>
struct SignatureOfCall<R (F::*)(Args...) const> : Signature<R, Args...> {};
template <class R, class F, class... Args>
struct SignatureOfCall<R (F::*)(Args...) const noexcept> : Signature<R, Args...> {};

/// Stands for the signature of what has none, or several: the refusal is then the only error.
struct NoSignature {
  using Result = model_detail::Refused;
  using Arguments = rlhf::Inputs<>;
  static constexpr bool only_looks = false;
};
template <class F>
struct SignatureOf : NoSignature {};
template <class F>
  requires requires {
    typename SignatureOfCall<F>::Result;
  }
struct SignatureOf<F> : SignatureOfCall<F> {};
template <class F>
  requires requires {
    typename SignatureOfCall<decltype(&F::operator())>::Result;
  }
struct SignatureOf<F> : SignatureOfCall<decltype(&F::operator())> {};

/// Episodes between syncs that a destination's policy names; 1 where it names none, which links
/// refuse.
template <class D>
inline constexpr int frequency_of_policy = 1;
template <class D>
  requires requires {
    { D::SyncPolicy::frequency } -> std::convertible_to<int>;
  }
inline constexpr int frequency_of_policy<D> = D::SyncPolicy::frequency;

}  // namespace detail

/// Where rows come from: `make(draws)` turns what the module's data policy draws into a value of
/// one row a draw. Made by `prompts`.
template <class M, class Make>
struct PromptsNode {
  static constexpr NodeKind kind = NodeKind::prompts;
  using Model = M;
  using Inputs = rlhf::Inputs<>;
  using Output = std::decay_t<std::invoke_result_t<Make&, std::span<data::Draw const>>>;
  std::string_view name;
  M* model;
  Make make;
};

/// `model.forward_step` on every row. Made by `stage`.
template <class M>
struct StageNode {
  static constexpr NodeKind kind = NodeKind::stage;
  using Model = M;
  using Inputs = typename detail::InputsOf<M>::type;
  using Output = std::decay_t<decltype(hook::forward_step(std::declval<M&>(),
                                                          std::declval<BatchOf<M> const&>()))>;
  std::string_view name;
  M* model;
  StageOptions options;
};

/// A function of rows on the ranks of a module, such as advantages of rewards and values. Made by
/// `compute`.
template <class M, class F>
struct ComputeNode {
  static constexpr NodeKind kind = NodeKind::compute;
  using Model = M;
  using Inputs = typename detail::SignatureOf<F>::Arguments;
  static constexpr bool only_looks = detail::SignatureOf<F>::only_looks;
  using Result = typename detail::SignatureOf<F>::Result;
  using Output = std::conditional_t<std::is_void_v<Result>, detail::Nothing, Result>;
  std::string_view name;
  M* model;
  F function;
};

/// `model.train_step` over all rows of an episode. Made by `train`.
template <class M>
struct TrainNode {
  static constexpr NodeKind kind = NodeKind::train;
  using Model = M;
  using Inputs = typename detail::TrainInputsOf<M>::type;
  using Output = detail::Nothing;
  std::string_view name;
  M* model;
  TrainOptions options;
};

/// Weights from one module to another, behind training. Made by `sync`.
template <class S, class D>
struct SyncNode {
  static constexpr NodeKind kind = NodeKind::sync;
  using Source = S;
  using Destination = D;
  using Inputs = rlhf::Inputs<>;
  using Output = detail::Nothing;
  std::string_view name;
  S* source;
  D* destination;
  rlhf::sync::LinkOptions options;
  int frequency = detail::frequency_of_policy<D>;
};

/// Prompts of an episode, drawn by the data policy of `model`, which has been opened
/// (`open_data`) on every rank with equal options. Names are used in errors, timings, metrics and
/// checkpoints; the characters must outlive the engine.
///
/// @param make `Value make(std::span<data::Draw const>)`, one row a draw.
template <class M, class Make>
[[nodiscard]] PromptsNode<M, Make> prompts(std::string_view name, M& model, Make make) {
  return {name, &model, std::move(make)};
}
/// A stage of the rollout: what `forward_step` returns, from the model's `Inputs`, one row each.
template <class M>
[[nodiscard]] StageNode<M> stage(std::string_view name, M& model, StageOptions options = {}) {
  return {name, &model, options};
}
/// A stage without a model: `Value function(A const&, B const&)` from the values of those types,
/// row by row, on the ranks of `where`; or `void function(...)` that only looks at them, such as a
/// log on one rank.
template <class M, class F>
[[nodiscard]] ComputeNode<M, F> compute(std::string_view name, M& where, F function) {
  static_assert(
      detail::SignatureOf<F>::only_looks,
      "[rlhf:engine.compute] a compute takes a function, or an object with one call "
      "operator, that names the types of its arguments and takes them by value or by "
      "const reference: (Answers const&, Rewards const&), not (auto const&), not (Answers&)");
  return {name, &where, std::move(function)};
}
/// Training on the model's `TrainInputs`.
template <class M>
[[nodiscard]] TrainNode<M> train(std::string_view name, M& model, TrainOptions options = {}) {
  return {name, &model, options};
}
/// Brings the weights of `source` to `destination` before the first episode and, as often as the
/// destination's policy says, behind an episode's training. The link is made after every model's
/// `setup`.
///
/// @param frequency Episodes between syncs where that is known only now, 0 for never again;
/// otherwise the policy's.
template <class S, class D>
[[nodiscard]] SyncNode<S, D> sync(std::string_view name, S& source, D& destination,
                                  rlhf::sync::LinkOptions options = {},
                                  int frequency = detail::frequency_of_policy<D>) {
  return {name, &source, &destination, std::move(options), frequency};
}

template <class N>
inline constexpr bool is_node = false;
template <class M, class Make>
inline constexpr bool is_node<PromptsNode<M, Make>> = true;
template <class M>
inline constexpr bool is_node<StageNode<M>> = true;
template <class M, class F>
inline constexpr bool is_node<ComputeNode<M, F>> = true;
template <class M>
inline constexpr bool is_node<TrainNode<M>> = true;
template <class S, class D>
inline constexpr bool is_node<SyncNode<S, D>> = true;

}  // namespace rlhf::inline v0::engine
