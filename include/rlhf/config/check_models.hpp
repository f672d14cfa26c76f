/// @file
/// What settings of models ask of each other and of the run. Layer: config.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/config/faults.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/replica.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::config {

/// Samples of one call of a model's `forward_step`; 0: batches are not split.
[[nodiscard]] inline std::int64_t generation_batch_size(Config const& config, Model const& model) {
  std::int64_t const size =
      model.generation_batch_size.value_or(config.runtime.generation_batch_size);
  return size < 0 ? 0 : size;
}

/// Whether a model shares its ranks with another.
[[nodiscard]] inline bool is_colocated(Config const& config, std::string_view model) {
  auto const* const group = config.runtime.group_of(model);
  return group != nullptr && group->size() > 1;
}

namespace detail {

/// The setting that a fault of a layout is about.
[[nodiscard]] inline std::string_view key_of(LayoutFault fault, Model const& model) noexcept {
  switch (fault) {
    case LayoutFault::zero_with_model_parallel:
    case LayoutFault::zero_with_fsdp:
      return "zero_size";
    case LayoutFault::size_below_one:
      return "fsdp_size";
    case LayoutFault::ranks_differ:
      return "data_parallel_size";
    default:
      return model.num_gpu > 0 ? "num_gpu" : "num_cpu";
  }
}

/// False where the ranks are not known, so that what follows from them cannot be checked.
[[nodiscard]] inline bool check_ranks(Model const& model, Checks const& checks) {
  checks.require(model.num_gpu > 0 || model.num_cpu > 0, "",
                 "needs ranks: set num_gpu or num_cpu to at least 1");
  checks.require(model.num_gpu == 0 || model.num_cpu == 0, "num_cpu", "excludes num_gpu, which is ",
                 model.num_gpu, "; set one of them");
  if ((model.num_gpu > 0) == (model.num_cpu > 0)) {
    return false;
  }
  bool const divides = model.num_gpu > 0 || model.num_cpu % model.cpu_per_process == 0;
  checks.require(divides, "cpu_per_process", "must divide num_cpu, which is ", model.num_cpu);
  return divides;
}

inline void check_replicas(Config const& config, Model const& model, Checks const& checks) {
  std::int64_t const samples = config.runtime.sample_per_episode;
  int const replicas = model.replicas().count;
  checks.require(model.num_replica == 0 || model.num_replica == replicas, "num_replica",
                 "does not fit: ", model.ranks(), " ranks ", model.trainable ? "that train " : "",
                 "in layout ", to_string(model.layout()), " make ", replicas,
                 "; set that, or leave it out");
  std::int64_t const batch = generation_batch_size(config, model);
  checks.require(
      model.trainable || batch <= samples / replicas,
      model.generation_batch_size ? "generation_batch_size" : "",
      model.generation_batch_size
          ? ""
          : text("takes a generation_batch_size of ", batch, " from the runtime section; it "),
      "must not be more than sample_per_episode / replicas, which is ", samples, " / ", replicas);
  if (model.trainable) {
    Layout const layout = model.layout().on_ranks(model.ranks());
    std::int64_t const data = std::int64_t{layout.data} * layout.sharded();
    std::int64_t const micro = config.runtime.train_micro_batch_size;
    checks.require(config.runtime.global_batch() % (micro * data) == 0, "",
                   "does not fit train_global_batch_size, which is ", config.runtime.global_batch(),
                   ": it must be a multiple of ", micro, " x ", data,
                   " (train_micro_batch_size x data parallel ranks)");
  }
}

inline void check_model(Config const& config, std::string const& name, Model const& model,
                        Checks const& checks) {
  if (check_ranks(model, checks)) {
    LayoutFault const fault = model.layout().fault_on(model.ranks());
    checks.require(fault == LayoutFault::none, key_of(fault, model),
                   "does not fit: ", describe(fault, model.layout(), model.ranks()));
    if (fault == LayoutFault::none) {
      check_replicas(config, model, checks);
    }
  }
  std::int64_t const samples = config.runtime.sample_per_episode;
  checks.require(samples % model.num_inference_per_prompt == 0, "num_inference_per_prompt",
                 "must divide sample_per_episode, which is ", samples);
  checks.require(config.runtime.consumed_samples % model.num_inference_per_prompt == 0,
                 "num_inference_per_prompt", "must divide consumed_samples, which is ",
                 config.runtime.consumed_samples);
  checks.require(!model.drop_last || config.runtime.data_path.size() <= 1, "drop_last",
                 "must be false for a mixture of ", config.runtime.data_path.size(), " datasets");
  checks.require(!model.drop_last || config.runtime.data_exhaustion != data::Exhausted::retain,
                 "drop_last", "contradicts data_exhaustion, which is retain; set one of them");
  checks.require(!model.enable_stage_resume || config.runtime.enable_resume_training,
                 "enable_stage_resume", "needs runtime.enable_resume_training, which is false");
  checks.require(!model.enable_stage_resume || config.runtime.save_episode_interval > 0,
                 "enable_stage_resume",
                 "needs checkpoints to go on from: set runtime.save_episode_interval, which is 0");
  checks.require(!model.lora.enable_lora || !model.lora.lora_layer.empty(), "lora.lora_layer",
                 "names no class of layers, so nothing would be trained");
  checks.require(!model.force_free_memory || model.offloads_weights() || model.frees_gradients() ||
                     model.offloads_optimizer(),
                 "force_free_memory",
                 "has nothing to free; set free_memory or one of its parts, or leave it out");
  Model::fields(model, [&](std::string_view key, auto const&, Limits const&, std::string_view) {
    checks.require(model.model_args.find(key) == nullptr, text("model_args.", key),
                   "is a key of the model itself; move it up, into models.", name);
  });
}

}  // namespace detail

/// What is wrong with models.
inline void check_models(Config const& config, Faults& out) {
  if (config.models.empty()) {
    out.push_back({"models", "names no model; a run needs at least one"});
  }
  for (auto const& entry : config.models) {
    detail::check_model(config, entry.name, entry.value,
                        detail::Checks(out, text("models.", entry.name)));
  }
}

}  // namespace rlhf::inline v0::config
