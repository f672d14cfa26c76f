/// @file
/// What a stage of a rollout takes, as types. Layer: engine.
#pragma once

#include <rlhf/module/hooks.hpp>

#include <type_traits>

namespace rlhf::inline v0 {

/// The values that a model's batch is made of, each made by one stage of the rollout. A model names
/// them where its `Batch` is not such a value itself:
///
///     struct Critic : rlhf::Module<...> {
///       using Inputs = rlhf::Inputs<Prompts, Answers>;
///       struct Batch { Batch(Prompts const&, Answers const&); ... };
///       Values forward_step(Batch const&, rlhf::Step);
///     };
///
/// and `TrainInputs` likewise for what `train_step` takes. Without them the batch is the one input.
template <class... Values>
struct Inputs {
  static constexpr int count = sizeof...(Values);
};

namespace engine {
namespace detail {

template <class M>
struct InputsOf {
  using type = Inputs<BatchOf<M>>;
};
template <class M>
  requires requires {
    typename M::Inputs;
  }
struct InputsOf<M> {
  using type = typename M::Inputs;
};
template <class M>
struct TrainInputsOf {
  using type = Inputs<TrainBatchOf<M>>;
};
template <class M>
  requires requires {
    typename M::TrainInputs;
  }
struct TrainInputsOf<M> {
  using type = typename M::TrainInputs;
};

template <class Batch, class Inputs>
inline constexpr bool is_batch_of = false;
template <class Batch, class... Values>
inline constexpr bool is_batch_of<Batch, Inputs<Values...>> =
    std::is_constructible_v<Batch, Values const&...>;

/// The batch made of the values: itself, without a copy, where there is one of that type.
template <class Batch>
[[nodiscard]] Batch const& batch_of(Batch const& only) noexcept {
  return only;
}
template <class Batch, class... Values>
  requires(sizeof...(Values) != 1 || !(std::is_same_v<Batch, Values> && ...))
[[nodiscard]] Batch batch_of(Values const&... values) {
  return Batch(values...);
}

}  // namespace detail
}  // namespace engine
}  // namespace rlhf::inline v0
