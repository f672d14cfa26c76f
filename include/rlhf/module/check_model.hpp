/// @file
/// Refuses models whose hooks are misspelt or of the wrong shape, with a sentence. Layer: module.
#pragma once

#include <rlhf/module/detail/hook_names.hpp>
#include <rlhf/module/detail/near_names.hpp>

namespace rlhf::inline v0 {
namespace model_detail {

template <class M>
concept IsModule = requires {
  typename M::ParallelPolicy;
  typename M::SyncPolicy;
  typename M::DataPolicy;
};

template <class M>
inline constexpr bool hooks_fit = (!has_setup<M> || SetupFits<M>)&&(!has_validate<M> || ValidateFits<M>)&&(
    !has_before_episode<M> ||
    BeforeEpisodeFits<
        M>)&&(!has_after_episode<M> ||
              AfterEpisodeFits<
                  M>)&&(!has_forward_step<M> ||
                        ForwardStepFits<
                            M>)&&(!has_train_step<M> ||
                                  TrainStepFits<
                                      M>)&&(!has_eval_step<M> ||
                                            EvalStepFits<
                                                M>)&&(!has_save_checkpoint<M> ||
                                                      SaveCheckpointFits<
                                                          M>)&&(!has_load_checkpoint<M> ||
                                                                LoadCheckpointFits<
                                                                    M>)&&(!has_build_dataset<M> ||
                                                                          BuildDatasetFits<
                                                                              M>)&&(!has_parameters<M> ||
                                                                                    ParametersFits<
                                                                                        M>);

}  // namespace model_detail

/// Whether a model passes every rule. Reports nothing.
template <class M>
inline constexpr bool is_valid_model = model_detail::IsModule<M> && !model_detail::is_misspelt<M> &&
                                       model_detail::has_any_hook<M> && model_detail::hooks_fit<M>;

/// One assertion a hook. Instantiating it is the check; every function that takes a model does. Ask
/// `is_valid_model` for the answer.
template <class M>
struct CheckModel : model_detail::CheckNearNames<M> {
  static constexpr bool is_module = model_detail::IsModule<M>;
  static_assert(is_module,
                "[rlhf:module.base] a model must derive from rlhf::Module<ParallelPolicy, "
                "SyncPolicy, DataPolicy>; see module/module.hpp");
  static_assert(!is_module || model_detail::is_misspelt<M> || model_detail::has_any_hook<M>,
                "[rlhf:module.no_hooks] this model defines neither a hook nor parameters, so the "
                "library can do nothing with it; see the table in module/hooks.hpp");
  static constexpr bool batch = model_detail::HasBatch<M>;
  static_assert(batch || !model_detail::takes_batches<M>,
                "[rlhf:module.batch] a model with forward_step, train_step or eval_step must name "
                "its batch type: using Batch = ...; see module/hooks.hpp");
  static_assert(!model_detail::has_setup<M> || model_detail::SetupFits<M>,
                "[rlhf:module.setup] setup must be public and callable as setup(); see "
                "module/hooks.hpp");
  static_assert(!model_detail::has_validate<M> || model_detail::ValidateFits<M>,
                "[rlhf:module.validate] validate must be public and callable as validate(); see "
                "module/hooks.hpp");
  static_assert(!model_detail::has_before_episode<M> || model_detail::BeforeEpisodeFits<M>,
                "[rlhf:module.before_episode] before_episode must be public and callable as "
                "before_episode(rlhf::Episode); see module/hooks.hpp");
  static_assert(!model_detail::has_after_episode<M> || model_detail::AfterEpisodeFits<M>,
                "[rlhf:module.after_episode] after_episode must be public and callable as "
                "after_episode(rlhf::Episode); see module/hooks.hpp");
  static_assert(!model_detail::has_forward_step<M> || !batch || model_detail::ForwardStepFits<M>,
                "[rlhf:module.forward_step] forward_step must be public and callable as "
                "forward_step(Batch const&, rlhf::Step); see module/hooks.hpp");
  static_assert(!model_detail::has_train_step<M> || !batch || model_detail::TrainStepFits<M>,
                "[rlhf:module.train_step] train_step must be public, callable as "
                "train_step(std::span<Batch const>, rlhf::Step) and return its metrics; see "
                "module/hooks.hpp");
  static_assert(!model_detail::has_eval_step<M> || !batch || model_detail::EvalStepFits<M>,
                "[rlhf:module.eval_step] eval_step must be public and callable as "
                "eval_step(Batch const&); see module/hooks.hpp");
  static_assert(!model_detail::has_save_checkpoint<M> || model_detail::SaveCheckpointFits<M>,
                "[rlhf:module.save_checkpoint] save_checkpoint must be public and callable as "
                "save_checkpoint(rlhf::Step); see module/hooks.hpp");
  static_assert(!model_detail::has_load_checkpoint<M> || model_detail::LoadCheckpointFits<M>,
                "[rlhf:module.load_checkpoint] load_checkpoint must be public and callable as "
                "load_checkpoint(rlhf::Step); see module/hooks.hpp");
  static_assert(!model_detail::has_build_dataset<M> || model_detail::BuildDatasetFits<M>,
                "[rlhf:module.build_dataset] build_dataset must be public, callable as "
                "build_dataset(std::span<std::string const>, rlhf::Purpose) and return a dataset "
                "with size() and operator[]; see module/hooks.hpp");
  static_assert(!model_detail::has_parameters<M> || model_detail::ParametersFits<M>,
                "[rlhf:module.parameters] parameters must be public and callable as "
                "parameters(visit), where visit takes (std::string_view name, rlhf::TensorView, "
                "shard); see sync/concepts.hpp");
};

}  // namespace rlhf::inline v0
