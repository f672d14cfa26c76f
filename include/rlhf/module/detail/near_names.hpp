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

// WORD(name, hook): other spellings and words, which a model may have as a nested type or as data.
// TYPO(name, hook): every name with one letter of the hook's left out, swapped with its neighbour
// or doubled.
// clang-format off
#define RLHF_DETAIL_NEAR_SETUP(WORD, TYPO)                                                        \
  WORD(set_up, setup) WORD(setUp, setup) WORD(Setup, setup) WORD(SetUp, setup)                    \
  WORD(on_setup, setup) WORD(do_setup, setup) TYPO(etup, setup) TYPO(stup, setup)                 \
  TYPO(seup, setup) TYPO(setp, setup) TYPO(setu, setup) TYPO(estup, setup) TYPO(steup, setup)     \
  TYPO(seutp, setup) TYPO(setpu, setup) TYPO(ssetup, setup) TYPO(seetup, setup)                   \
  TYPO(settup, setup) TYPO(setuup, setup) TYPO(setupp, setup)
#define RLHF_DETAIL_NEAR_VALIDATE(WORD, TYPO)                                                     \
  WORD(Validate, validate) WORD(validates, validate) WORD(on_validate, validate)                  \
  WORD(do_validate, validate) TYPO(vaildate, validate) TYPO(alidate, validate)                    \
  TYPO(vlidate, validate) TYPO(vaidate, validate) TYPO(valdate, validate) TYPO(valiate, validate) \
  TYPO(validte, validate) TYPO(validae, validate) TYPO(validat, validate)                         \
  TYPO(avlidate, validate) TYPO(vlaidate, validate) TYPO(valdiate, validate)                      \
  TYPO(valiadte, validate) TYPO(validtae, validate) TYPO(validaet, validate)                      \
  TYPO(vvalidate, validate) TYPO(vaalidate, validate) TYPO(vallidate, validate)                   \
  TYPO(valiidate, validate) TYPO(validdate, validate) TYPO(validaate, validate)                   \
  TYPO(validatte, validate) TYPO(validatee, validate)
#define RLHF_DETAIL_NEAR_BEFORE_EPISODE(WORD, TYPO)                                               \
  WORD(beforeEpisode, before_episode) WORD(BeforeEpisode, before_episode)                         \
  WORD(before_episodes, before_episode) WORD(pre_episode, before_episode)                         \
  WORD(begin_episode, before_episode) WORD(start_episode, before_episode)                         \
  WORD(on_episode_begin, before_episode) WORD(on_episode_start, before_episode)                   \
  TYPO(beforeepisode, before_episode) TYPO(efore_episode, before_episode)                         \
  TYPO(bfore_episode, before_episode) TYPO(beore_episode, before_episode)                         \
  TYPO(befre_episode, before_episode) TYPO(befoe_episode, before_episode)                         \
  TYPO(befor_episode, before_episode) TYPO(before_pisode, before_episode)                         \
  TYPO(before_eisode, before_episode) TYPO(before_epsode, before_episode)                         \
  TYPO(before_epiode, before_episode) TYPO(before_episde, before_episode)                         \
  TYPO(before_episoe, before_episode) TYPO(before_episod, before_episode)                         \
  TYPO(ebfore_episode, before_episode) TYPO(bfeore_episode, before_episode)                       \
  TYPO(beofre_episode, before_episode) TYPO(befroe_episode, before_episode)                       \
  TYPO(befoer_episode, before_episode) TYPO(befor_eepisode, before_episode)                       \
  TYPO(beforee_pisode, before_episode) TYPO(before_peisode, before_episode)                       \
  TYPO(before_eipsode, before_episode) TYPO(before_epsiode, before_episode)                       \
  TYPO(before_epiosde, before_episode) TYPO(before_episdoe, before_episode)                       \
  TYPO(before_episoed, before_episode) TYPO(bbefore_episode, before_episode)                      \
  TYPO(beefore_episode, before_episode) TYPO(beffore_episode, before_episode)                     \
  TYPO(befoore_episode, before_episode) TYPO(beforre_episode, before_episode)                     \
  TYPO(beforee_episode, before_episode) TYPO(before_eepisode, before_episode)                     \
  TYPO(before_eppisode, before_episode) TYPO(before_epiisode, before_episode)                     \
  TYPO(before_epissode, before_episode) TYPO(before_episoode, before_episode)                     \
  TYPO(before_episodde, before_episode) TYPO(before_episodee, before_episode)
#define RLHF_DETAIL_NEAR_AFTER_EPISODE(WORD, TYPO)                                                \
  WORD(afterEpisode, after_episode) WORD(AfterEpisode, after_episode)                             \
  WORD(after_episodes, after_episode) WORD(post_episode, after_episode)                           \
  WORD(end_episode, after_episode) WORD(finish_episode, after_episode)                            \
  WORD(on_episode_end, after_episode) TYPO(afterepisode, after_episode)                           \
  TYPO(fter_episode, after_episode) TYPO(ater_episode, after_episode)                             \
  TYPO(afer_episode, after_episode) TYPO(aftr_episode, after_episode)                             \
  TYPO(afte_episode, after_episode) TYPO(after_pisode, after_episode)                             \
  TYPO(after_eisode, after_episode) TYPO(after_epsode, after_episode)                             \
  TYPO(after_epiode, after_episode) TYPO(after_episde, after_episode)                             \
  TYPO(after_episoe, after_episode) TYPO(after_episod, after_episode)                             \
  TYPO(fater_episode, after_episode) TYPO(atfer_episode, after_episode)                           \
  TYPO(afetr_episode, after_episode) TYPO(aftre_episode, after_episode)                           \
  TYPO(afte_repisode, after_episode) TYPO(aftere_pisode, after_episode)                           \
  TYPO(after_peisode, after_episode) TYPO(after_eipsode, after_episode)                           \
  TYPO(after_epsiode, after_episode) TYPO(after_epiosde, after_episode)                           \
  TYPO(after_episdoe, after_episode) TYPO(after_episoed, after_episode)                           \
  TYPO(aafter_episode, after_episode) TYPO(affter_episode, after_episode)                         \
  TYPO(aftter_episode, after_episode) TYPO(afteer_episode, after_episode)                         \
  TYPO(afterr_episode, after_episode) TYPO(after_eepisode, after_episode)                         \
  TYPO(after_eppisode, after_episode) TYPO(after_epiisode, after_episode)                         \
  TYPO(after_epissode, after_episode) TYPO(after_episoode, after_episode)                         \
  TYPO(after_episodde, after_episode) TYPO(after_episodee, after_episode)
#define RLHF_DETAIL_NEAR_FORWARD_STEP(WORD, TYPO)                                                 \
  WORD(forwardStep, forward_step) WORD(ForwardStep, forward_step)                                 \
  WORD(forward_steps, forward_step) WORD(inference_step, forward_step)                            \
  WORD(infer_step, forward_step) TYPO(forwardstep, forward_step) TYPO(orward_step, forward_step)  \
  TYPO(frward_step, forward_step) TYPO(foward_step, forward_step) TYPO(forard_step, forward_step) \
  TYPO(forwrd_step, forward_step) TYPO(forwad_step, forward_step) TYPO(forwar_step, forward_step) \
  TYPO(forward_tep, forward_step) TYPO(forward_sep, forward_step) TYPO(forward_stp, forward_step) \
  TYPO(forward_ste, forward_step) TYPO(ofrward_step, forward_step)                                \
  TYPO(froward_step, forward_step) TYPO(fowrard_step, forward_step)                               \
  TYPO(forawrd_step, forward_step) TYPO(forwrad_step, forward_step)                               \
  TYPO(forwadr_step, forward_step) TYPO(forwar_dstep, forward_step)                               \
  TYPO(forwards_tep, forward_step) TYPO(forward_tsep, forward_step)                               \
  TYPO(forward_setp, forward_step) TYPO(forward_stpe, forward_step)                               \
  TYPO(fforward_step, forward_step) TYPO(foorward_step, forward_step)                             \
  TYPO(forrward_step, forward_step) TYPO(forwward_step, forward_step)                             \
  TYPO(forwaard_step, forward_step) TYPO(forwarrd_step, forward_step)                             \
  TYPO(forwardd_step, forward_step) TYPO(forward_sstep, forward_step)                             \
  TYPO(forward_sttep, forward_step) TYPO(forward_steep, forward_step)                             \
  TYPO(forward_stepp, forward_step)
#define RLHF_DETAIL_NEAR_TRAIN_STEP(WORD, TYPO)                                                   \
  WORD(trainStep, train_step) WORD(TrainStep, train_step) WORD(train_steps, train_step)           \
  WORD(training_step, train_step) WORD(trainer_step, train_step) WORD(step_train, train_step)     \
  TYPO(trainstep, train_step) TYPO(rain_step, train_step) TYPO(tain_step, train_step)             \
  TYPO(trin_step, train_step) TYPO(tran_step, train_step) TYPO(trai_step, train_step)             \
  TYPO(train_tep, train_step) TYPO(train_sep, train_step) TYPO(train_stp, train_step)             \
  TYPO(train_ste, train_step) TYPO(rtain_step, train_step) TYPO(tarin_step, train_step)           \
  TYPO(trian_step, train_step) TYPO(trani_step, train_step) TYPO(trai_nstep, train_step)          \
  TYPO(trains_tep, train_step) TYPO(train_tsep, train_step) TYPO(train_setp, train_step)          \
  TYPO(train_stpe, train_step) TYPO(ttrain_step, train_step) TYPO(trrain_step, train_step)        \
  TYPO(traain_step, train_step) TYPO(traiin_step, train_step) TYPO(trainn_step, train_step)       \
  TYPO(train_sstep, train_step) TYPO(train_sttep, train_step) TYPO(train_steep, train_step)       \
  TYPO(train_stepp, train_step)
#define RLHF_DETAIL_NEAR_EVAL_STEP(WORD, TYPO)                                                    \
  WORD(evalStep, eval_step) WORD(EvalStep, eval_step) WORD(eval_steps, eval_step)                 \
  WORD(evaluate_step, eval_step) WORD(evaluation_step, eval_step)                                 \
  WORD(validation_step, eval_step) TYPO(evalstep, eval_step) TYPO(val_step, eval_step)            \
  TYPO(eal_step, eval_step) TYPO(evl_step, eval_step) TYPO(eva_step, eval_step)                   \
  TYPO(eval_tep, eval_step) TYPO(eval_sep, eval_step) TYPO(eval_stp, eval_step)                   \
  TYPO(eval_ste, eval_step) TYPO(veal_step, eval_step) TYPO(eavl_step, eval_step)                 \
  TYPO(evla_step, eval_step) TYPO(eva_lstep, eval_step) TYPO(evals_tep, eval_step)                \
  TYPO(eval_tsep, eval_step) TYPO(eval_setp, eval_step) TYPO(eval_stpe, eval_step)                \
  TYPO(eeval_step, eval_step) TYPO(evval_step, eval_step) TYPO(evaal_step, eval_step)             \
  TYPO(evall_step, eval_step) TYPO(eval_sstep, eval_step) TYPO(eval_sttep, eval_step)             \
  TYPO(eval_steep, eval_step) TYPO(eval_stepp, eval_step)
#define RLHF_DETAIL_NEAR_SAVE_CHECKPOINT(WORD, TYPO)                                              \
  WORD(saveCheckpoint, save_checkpoint) WORD(SaveCheckpoint, save_checkpoint)                     \
  WORD(save_checkpoints, save_checkpoint) WORD(save_check_point, save_checkpoint)                 \
  WORD(saveCheckPoint, save_checkpoint) WORD(on_save_checkpoint, save_checkpoint)                 \
  WORD(write_checkpoint, save_checkpoint) WORD(store_checkpoint, save_checkpoint)                 \
  TYPO(savecheckpoint, save_checkpoint) TYPO(ave_checkpoint, save_checkpoint)                     \
  TYPO(sve_checkpoint, save_checkpoint) TYPO(sae_checkpoint, save_checkpoint)                     \
  TYPO(sav_checkpoint, save_checkpoint) TYPO(save_heckpoint, save_checkpoint)                     \
  TYPO(save_ceckpoint, save_checkpoint) TYPO(save_chckpoint, save_checkpoint)                     \
  TYPO(save_chekpoint, save_checkpoint) TYPO(save_checpoint, save_checkpoint)                     \
  TYPO(save_checkoint, save_checkpoint) TYPO(save_checkpint, save_checkpoint)                     \
  TYPO(save_checkpont, save_checkpoint) TYPO(save_checkpoit, save_checkpoint)                     \
  TYPO(save_checkpoin, save_checkpoint) TYPO(asve_checkpoint, save_checkpoint)                    \
  TYPO(svae_checkpoint, save_checkpoint) TYPO(saev_checkpoint, save_checkpoint)                   \
  TYPO(sav_echeckpoint, save_checkpoint) TYPO(savec_heckpoint, save_checkpoint)                   \
  TYPO(save_hceckpoint, save_checkpoint) TYPO(save_cehckpoint, save_checkpoint)                   \
  TYPO(save_chcekpoint, save_checkpoint) TYPO(save_chekcpoint, save_checkpoint)                   \
  TYPO(save_checpkoint, save_checkpoint) TYPO(save_checkopint, save_checkpoint)                   \
  TYPO(save_checkpiont, save_checkpoint) TYPO(save_checkponit, save_checkpoint)                   \
  TYPO(save_checkpoitn, save_checkpoint) TYPO(ssave_checkpoint, save_checkpoint)                  \
  TYPO(saave_checkpoint, save_checkpoint) TYPO(savve_checkpoint, save_checkpoint)                 \
  TYPO(savee_checkpoint, save_checkpoint) TYPO(save_ccheckpoint, save_checkpoint)                 \
  TYPO(save_chheckpoint, save_checkpoint) TYPO(save_cheeckpoint, save_checkpoint)                 \
  TYPO(save_checckpoint, save_checkpoint) TYPO(save_checkkpoint, save_checkpoint)                 \
  TYPO(save_checkppoint, save_checkpoint) TYPO(save_checkpooint, save_checkpoint)                 \
  TYPO(save_checkpoiint, save_checkpoint) TYPO(save_checkpoinnt, save_checkpoint)                 \
  TYPO(save_checkpointt, save_checkpoint)
#define RLHF_DETAIL_NEAR_LOAD_CHECKPOINT(WORD, TYPO)                                              \
  WORD(loadCheckpoint, load_checkpoint) WORD(LoadCheckpoint, load_checkpoint)                     \
  WORD(load_checkpoints, load_checkpoint) WORD(load_check_point, load_checkpoint)                 \
  WORD(loadCheckPoint, load_checkpoint) WORD(on_load_checkpoint, load_checkpoint)                 \
  WORD(read_checkpoint, load_checkpoint) WORD(restore_checkpoint, load_checkpoint)                \
  TYPO(loadcheckpoint, load_checkpoint) TYPO(oad_checkpoint, load_checkpoint)                     \
  TYPO(lad_checkpoint, load_checkpoint) TYPO(lod_checkpoint, load_checkpoint)                     \
  TYPO(loa_checkpoint, load_checkpoint) TYPO(load_heckpoint, load_checkpoint)                     \
  TYPO(load_ceckpoint, load_checkpoint) TYPO(load_chckpoint, load_checkpoint)                     \
  TYPO(load_chekpoint, load_checkpoint) TYPO(load_checpoint, load_checkpoint)                     \
  TYPO(load_checkoint, load_checkpoint) TYPO(load_checkpint, load_checkpoint)                     \
  TYPO(load_checkpont, load_checkpoint) TYPO(load_checkpoit, load_checkpoint)                     \
  TYPO(load_checkpoin, load_checkpoint) TYPO(olad_checkpoint, load_checkpoint)                    \
  TYPO(laod_checkpoint, load_checkpoint) TYPO(loda_checkpoint, load_checkpoint)                   \
  TYPO(loa_dcheckpoint, load_checkpoint) TYPO(loadc_heckpoint, load_checkpoint)                   \
  TYPO(load_hceckpoint, load_checkpoint) TYPO(load_cehckpoint, load_checkpoint)                   \
  TYPO(load_chcekpoint, load_checkpoint) TYPO(load_chekcpoint, load_checkpoint)                   \
  TYPO(load_checpkoint, load_checkpoint) TYPO(load_checkopint, load_checkpoint)                   \
  TYPO(load_checkpiont, load_checkpoint) TYPO(load_checkponit, load_checkpoint)                   \
  TYPO(load_checkpoitn, load_checkpoint) TYPO(lload_checkpoint, load_checkpoint)                  \
  TYPO(looad_checkpoint, load_checkpoint) TYPO(loaad_checkpoint, load_checkpoint)                 \
  TYPO(loadd_checkpoint, load_checkpoint) TYPO(load_ccheckpoint, load_checkpoint)                 \
  TYPO(load_chheckpoint, load_checkpoint) TYPO(load_cheeckpoint, load_checkpoint)                 \
  TYPO(load_checckpoint, load_checkpoint) TYPO(load_checkkpoint, load_checkpoint)                 \
  TYPO(load_checkppoint, load_checkpoint) TYPO(load_checkpooint, load_checkpoint)                 \
  TYPO(load_checkpoiint, load_checkpoint) TYPO(load_checkpoinnt, load_checkpoint)                 \
  TYPO(load_checkpointt, load_checkpoint)
#define RLHF_DETAIL_NEAR_BUILD_DATASET(WORD, TYPO)                                                \
  WORD(buildDataset, build_dataset) WORD(BuildDataset, build_dataset)                             \
  WORD(build_datasets, build_dataset) WORD(build_data_set, build_dataset)                         \
  WORD(buildDataSet, build_dataset) WORD(make_dataset, build_dataset)                             \
  WORD(create_dataset, build_dataset) TYPO(builddataset, build_dataset)                           \
  TYPO(uild_dataset, build_dataset) TYPO(bild_dataset, build_dataset)                             \
  TYPO(buld_dataset, build_dataset) TYPO(buid_dataset, build_dataset)                             \
  TYPO(buil_dataset, build_dataset) TYPO(build_ataset, build_dataset)                             \
  TYPO(build_dtaset, build_dataset) TYPO(build_daaset, build_dataset)                             \
  TYPO(build_datset, build_dataset) TYPO(build_dataet, build_dataset)                             \
  TYPO(build_datast, build_dataset) TYPO(build_datase, build_dataset)                             \
  TYPO(ubild_dataset, build_dataset) TYPO(biuld_dataset, build_dataset)                           \
  TYPO(bulid_dataset, build_dataset) TYPO(buidl_dataset, build_dataset)                           \
  TYPO(buil_ddataset, build_dataset) TYPO(buildd_ataset, build_dataset)                           \
  TYPO(build_adtaset, build_dataset) TYPO(build_dtaaset, build_dataset)                           \
  TYPO(build_daatset, build_dataset) TYPO(build_datsaet, build_dataset)                           \
  TYPO(build_dataest, build_dataset) TYPO(build_dataste, build_dataset)                           \
  TYPO(bbuild_dataset, build_dataset) TYPO(buuild_dataset, build_dataset)                         \
  TYPO(buiild_dataset, build_dataset) TYPO(builld_dataset, build_dataset)                         \
  TYPO(buildd_dataset, build_dataset) TYPO(build_ddataset, build_dataset)                         \
  TYPO(build_daataset, build_dataset) TYPO(build_dattaset, build_dataset)                         \
  TYPO(build_dataaset, build_dataset) TYPO(build_datasset, build_dataset)                         \
  TYPO(build_dataseet, build_dataset) TYPO(build_datasett, build_dataset)
#define RLHF_DETAIL_NEAR_PARAMETERS(WORD, TYPO)                                                   \
  WORD(get_parameters, parameters) WORD(named_parameters, parameters)                             \
  WORD(list_parameters, parameters) WORD(visit_parameters, parameters)                            \
  WORD(paramaters, parameters) TYPO(arameters, parameters) TYPO(prameters, parameters)            \
  TYPO(paameters, parameters) TYPO(parmeters, parameters) TYPO(paraeters, parameters)             \
  TYPO(paramters, parameters) TYPO(parameers, parameters) TYPO(parametrs, parameters)             \
  TYPO(parametes, parameters) TYPO(aprameters, parameters) TYPO(praameters, parameters)           \
  TYPO(paarmeters, parameters) TYPO(parmaeters, parameters) TYPO(paraemters, parameters)          \
  TYPO(paramteers, parameters) TYPO(parameetrs, parameters) TYPO(parametres, parameters)          \
  TYPO(parametesr, parameters) TYPO(pparameters, parameters) TYPO(paarameters, parameters)        \
  TYPO(parrameters, parameters) TYPO(paraameters, parameters) TYPO(parammeters, parameters)       \
  TYPO(parameeters, parameters) TYPO(parametters, parameters) TYPO(parameteers, parameters)       \
  TYPO(parameterrs, parameters) TYPO(parameterss, parameters)
// clang-format on

/// A member of every near name, for the search.
struct NearNames {
#define RLHF_DETAIL_DECLARE(NAME, HOOK) int NAME;
  RLHF_DETAIL_NEAR_SETUP(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_VALIDATE(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_BEFORE_EPISODE(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_AFTER_EPISODE(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_FORWARD_STEP(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_TRAIN_STEP(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_EVAL_STEP(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_SAVE_CHECKPOINT(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_LOAD_CHECKPOINT(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_BUILD_DATASET(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
  RLHF_DETAIL_NEAR_PARAMETERS(RLHF_DETAIL_DECLARE, RLHF_DETAIL_DECLARE)
#undef RLHF_DETAIL_DECLARE
};
/// Where near names are looked up: in a class that has all of them, so that one of M's own makes it
/// ambiguous, or in M itself if nothing can inherit from M.
template <class M, bool Closed = is_closed<M>>
struct NearNamesOf {
  struct type : M, NearNames {};
};
template <class M>
struct NearNamesOf<M, true> {
  using type = M;
};

// near_HOOK: the model has no such hook, but a name that was probably meant as one. NearHOOK says
// which. A name is lacking if it can be named in an open M's search, or cannot in a closed M's.
// clang-format off
#define RLHF_DETAIL_LACKS(NAME) (requires { &Search::NAME; } != Closed)
#define RLHF_DETAIL_NO_HOOK(NAME)                                                                 \
  (RLHF_DETAIL_LACKS(NAME) || requires { typename M::NAME; } ||                                   \
   requires { requires std::is_member_object_pointer_v<decltype(&M::NAME)>; })
#define RLHF_DETAIL_AND_TYPO(NAME, HOOK) &&RLHF_DETAIL_LACKS(NAME)
#define RLHF_DETAIL_AND_WORD(NAME, HOOK) &&RLHF_DETAIL_NO_HOOK(NAME)
#define RLHF_DETAIL_REFUSE(LACKING, NAME, HOOK)                                                   \
  static_assert(LACKING, "[rlhf:module.misspelt] this model defines " #NAME ", which nothing "    \
                "calls; the hook is " #HOOK ". Rename it, or keep it with static constexpr bool " \
                "allow_near_names = true; see module/hooks.hpp");
#define RLHF_DETAIL_REFUSE_TYPO(NAME, HOOK) RLHF_DETAIL_REFUSE(RLHF_DETAIL_LACKS(NAME), NAME, HOOK)
#define RLHF_DETAIL_REFUSE_WORD(NAME, HOOK) RLHF_DETAIL_REFUSE(RLHF_DETAIL_NO_HOOK(NAME), NAME, HOOK)
#define RLHF_DETAIL_SEARCH(HOOK, NAMES)                                                           \
  template <class M, class Search, bool Closed>                                                   \
  inline constexpr bool near_##HOOK =                                                             \
      !(has_##HOOK<M> || (true NAMES(RLHF_DETAIL_AND_WORD, RLHF_DETAIL_AND_TYPO)));               \
  template <class M, class Search, bool Closed, bool Near = near_##HOOK<M, Search, Closed>>       \
  struct Near_##HOOK {};                                                                          \
  template <class M, class Search, bool Closed>                                                   \
  struct Near_##HOOK<M, Search, Closed, true> {                                                   \
    NAMES(RLHF_DETAIL_REFUSE_WORD, RLHF_DETAIL_REFUSE_TYPO)                                       \
  };
RLHF_DETAIL_SEARCH(setup, RLHF_DETAIL_NEAR_SETUP)
RLHF_DETAIL_SEARCH(validate, RLHF_DETAIL_NEAR_VALIDATE)
RLHF_DETAIL_SEARCH(before_episode, RLHF_DETAIL_NEAR_BEFORE_EPISODE)
RLHF_DETAIL_SEARCH(after_episode, RLHF_DETAIL_NEAR_AFTER_EPISODE)
RLHF_DETAIL_SEARCH(forward_step, RLHF_DETAIL_NEAR_FORWARD_STEP)
RLHF_DETAIL_SEARCH(train_step, RLHF_DETAIL_NEAR_TRAIN_STEP)
RLHF_DETAIL_SEARCH(eval_step, RLHF_DETAIL_NEAR_EVAL_STEP)
RLHF_DETAIL_SEARCH(save_checkpoint, RLHF_DETAIL_NEAR_SAVE_CHECKPOINT)
RLHF_DETAIL_SEARCH(load_checkpoint, RLHF_DETAIL_NEAR_LOAD_CHECKPOINT)
RLHF_DETAIL_SEARCH(build_dataset, RLHF_DETAIL_NEAR_BUILD_DATASET)
RLHF_DETAIL_SEARCH(parameters, RLHF_DETAIL_NEAR_PARAMETERS)
// clang-format on
#undef RLHF_DETAIL_LACKS
#undef RLHF_DETAIL_NO_HOOK
#undef RLHF_DETAIL_AND_TYPO
#undef RLHF_DETAIL_AND_WORD
#undef RLHF_DETAIL_REFUSE
#undef RLHF_DETAIL_REFUSE_TYPO
#undef RLHF_DETAIL_REFUSE_WORD
#undef RLHF_DETAIL_SEARCH
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

template <class M, class Search, bool Closed>
inline constexpr bool has_near_name =
    near_setup<M, Search, Closed> || near_validate<M, Search, Closed> ||
    near_before_episode<M, Search, Closed> || near_after_episode<M, Search, Closed> ||
    near_forward_step<M, Search, Closed> || near_train_step<M, Search, Closed> ||
    near_eval_step<M, Search, Closed> || near_save_checkpoint<M, Search, Closed> ||
    near_load_checkpoint<M, Search, Closed> || near_build_dataset<M, Search, Closed> ||
    near_parameters<M, Search, Closed>;

/// Whether `CheckNearNames` reports something.
template <class M>
inline constexpr bool is_misspelt = has_near_name<M, typename NearNamesOf<M>::type, is_closed<M>>;
template <AllowsNearNames M>
inline constexpr bool is_misspelt<M> = false;

template <class M, class Search, bool Closed>
struct RefuseNearNames : Near_setup<M, Search, Closed>,
                         Near_validate<M, Search, Closed>,
                         Near_before_episode<M, Search, Closed>,
                         Near_after_episode<M, Search, Closed>,
                         Near_forward_step<M, Search, Closed>,
                         Near_train_step<M, Search, Closed>,
                         Near_eval_step<M, Search, Closed>,
                         Near_save_checkpoint<M, Search, Closed>,
                         Near_load_checkpoint<M, Search, Closed>,
                         Near_build_dataset<M, Search, Closed>,
                         Near_parameters<M, Search, Closed> {};

template <class M, bool Misspelt = is_misspelt<M>>
struct CheckNearNames {};
template <class M>
struct CheckNearNames<M, true> : RefuseNearNames<M, typename NearNamesOf<M>::type, is_closed<M>> {};

}  // namespace rlhf::inline v0::model_detail
