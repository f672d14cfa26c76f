/// @file
/// Which hooks a model defines: overloaded, a template, private, inherited. Layer: module, private.
#pragma once

#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/sync/concepts.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace rlhf::inline v0 {

/// What a dataset is for.
enum class Purpose : std::uint8_t { training, evaluation };

namespace model_detail {

template <class M>
concept HasBatch = requires {
  typename M::Batch;
};

template <class M>
concept SetupFits = requires(M& m) {
  m.setup();
};
template <class M>
concept ValidateFits = requires(M& m) {
  m.validate();
};
template <class M>
concept BeforeEpisodeFits = requires(M& m) {
  m.before_episode(Episode{});
};
template <class M>
concept AfterEpisodeFits = requires(M& m) {
  m.after_episode(Episode{});
};
template <class M>
concept ForwardStepFits = requires(M& m, typename M::Batch const& b) {
  m.forward_step(b, Step{});
};
template <class M>
concept HasTrainBatch = requires {
  typename M::TrainBatch;
};
/// What a micro-batch of training is: `TrainBatch` where the model names it, else its `Batch`.
template <class M, bool Named = HasTrainBatch<M>>
struct TrainBatch {};
template <HasBatch M>
struct TrainBatch<M, false> {
  using type = typename M::Batch;
};
template <class M>
struct TrainBatch<M, true> {
  using type = typename M::TrainBatch;
};

template <class M>
concept TrainStepFits = requires(M& m, std::span<typename TrainBatch<M>::type const> b) {
  {m.train_step(b, Step{})};
  requires(!std::is_void_v<decltype(m.train_step(b, Step{}))>);
};
template <class M>
concept EvalStepFits = requires(M& m, typename M::Batch const& b) {
  m.eval_step(b);
};
template <class M>
concept SavesFiles = requires(M& m, checkpoint::FilesToSave& files) {
  m.save_checkpoint(files, Step{});
};
template <class M>
concept SaveCheckpointFits = SavesFiles<M> || requires(M& m) {
  m.save_checkpoint(Step{});
};
template <class M>
concept LoadsFiles = requires(M& m, checkpoint::FilesToLoad const& files) {
  m.load_checkpoint(files, Step{});
};
template <class M>
concept LoadCheckpointFits = LoadsFiles<M> || requires(M& m) {
  m.load_checkpoint(Step{});
};
template <class M>
concept BuildDatasetFits = requires(M& m, std::span<std::string const> prompts) {
  { m.build_dataset(prompts, Purpose::training) } -> data::Dataset;
};
template <class M>
concept ParametersFits = sync::ListsParameters<M>;

/// A class that inherits both from M and from this cannot name such a member unambiguously if M has
/// one, too, whatever it is.
struct HookNames {
  int setup, validate, before_episode, after_episode, forward_step, train_step, eval_step,
      save_checkpoint, load_checkpoint, build_dataset, parameters;
};
template <class M>
struct WithHookNames : M, HookNames {};

/// Whether nothing can inherit from M.
template <class M>
inline constexpr bool is_closed = !std::is_class_v<M> || std::is_final_v<M>;

// has_HOOK<M>. Of closed types, hooks are seen that fit or whose name stands for one visible
// function, and others are not.
// NOLINTBEGIN(bugprone-macro-parentheses): names and concepts take none
#define RLHF_DETAIL_HAS(HOOK, FITS)                                 \
  template <class M, bool Closed = is_closed<M>>                    \
  inline constexpr bool has_##HOOK = !requires {                    \
    &WithHookNames<M>::HOOK;                                        \
  };                                                                \
  template <class M>                                                \
  inline constexpr bool has_##HOOK<M, true> = FITS<M> || requires { \
    &M::HOOK;                                                       \
  };
// NOLINTEND(bugprone-macro-parentheses)
RLHF_DETAIL_HAS(setup, SetupFits)
RLHF_DETAIL_HAS(validate, ValidateFits)
RLHF_DETAIL_HAS(before_episode, BeforeEpisodeFits)
RLHF_DETAIL_HAS(after_episode, AfterEpisodeFits)
RLHF_DETAIL_HAS(forward_step, ForwardStepFits)
RLHF_DETAIL_HAS(train_step, TrainStepFits)
RLHF_DETAIL_HAS(eval_step, EvalStepFits)
RLHF_DETAIL_HAS(save_checkpoint, SaveCheckpointFits)
RLHF_DETAIL_HAS(load_checkpoint, LoadCheckpointFits)
RLHF_DETAIL_HAS(build_dataset, BuildDatasetFits)
RLHF_DETAIL_HAS(parameters, ParametersFits)
#undef RLHF_DETAIL_HAS

template <class M>
inline constexpr bool has_any_hook =
    has_setup<M> || has_validate<M> || has_before_episode<M> || has_after_episode<M> ||
    has_forward_step<M> || has_train_step<M> || has_eval_step<M> || has_save_checkpoint<M> ||
    has_load_checkpoint<M> || has_build_dataset<M> || has_parameters<M>;

/// Whether some hook that takes a batch is defined.
template <class M>
inline constexpr bool takes_batches = has_forward_step<M> || has_eval_step<M> ||
                                      (has_train_step<M> &&
                                       !requires { typename TrainBatch<M>::type; });

}  // namespace model_detail
}  // namespace rlhf::inline v0
