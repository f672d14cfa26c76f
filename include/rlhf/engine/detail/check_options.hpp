/// @file
/// Settings of an engine that cannot be, or do not fit its parts. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/engine/detail/work.hpp>
#include <rlhf/engine/nodes.hpp>
#include <rlhf/engine/options.hpp>
#include <rlhf/module/hooks.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

template <class R>
void check_lag(R& run) {
  if (run.options.max_version_lag < 0) {
    return;
  }
  std::string_view name;
  if (run.versions.never_gets_weights(name)) {
    fail(Errc::invalid_argument,
         text("engine::Options::max_version_lag is ", run.options.max_version_lag, ", but ", name,
              ", which draws prompts and generates, is neither trained nor synced, so that its ",
              "weights get older for ever; add engine::sync from the trainer to it"));
  }
  std::int64_t const age = run.versions.worst_age(name);
  if (age < 0 || age + run.options.episodes_ahead > run.options.max_version_lag) {
    std::string const how =
        age < 0 ? text(name, " gets weights once only")
                : text("episodes_ahead is ", run.options.episodes_ahead,
                       age > 0 ? text(", and syncs leave ", name, " up to ", age, " behind")
                               : std::string());
    fail(Errc::invalid_argument,
         text("rollouts could come from weights ",
              age < 0 ? std::string("of any age")
                      : text(age + run.options.episodes_ahead, " episodes old"),
              ", engine::Options::max_version_lag allows ", run.options.max_version_lag, ": ", how,
              "; sync more often, or lower episodes_ahead"));
  }
}
/// Whether a model's weights come back from checkpoints.
template <class M>
inline constexpr bool saves_weights =
    model_detail::has_save_checkpoint<M>&& model_detail::has_load_checkpoint<M>;

/// What checkpoints need of models.
template <class R>
void check_models(R& run) {
  std::vector<std::string_view> models;
  run.parts.for_each_model([&]<class M>(M&, std::string_view name) {
    if (model_detail::has_save_checkpoint<M> != model_detail::has_load_checkpoint<M>) {
      fail(Errc::invalid_argument,
           text("the model ", name, " defines ",
                model_detail::has_save_checkpoint<M> ? "save_checkpoint" : "load_checkpoint",
                " but not ",
                model_detail::has_save_checkpoint<M> ? "load_checkpoint" : "save_checkpoint",
                ", so that a resumed run would not be the one that stopped; define both"));
    }
    if constexpr (model_detail::SavesFiles<M>) {
      if (!checkpoint::is_file_name(name) || name == "engine") {
        fail(Errc::invalid_argument,
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
}
/// What checkpoints need of models that are trained or synced.
template <class R>
void check_syncs(R& run) {
  std::size_t part = 0;
  run.parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::sync) {
      bool const keeps = saves_weights<typename Node::Destination>;
      if (work.node.frequency == 0 && !keeps) {
        fail(Errc::invalid_argument,
             text("the sync ", work.node.name, " runs once only, so that a resumed run needs its ",
                  "destination's weights from the checkpoint: define save_checkpoint and ",
                  "load_checkpoint in it"));
      }
      if (run.versions.is_before_its_source(part) && !keeps) {
        fail(Errc::invalid_argument,
             text("the sync ", work.node.name,
                  " comes before the one that refreshes its source, so ",
                  "that a resumed run needs its destination's weights from the checkpoint: define ",
                  "save_checkpoint and load_checkpoint in it, or list the syncs the other way ",
                  "round"));
      }
    } else if constexpr (Node::kind == NodeKind::train) {
      if (!saves_weights<typename Node::Model>) {
        fail(Errc::invalid_argument,
             text("the model that ", work.node.name, " trains defines no save_checkpoint and ",
                  "load_checkpoint, so that a resumed run would begin with fresh weights; define ",
                  "both, or leave engine::Options::checkpoints empty"));
      }
    }
    ++part;
  });
}
/// Names of parts tell them apart; those of models are directories of checkpoints.
template <class R>
void check_names(R& run) {
  std::vector<std::string_view> parts;
  run.parts.for_each([&](auto& work) {
    for (std::string_view const other : parts) {
      if (other == work.node.name) {
        fail(Errc::invalid_argument,
             text("two parts of an engine are called ", other, "; give each a name of its own"));
      }
    }
    parts.push_back(work.node.name);
  });
  if (run.options.checkpoints.empty()) {
    return;
  }
  check_models(run);
  check_syncs(run);
}
template <class R>
void check_parts(R& run) {
  run.parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::train) {
      TrainOptions const& train = work.node.options;
      if (train.global_batch < 0 || train.micro_batch < 0 || train.epochs < 1) {
        fail(
            Errc::invalid_argument,
            text(work.node.name, ": TrainOptions need a global_batch and a micro_batch of 0 (all) ",
                 "or more rows and 1 or more epochs, got ", train.global_batch, ", ",
                 train.micro_batch, " and ", train.epochs));
      }
      if (train.replay_episodes < -1 || train.replay_episodes == 0 || train.replay_from < 0) {
        fail(Errc::invalid_argument,
             text(work.node.name, ": TrainOptions need replay_episodes of 1 (the newest) or more, ",
                  "or -1 (all), and replay_from of 0 or more, got ", train.replay_episodes, " and ",
                  train.replay_from));
      }
    } else if constexpr (Node::kind == NodeKind::stage) {
      StageOptions const& stage = work.node.options;
      if (stage.batch < 0) {
        fail(Errc::invalid_argument, text(work.node.name, ": StageOptions::batch must be 0 (all) ",
                                          "or more rows, got ", stage.batch));
      }
      if (stage.save_outputs &&
          (run.options.checkpoints.empty() || !checkpoint::is_file_name(work.node.name))) {
        fail(
            Errc::invalid_argument,
            text(work.node.name, ": StageOptions::save_outputs needs engine::Options::checkpoints ",
                 "and a stage whose name is of up to 150 letters, digits, '.', '_' and '-'"));
      }
    } else if constexpr (Node::kind == NodeKind::sync) {
      expects(work.node.frequency >= 0, "a sync's frequency must be 0 (once) or more episodes");
    }
  });
}

/// Errors: invalid_argument for options that are out of range or do not fit the parts.
template <class R>
void check_options(R& run) {
  expects(run.options.episodes >= 0, "engine::Options::episodes must be 0 or more");
  expects(run.options.episodes_ahead >= 0, "engine::Options::episodes_ahead must be 0 or more");
  expects(run.options.save_every >= 0, "engine::Options::save_every must be 0 (never) or more");
  expects(run.options.max_version_lag >= -1, "engine::Options::max_version_lag must be -1 or more");
  expects(run.options.keep >= 0, "engine::Options::keep must be 0 (all) or more");
  expects(run.options.resume_from >= -1, "engine::Options::resume_from must be -1 or more");
  expects(run.options.resume_from < 0 || (run.options.resume && !run.options.checkpoints.empty()),
          "engine::Options::resume_from needs checkpoints and resume");
  expects(run.options.evaluate_every >= 0, "engine::Options::evaluate_every must be 0 or more");
  expects(run.options.trace_events >= 0, "engine::Options::trace_events must be 0 or more");
  check_names(run);
  check_parts(run);
  check_lag(run);
}
}  // namespace rlhf::inline v0::engine::detail
