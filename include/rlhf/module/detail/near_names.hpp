/// @file
/// Names that are almost a hook's: refused, because such a hook would silently never be called.
/// Layer: module, private.
#pragma once

#include <rlhf/module/detail/hook_names.hpp>

#include <type_traits>

namespace rlhf::inline v0::model_detail {

/// Opt out for models that really want such names: `static constexpr bool allow_near_names = true;`
template <class M>
concept AllowsNearNames = requires {
  requires M::allow_near_names;
};

// CASE(name, hook): other spellings and words, then every name with one letter of the hook's left
// out, swapped with its neighbour or doubled.
// clang-format off
#define RLHF_DETAIL_NEAR_SETUP(CASE)                                                              \
  CASE(set_up, setup) CASE(setUp, setup) CASE(Setup, setup) CASE(SetUp, setup)                    \
  CASE(on_setup, setup) CASE(do_setup, setup) CASE(etup, setup) CASE(stup, setup)                 \
  CASE(seup, setup) CASE(setp, setup) CASE(setu, setup) CASE(estup, setup) CASE(steup, setup)     \
  CASE(seutp, setup) CASE(setpu, setup) CASE(ssetup, setup) CASE(seetup, setup)                   \
  CASE(settup, setup) CASE(setuup, setup) CASE(setupp, setup)
#define RLHF_DETAIL_NEAR_VALIDATE(CASE)                                                           \
  CASE(Validate, validate) CASE(validates, validate) CASE(on_validate, validate)                  \
  CASE(do_validate, validate) CASE(vaildate, validate) CASE(alidate, validate)                    \
  CASE(vlidate, validate) CASE(vaidate, validate) CASE(valdate, validate) CASE(valiate, validate) \
  CASE(validte, validate) CASE(validae, validate) CASE(validat, validate)                         \
  CASE(avlidate, validate) CASE(vlaidate, validate) CASE(valdiate, validate)                      \
  CASE(valiadte, validate) CASE(validtae, validate) CASE(validaet, validate)                      \
  CASE(vvalidate, validate) CASE(vaalidate, validate) CASE(vallidate, validate)                   \
  CASE(valiidate, validate) CASE(validdate, validate) CASE(validaate, validate)                   \
  CASE(validatte, validate) CASE(validatee, validate)
#define RLHF_DETAIL_NEAR_BEFORE_EPISODE(CASE)                                                     \
  CASE(beforeEpisode, before_episode) CASE(BeforeEpisode, before_episode)                         \
  CASE(beforeepisode, before_episode) CASE(before_episodes, before_episode)                       \
  CASE(pre_episode, before_episode) CASE(begin_episode, before_episode)                           \
  CASE(start_episode, before_episode) CASE(on_episode_begin, before_episode)                      \
  CASE(on_episode_start, before_episode) CASE(efore_episode, before_episode)                      \
  CASE(bfore_episode, before_episode) CASE(beore_episode, before_episode)                         \
  CASE(befre_episode, before_episode) CASE(befoe_episode, before_episode)                         \
  CASE(befor_episode, before_episode) CASE(before_pisode, before_episode)                         \
  CASE(before_eisode, before_episode) CASE(before_epsode, before_episode)                         \
  CASE(before_epiode, before_episode) CASE(before_episde, before_episode)                         \
  CASE(before_episoe, before_episode) CASE(before_episod, before_episode)                         \
  CASE(ebfore_episode, before_episode) CASE(bfeore_episode, before_episode)                       \
  CASE(beofre_episode, before_episode) CASE(befroe_episode, before_episode)                       \
  CASE(befoer_episode, before_episode) CASE(befor_eepisode, before_episode)                       \
  CASE(beforee_pisode, before_episode) CASE(before_peisode, before_episode)                       \
  CASE(before_eipsode, before_episode) CASE(before_epsiode, before_episode)                       \
  CASE(before_epiosde, before_episode) CASE(before_episdoe, before_episode)                       \
  CASE(before_episoed, before_episode) CASE(bbefore_episode, before_episode)                      \
  CASE(beefore_episode, before_episode) CASE(beffore_episode, before_episode)                     \
  CASE(befoore_episode, before_episode) CASE(beforre_episode, before_episode)                     \
  CASE(beforee_episode, before_episode) CASE(before_eepisode, before_episode)                     \
  CASE(before_eppisode, before_episode) CASE(before_epiisode, before_episode)                     \
  CASE(before_epissode, before_episode) CASE(before_episoode, before_episode)                     \
  CASE(before_episodde, before_episode) CASE(before_episodee, before_episode)
#define RLHF_DETAIL_NEAR_AFTER_EPISODE(CASE)                                                      \
  CASE(afterEpisode, after_episode) CASE(AfterEpisode, after_episode)                             \
  CASE(afterepisode, after_episode) CASE(after_episodes, after_episode)                           \
  CASE(post_episode, after_episode) CASE(end_episode, after_episode)                              \
  CASE(finish_episode, after_episode) CASE(on_episode_end, after_episode)                         \
  CASE(fter_episode, after_episode) CASE(ater_episode, after_episode)                             \
  CASE(afer_episode, after_episode) CASE(aftr_episode, after_episode)                             \
  CASE(afte_episode, after_episode) CASE(after_pisode, after_episode)                             \
  CASE(after_eisode, after_episode) CASE(after_epsode, after_episode)                             \
  CASE(after_epiode, after_episode) CASE(after_episde, after_episode)                             \
  CASE(after_episoe, after_episode) CASE(after_episod, after_episode)                             \
  CASE(fater_episode, after_episode) CASE(atfer_episode, after_episode)                           \
  CASE(afetr_episode, after_episode) CASE(aftre_episode, after_episode)                           \
  CASE(afte_repisode, after_episode) CASE(aftere_pisode, after_episode)                           \
  CASE(after_peisode, after_episode) CASE(after_eipsode, after_episode)                           \
  CASE(after_epsiode, after_episode) CASE(after_epiosde, after_episode)                           \
  CASE(after_episdoe, after_episode) CASE(after_episoed, after_episode)                           \
  CASE(aafter_episode, after_episode) CASE(affter_episode, after_episode)                         \
  CASE(aftter_episode, after_episode) CASE(afteer_episode, after_episode)                         \
  CASE(afterr_episode, after_episode) CASE(after_eepisode, after_episode)                         \
  CASE(after_eppisode, after_episode) CASE(after_epiisode, after_episode)                         \
  CASE(after_epissode, after_episode) CASE(after_episoode, after_episode)                         \
  CASE(after_episodde, after_episode) CASE(after_episodee, after_episode)
#define RLHF_DETAIL_NEAR_FORWARD_STEP(CASE)                                                       \
  CASE(forwardStep, forward_step) CASE(ForwardStep, forward_step) CASE(forwardstep, forward_step) \
  CASE(forward_steps, forward_step) CASE(inference_step, forward_step)                            \
  CASE(infer_step, forward_step) CASE(orward_step, forward_step) CASE(frward_step, forward_step)  \
  CASE(foward_step, forward_step) CASE(forard_step, forward_step) CASE(forwrd_step, forward_step) \
  CASE(forwad_step, forward_step) CASE(forwar_step, forward_step) CASE(forward_tep, forward_step) \
  CASE(forward_sep, forward_step) CASE(forward_stp, forward_step) CASE(forward_ste, forward_step) \
  CASE(ofrward_step, forward_step) CASE(froward_step, forward_step)                               \
  CASE(fowrard_step, forward_step) CASE(forawrd_step, forward_step)                               \
  CASE(forwrad_step, forward_step) CASE(forwadr_step, forward_step)                               \
  CASE(forwar_dstep, forward_step) CASE(forwards_tep, forward_step)                               \
  CASE(forward_tsep, forward_step) CASE(forward_setp, forward_step)                               \
  CASE(forward_stpe, forward_step) CASE(fforward_step, forward_step)                              \
  CASE(foorward_step, forward_step) CASE(forrward_step, forward_step)                             \
  CASE(forwward_step, forward_step) CASE(forwaard_step, forward_step)                             \
  CASE(forwarrd_step, forward_step) CASE(forwardd_step, forward_step)                             \
  CASE(forward_sstep, forward_step) CASE(forward_sttep, forward_step)                             \
  CASE(forward_steep, forward_step) CASE(forward_stepp, forward_step)
#define RLHF_DETAIL_NEAR_TRAIN_STEP(CASE)                                                         \
  CASE(trainStep, train_step) CASE(TrainStep, train_step) CASE(trainstep, train_step)             \
  CASE(train_steps, train_step) CASE(training_step, train_step) CASE(trainer_step, train_step)    \
  CASE(step_train, train_step) CASE(rain_step, train_step) CASE(tain_step, train_step)            \
  CASE(trin_step, train_step) CASE(tran_step, train_step) CASE(trai_step, train_step)             \
  CASE(train_tep, train_step) CASE(train_sep, train_step) CASE(train_stp, train_step)             \
  CASE(train_ste, train_step) CASE(rtain_step, train_step) CASE(tarin_step, train_step)           \
  CASE(trian_step, train_step) CASE(trani_step, train_step) CASE(trai_nstep, train_step)          \
  CASE(trains_tep, train_step) CASE(train_tsep, train_step) CASE(train_setp, train_step)          \
  CASE(train_stpe, train_step) CASE(ttrain_step, train_step) CASE(trrain_step, train_step)        \
  CASE(traain_step, train_step) CASE(traiin_step, train_step) CASE(trainn_step, train_step)       \
  CASE(train_sstep, train_step) CASE(train_sttep, train_step) CASE(train_steep, train_step)       \
  CASE(train_stepp, train_step)
#define RLHF_DETAIL_NEAR_EVAL_STEP(CASE)                                                          \
  CASE(evalStep, eval_step) CASE(EvalStep, eval_step) CASE(evalstep, eval_step)                   \
  CASE(eval_steps, eval_step) CASE(evaluate_step, eval_step) CASE(evaluation_step, eval_step)     \
  CASE(validation_step, eval_step) CASE(val_step, eval_step) CASE(eal_step, eval_step)            \
  CASE(evl_step, eval_step) CASE(eva_step, eval_step) CASE(eval_tep, eval_step)                   \
  CASE(eval_sep, eval_step) CASE(eval_stp, eval_step) CASE(eval_ste, eval_step)                   \
  CASE(veal_step, eval_step) CASE(eavl_step, eval_step) CASE(evla_step, eval_step)                \
  CASE(eva_lstep, eval_step) CASE(evals_tep, eval_step) CASE(eval_tsep, eval_step)                \
  CASE(eval_setp, eval_step) CASE(eval_stpe, eval_step) CASE(eeval_step, eval_step)               \
  CASE(evval_step, eval_step) CASE(evaal_step, eval_step) CASE(evall_step, eval_step)             \
  CASE(eval_sstep, eval_step) CASE(eval_sttep, eval_step) CASE(eval_steep, eval_step)             \
  CASE(eval_stepp, eval_step)
#define RLHF_DETAIL_NEAR_SAVE_CHECKPOINT(CASE)                                                    \
  CASE(saveCheckpoint, save_checkpoint) CASE(SaveCheckpoint, save_checkpoint)                     \
  CASE(savecheckpoint, save_checkpoint) CASE(save_checkpoints, save_checkpoint)                   \
  CASE(save_check_point, save_checkpoint) CASE(saveCheckPoint, save_checkpoint)                   \
  CASE(on_save_checkpoint, save_checkpoint) CASE(write_checkpoint, save_checkpoint)               \
  CASE(store_checkpoint, save_checkpoint) CASE(ave_checkpoint, save_checkpoint)                   \
  CASE(sve_checkpoint, save_checkpoint) CASE(sae_checkpoint, save_checkpoint)                     \
  CASE(sav_checkpoint, save_checkpoint) CASE(save_heckpoint, save_checkpoint)                     \
  CASE(save_ceckpoint, save_checkpoint) CASE(save_chckpoint, save_checkpoint)                     \
  CASE(save_chekpoint, save_checkpoint) CASE(save_checpoint, save_checkpoint)                     \
  CASE(save_checkoint, save_checkpoint) CASE(save_checkpint, save_checkpoint)                     \
  CASE(save_checkpont, save_checkpoint) CASE(save_checkpoit, save_checkpoint)                     \
  CASE(save_checkpoin, save_checkpoint) CASE(asve_checkpoint, save_checkpoint)                    \
  CASE(svae_checkpoint, save_checkpoint) CASE(saev_checkpoint, save_checkpoint)                   \
  CASE(sav_echeckpoint, save_checkpoint) CASE(savec_heckpoint, save_checkpoint)                   \
  CASE(save_hceckpoint, save_checkpoint) CASE(save_cehckpoint, save_checkpoint)                   \
  CASE(save_chcekpoint, save_checkpoint) CASE(save_chekcpoint, save_checkpoint)                   \
  CASE(save_checpkoint, save_checkpoint) CASE(save_checkopint, save_checkpoint)                   \
  CASE(save_checkpiont, save_checkpoint) CASE(save_checkponit, save_checkpoint)                   \
  CASE(save_checkpoitn, save_checkpoint) CASE(ssave_checkpoint, save_checkpoint)                  \
  CASE(saave_checkpoint, save_checkpoint) CASE(savve_checkpoint, save_checkpoint)                 \
  CASE(savee_checkpoint, save_checkpoint) CASE(save_ccheckpoint, save_checkpoint)                 \
  CASE(save_chheckpoint, save_checkpoint) CASE(save_cheeckpoint, save_checkpoint)                 \
  CASE(save_checckpoint, save_checkpoint) CASE(save_checkkpoint, save_checkpoint)                 \
  CASE(save_checkppoint, save_checkpoint) CASE(save_checkpooint, save_checkpoint)                 \
  CASE(save_checkpoiint, save_checkpoint) CASE(save_checkpoinnt, save_checkpoint)                 \
  CASE(save_checkpointt, save_checkpoint)
#define RLHF_DETAIL_NEAR_LOAD_CHECKPOINT(CASE)                                                    \
  CASE(loadCheckpoint, load_checkpoint) CASE(LoadCheckpoint, load_checkpoint)                     \
  CASE(loadcheckpoint, load_checkpoint) CASE(load_checkpoints, load_checkpoint)                   \
  CASE(load_check_point, load_checkpoint) CASE(loadCheckPoint, load_checkpoint)                   \
  CASE(on_load_checkpoint, load_checkpoint) CASE(read_checkpoint, load_checkpoint)                \
  CASE(restore_checkpoint, load_checkpoint) CASE(oad_checkpoint, load_checkpoint)                 \
  CASE(lad_checkpoint, load_checkpoint) CASE(lod_checkpoint, load_checkpoint)                     \
  CASE(loa_checkpoint, load_checkpoint) CASE(load_heckpoint, load_checkpoint)                     \
  CASE(load_ceckpoint, load_checkpoint) CASE(load_chckpoint, load_checkpoint)                     \
  CASE(load_chekpoint, load_checkpoint) CASE(load_checpoint, load_checkpoint)                     \
  CASE(load_checkoint, load_checkpoint) CASE(load_checkpint, load_checkpoint)                     \
  CASE(load_checkpont, load_checkpoint) CASE(load_checkpoit, load_checkpoint)                     \
  CASE(load_checkpoin, load_checkpoint) CASE(olad_checkpoint, load_checkpoint)                    \
  CASE(laod_checkpoint, load_checkpoint) CASE(loda_checkpoint, load_checkpoint)                   \
  CASE(loa_dcheckpoint, load_checkpoint) CASE(loadc_heckpoint, load_checkpoint)                   \
  CASE(load_hceckpoint, load_checkpoint) CASE(load_cehckpoint, load_checkpoint)                   \
  CASE(load_chcekpoint, load_checkpoint) CASE(load_chekcpoint, load_checkpoint)                   \
  CASE(load_checpkoint, load_checkpoint) CASE(load_checkopint, load_checkpoint)                   \
  CASE(load_checkpiont, load_checkpoint) CASE(load_checkponit, load_checkpoint)                   \
  CASE(load_checkpoitn, load_checkpoint) CASE(lload_checkpoint, load_checkpoint)                  \
  CASE(looad_checkpoint, load_checkpoint) CASE(loaad_checkpoint, load_checkpoint)                 \
  CASE(loadd_checkpoint, load_checkpoint) CASE(load_ccheckpoint, load_checkpoint)                 \
  CASE(load_chheckpoint, load_checkpoint) CASE(load_cheeckpoint, load_checkpoint)                 \
  CASE(load_checckpoint, load_checkpoint) CASE(load_checkkpoint, load_checkpoint)                 \
  CASE(load_checkppoint, load_checkpoint) CASE(load_checkpooint, load_checkpoint)                 \
  CASE(load_checkpoiint, load_checkpoint) CASE(load_checkpoinnt, load_checkpoint)                 \
  CASE(load_checkpointt, load_checkpoint)
#define RLHF_DETAIL_NEAR_BUILD_DATASET(CASE)                                                      \
  CASE(buildDataset, build_dataset) CASE(BuildDataset, build_dataset)                             \
  CASE(builddataset, build_dataset) CASE(build_datasets, build_dataset)                           \
  CASE(build_data_set, build_dataset) CASE(buildDataSet, build_dataset)                           \
  CASE(make_dataset, build_dataset) CASE(create_dataset, build_dataset)                           \
  CASE(uild_dataset, build_dataset) CASE(bild_dataset, build_dataset)                             \
  CASE(buld_dataset, build_dataset) CASE(buid_dataset, build_dataset)                             \
  CASE(buil_dataset, build_dataset) CASE(build_ataset, build_dataset)                             \
  CASE(build_dtaset, build_dataset) CASE(build_daaset, build_dataset)                             \
  CASE(build_datset, build_dataset) CASE(build_dataet, build_dataset)                             \
  CASE(build_datast, build_dataset) CASE(build_datase, build_dataset)                             \
  CASE(ubild_dataset, build_dataset) CASE(biuld_dataset, build_dataset)                           \
  CASE(bulid_dataset, build_dataset) CASE(buidl_dataset, build_dataset)                           \
  CASE(buil_ddataset, build_dataset) CASE(buildd_ataset, build_dataset)                           \
  CASE(build_adtaset, build_dataset) CASE(build_dtaaset, build_dataset)                           \
  CASE(build_daatset, build_dataset) CASE(build_datsaet, build_dataset)                           \
  CASE(build_dataest, build_dataset) CASE(build_dataste, build_dataset)                           \
  CASE(bbuild_dataset, build_dataset) CASE(buuild_dataset, build_dataset)                         \
  CASE(buiild_dataset, build_dataset) CASE(builld_dataset, build_dataset)                         \
  CASE(buildd_dataset, build_dataset) CASE(build_ddataset, build_dataset)                         \
  CASE(build_daataset, build_dataset) CASE(build_dattaset, build_dataset)                         \
  CASE(build_dataaset, build_dataset) CASE(build_datasset, build_dataset)                         \
  CASE(build_dataseet, build_dataset) CASE(build_datasett, build_dataset)
#define RLHF_DETAIL_NEAR_PARAMETERS(CASE)                                                         \
  CASE(get_parameters, parameters) CASE(named_parameters, parameters)                             \
  CASE(list_parameters, parameters) CASE(visit_parameters, parameters)                            \
  CASE(paramaters, parameters) CASE(arameters, parameters) CASE(prameters, parameters)            \
  CASE(paameters, parameters) CASE(parmeters, parameters) CASE(paraeters, parameters)             \
  CASE(paramters, parameters) CASE(parameers, parameters) CASE(parametrs, parameters)             \
  CASE(parametes, parameters) CASE(aprameters, parameters) CASE(praameters, parameters)           \
  CASE(paarmeters, parameters) CASE(parmaeters, parameters) CASE(paraemters, parameters)          \
  CASE(paramteers, parameters) CASE(parameetrs, parameters) CASE(parametres, parameters)          \
  CASE(parametesr, parameters) CASE(pparameters, parameters) CASE(paarameters, parameters)        \
  CASE(parrameters, parameters) CASE(paraameters, parameters) CASE(parammeters, parameters)       \
  CASE(parameeters, parameters) CASE(parametters, parameters) CASE(parameteers, parameters)       \
  CASE(parameterrs, parameters) CASE(parameterss, parameters)
#define RLHF_DETAIL_NEAR_NAMES(CASE)                                                              \
  RLHF_DETAIL_NEAR_SETUP(CASE) \
  RLHF_DETAIL_NEAR_VALIDATE(CASE) \
  RLHF_DETAIL_NEAR_BEFORE_EPISODE(CASE) \
  RLHF_DETAIL_NEAR_AFTER_EPISODE(CASE) \
  RLHF_DETAIL_NEAR_FORWARD_STEP(CASE) \
  RLHF_DETAIL_NEAR_TRAIN_STEP(CASE) \
  RLHF_DETAIL_NEAR_EVAL_STEP(CASE) \
  RLHF_DETAIL_NEAR_SAVE_CHECKPOINT(CASE) \
  RLHF_DETAIL_NEAR_LOAD_CHECKPOINT(CASE) \
  RLHF_DETAIL_NEAR_BUILD_DATASET(CASE) \
  RLHF_DETAIL_NEAR_PARAMETERS(CASE)
// clang-format on

/// A member of every near name, for the search.
struct NearNames {
#define RLHF_DETAIL_DECLARE(NAME, HOOK) int NAME;
  RLHF_DETAIL_NEAR_NAMES(RLHF_DETAIL_DECLARE)
#undef RLHF_DETAIL_DECLARE
};
template <class M>
struct WithNearNames : M, NearNames {};

/// One question for all names, so that a model without any of them costs next to nothing.
template <class M>
concept LacksNearNames = !is_closed<M> && requires {
#define RLHF_DETAIL_ASK(NAME, HOOK) &WithNearNames<M>::NAME;
  RLHF_DETAIL_NEAR_NAMES(RLHF_DETAIL_ASK)
#undef RLHF_DETAIL_ASK
};

// Meant<NAME>: a near name that was probably meant as a hook, because the model does not define the
// hook itself and the name is neither a type nor a visible data member.
#define RLHF_DETAIL_MEANT(NAME, HOOK)                                                   \
  template <class M>                                                                    \
  concept Meant_##NAME = ((is_closed<M> && requires { &M::NAME; }) ||                   \
                          (!is_closed<M> && !requires { &WithNearNames<M>::NAME; })) && \
                         !has_##HOOK<M> && !requires {                                  \
    typename M::NAME;                                                                   \
  }                                                                                     \
  &&!requires {                                                                         \
    requires std::is_member_object_pointer_v<decltype(&M::NAME)>;                       \
  };
RLHF_DETAIL_NEAR_NAMES(RLHF_DETAIL_MEANT)
#undef RLHF_DETAIL_MEANT

template <class M, bool Skip = AllowsNearNames<M> || LacksNearNames<M>>
struct CheckNearNames {};
template <class M>
struct CheckNearNames<M, false> {
#define RLHF_DETAIL_REFUSE(NAME, HOOK)                                                  \
  static_assert(!Meant_##NAME<M>, "[rlhf:module.misspelt] this model defines " #NAME    \
                                  ", which nothing calls; the hook is " #HOOK           \
                                  ". Rename it, or keep it with static constexpr bool " \
                                  "allow_near_names = true; see module/hooks.hpp");
  RLHF_DETAIL_NEAR_NAMES(RLHF_DETAIL_REFUSE)
#undef RLHF_DETAIL_REFUSE
};

/// Whether `CheckNearNames` reports something.
template <class M, bool Skip = AllowsNearNames<M> || LacksNearNames<M>>
inline constexpr bool is_misspelt = false;
// clang-format off
template <class M>
inline constexpr bool is_misspelt<M, false> = false  // NOLINT(readability-simplify-boolean-expr)
#define RLHF_DETAIL_OR(NAME, HOOK) || Meant_##NAME<M>
RLHF_DETAIL_NEAR_NAMES(RLHF_DETAIL_OR)
#undef RLHF_DETAIL_OR
    ;
// clang-format on

#undef RLHF_DETAIL_NEAR_NAMES
#undef RLHF_DETAIL_NEAR_SETUP
#undef RLHF_DETAIL_NEAR_VALIDATE
#undef RLHF_DETAIL_NEAR_BEFORE_EPISODE
#undef RLHF_DETAIL_NEAR_AFTER_EPISODE
#undef RLHF_DETAIL_NEAR_FORWARD_STEP
#undef RLHF_DETAIL_NEAR_TRAIN_STEP
#undef RLHF_DETAIL_NEAR_EVAL_STEP
#undef RLHF_DETAIL_NEAR_SAVE_CHECKPOINT
#undef RLHF_DETAIL_NEAR_LOAD_CHECKPOINT
#undef RLHF_DETAIL_NEAR_BUILD_DATASET
#undef RLHF_DETAIL_NEAR_PARAMETERS

}  // namespace rlhf::inline v0::model_detail
