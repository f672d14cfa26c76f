/// @file
/// The hooks that a model may define, found when the program is compiled. Layer: module.
///
/// | hook | called |
/// |---|---|
/// | `void setup()` | once, before anything else: allocate, initialise |
/// | `void validate()` | once, after every model's setup |
/// | `void before_episode(Episode)`, `void after_episode(Episode)` | around every episode |
/// | `R forward_step(Batch const&, Step)` | inference on a batch; R is the model's choice |
/// | `R train_step(std::span<Batch const>, Step)` | one optimizer step over micro-batches, of type `TrainBatch` where the model names one |
/// | `R eval_step(Batch const&)` | evaluation on a batch |
/// | `void save_checkpoint(checkpoint::FilesToSave&, Step)`, `void load_checkpoint(checkpoint::FilesToLoad const&, Step)` | weights and optimizer, into and from files that belong to one checkpoint of the whole run |
/// | `void save_checkpoint(Step)`, `void load_checkpoint(Step)` | the same by the model's own means |
/// | `D build_dataset(std::span<std::string const>, Purpose)` | prompts to a `data::Dataset` |
///
/// `Step` counts the calls of `train_step` (of a model that is not trained it stays 0; noise that
/// is to differ from call to call goes by `episode()` and the rows, too). `Batch`, and `TrainBatch`
/// if it is another, are nested types of the model. A hook that a model does not define costs
/// nothing. One that is private, misspelt or takes other arguments is refused with a sentence by
/// `CheckModel`, which every function here instantiates. Misspelt is a name from a list
/// (detail/near_names.hpp: other spellings, and every hook with one letter left out, doubled or
/// swapped with the next) in a model that lacks the hook itself. Hooks may be overloaded, templates
/// or inherited. Of a final class, one that is private, or overloaded and fits none of the calls,
/// is taken for absent.
#pragma once

#include <rlhf/core/ids.hpp>
#include <rlhf/module/check_model.hpp>

#include <span>
#include <string>

namespace rlhf::inline v0 {
namespace model_detail {

/// Stands for a batch type that a refused model does not name, and for what its hook returns:
/// converts from and to anything, so that the refusal is the only error.
struct Refused {
  constexpr Refused() = default;
  template <class Anything>
  constexpr Refused(Anything const&) noexcept {}  // NOLINT: implicit on purpose
  template <class Anything>
  constexpr operator Anything() const;  // NOLINT: implicit on purpose
};

template <class M>
struct BatchesOf {
  using One = Refused;
};
template <HasBatch M>
struct BatchesOf<M> {
  using One = typename M::Batch;
};
template <class M>
struct TrainBatchesOf {
  using One = Refused;
  using Several = Refused;
};
template <class M>
  requires requires {
    typename TrainBatch<M>::type;
  }
struct TrainBatchesOf<M> {
  using One = typename TrainBatch<M>::type;
  using Several = std::span<One const>;
};

}  // namespace model_detail

/// What `hook::forward_step` and `hook::eval_step` take, and what `hook::train_step` takes.
template <class M>
using BatchOf = typename model_detail::BatchesOf<M>::One;
template <class M>
using TrainBatchOf = typename model_detail::TrainBatchesOf<M>::One;
template <class M>
using MicroBatchesOf = typename model_detail::TrainBatchesOf<M>::Several;

namespace hook {

/// Calls `model.setup()` if there is one.
template <class M>
constexpr void setup(M& model) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_setup<M>) {
    model.setup();
  }
}

/// Calls `model.validate()` if there is one.
template <class M>
constexpr void validate(M& model) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_validate<M>) {
    model.validate();
  }
}

/// Calls `model.before_episode(episode())` if there is one.
template <class M>
constexpr void before_episode(M& model) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_before_episode<M>) {
    model.before_episode(model.episode());
  }
}

/// Calls `model.after_episode(episode())` if there is one, then counts the episode.
template <class M>
constexpr void after_episode(M& model) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_after_episode<M>) {
    model.after_episode(model.episode());
  }
  if constexpr (is_valid_model<M>) {
    model.advance_episode();
  }
}

/// `model.forward_step(batch, step())`.
template <class M>
constexpr decltype(auto) forward_step(M& model, BatchOf<M> const& batch) {
  static_assert(sizeof(CheckModel<M>) != 0);
  static_assert(!is_valid_model<M> || model_detail::has_forward_step<M>,
                "[rlhf:module.forward_step_missing] this model is used for inference but defines "
                "no forward_step(Batch const&, rlhf::Step); see module/hooks.hpp");
  if constexpr (is_valid_model<M> && model_detail::has_forward_step<M>) {
    return model.forward_step(batch, model.step());
  } else {
    return model_detail::Refused{};
  }
}

/// `model.train_step(micro_batches, step())`, then counts the step.
template <class M>
constexpr auto train_step(M& model, MicroBatchesOf<M> micro_batches) {
  static_assert(sizeof(CheckModel<M>) != 0);
  static_assert(!is_valid_model<M> || model_detail::has_train_step<M>,
                "[rlhf:module.train_step_missing] this model is used as a trainer but defines no "
                "train_step(std::span<Batch const>, rlhf::Step); see module/hooks.hpp");
  if constexpr (is_valid_model<M> && model_detail::has_train_step<M>) {
    auto result = model.train_step(micro_batches, model.step());
    model.advance_step();
    return result;
  } else {
    return model_detail::Refused{};
  }
}

/// `model.eval_step(batch)`.
template <class M>
constexpr decltype(auto) eval_step(M& model, BatchOf<M> const& batch) {
  static_assert(sizeof(CheckModel<M>) != 0);
  static_assert(!is_valid_model<M> || model_detail::has_eval_step<M>,
                "[rlhf:module.eval_step_missing] this model is used for evaluation but defines no "
                "eval_step(Batch const&); see module/hooks.hpp");
  if constexpr (is_valid_model<M> && model_detail::has_eval_step<M>) {
    return model.eval_step(batch);
  } else {
    return model_detail::Refused{};
  }
}

/// Calls `model.save_checkpoint(step())` if there is one that takes no files.
template <class M>
constexpr void save_checkpoint(M& model) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_save_checkpoint<M>) {
    if constexpr (!model_detail::SavesFiles<M>) {
      model.save_checkpoint(model.step());
    }
  }
}
/// Calls `model.save_checkpoint(files, step())`, or `model.save_checkpoint(step())`, if there is
/// one.
template <class M>
void save_checkpoint(M& model, checkpoint::FilesToSave& files) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_save_checkpoint<M>) {
    if constexpr (model_detail::SavesFiles<M>) {
      model.save_checkpoint(files, model.step());
    } else {
      model.save_checkpoint(model.step());
    }
  }
}

/// Calls `model.load_checkpoint(step)` if there is one that takes no files.
template <class M>
constexpr void load_checkpoint(M& model, Step step) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_load_checkpoint<M>) {
    if constexpr (!model_detail::LoadsFiles<M>) {
      model.load_checkpoint(step);
    }
  }
}
/// Calls `model.load_checkpoint(files, step)`, or `model.load_checkpoint(step)`, if there is one.
template <class M>
void load_checkpoint(M& model, checkpoint::FilesToLoad const& files, Step step) {
  static_assert(sizeof(CheckModel<M>) != 0);
  if constexpr (is_valid_model<M> && model_detail::has_load_checkpoint<M>) {
    if constexpr (model_detail::LoadsFiles<M>) {
      model.load_checkpoint(files, step);
    } else {
      model.load_checkpoint(step);
    }
  }
}

/// `model.build_dataset(prompts, purpose)`.
template <class M>
constexpr auto build_dataset(M& model, std::span<std::string const> prompts, Purpose purpose) {
  static_assert(sizeof(CheckModel<M>) != 0);
  static_assert(!is_valid_model<M> || model_detail::has_build_dataset<M>,
                "[rlhf:module.build_dataset_missing] this model draws prompts but defines no "
                "build_dataset(std::span<std::string const>, rlhf::Purpose); see "
                "module/hooks.hpp");
  if constexpr (is_valid_model<M> && model_detail::has_build_dataset<M>) {
    return model.build_dataset(prompts, purpose);
  } else {
    return model_detail::Refused{};
  }
}

}  // namespace hook
}  // namespace rlhf::inline v0
