/// @file
/// Settings of an engine from a run's configuration. Layer: engine.
///
///     config::Config const run = adapters::read_config_file("run.json");
///     Engine engine(world, engine::options_of(run),
///                   ..., engine::stage("generate", generator,
///                                      engine::stage_options_of(run, "generator")),
///                   engine::train("train", actor, engine::train_options_of(run)),
///                   engine::sync("weights", actor, generator, config::link_options(run, link),
///                                engine::frequency_of(run, link)));
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/config/link_options.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/engine/nodes.hpp>
#include <rlhf/engine/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::engine {

/// Episodes between syncs of a link, for `engine::sync`.
[[nodiscard]] inline int frequency_of(config::Config const& run, config::Link const& link) {
  return narrow<int>(config::frequency_of(run, link));
}

namespace detail {

[[nodiscard]] inline bool shares_with_trainer(config::Config const& run, std::string const& name) {
  if (auto const* const group = run.runtime.group_of(name)) {
    for (std::string const& other : *group) {
      if (run.models.at(other).trainable) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace detail

/// Episodes, intervals, checkpoints, trace. Where `max_version_lag`, in syncs, allows it and the
/// destinations of repeated syncs share no ranks with trainers, one episode is generated ahead.
///
/// `offload` where some module asks for it. Errors: those of `config::Named::at`.
[[nodiscard]] inline Options options_of(config::Config const& run) {
  config::Runtime const& from = run.runtime;
  Options options;
  options.episodes = from.num_episode;
  std::int64_t slowest = 1;
  bool apart = !run.links.empty();
  for (auto const& link : run.links) {
    std::int64_t const frequency = config::frequency_of(run, link.value);
    slowest = frequency > slowest ? frequency : slowest;
    apart = apart && (frequency == 0 || !detail::shares_with_trainer(run, link.value.destination));
  }
  // A lag of n syncs is one of up to (n + 1) x frequency - 1 episodes.
  options.max_version_lag = narrow<int>((from.max_version_lag + 1) * slowest - 1);
  for (auto const& model : run.models) {
    options.offload = options.offload || model.value.offloads_weights() ||
                      model.value.frees_gradients() || model.value.offloads_optimizer();
  }
  options.episodes_ahead = apart && from.max_version_lag >= 1 ? 1 : 0;
  options.save_every = from.save_episode_interval;
  if (from.save_episode_interval > 0 || from.enable_resume_training) {
    options.checkpoints = from.checkpoint_directory();
  }
  options.keep = narrow<int>(from.max_ckpt_nums);
  options.stage_outputs = from.data_checkpoint_path.empty()
                              ? std::string()
                              : text(from.data_checkpoint_path, "/stages");
  options.resume = from.enable_resume_training;
  options.resume_from = from.load_data_checkpoint_iteration;
  options.evaluate_every = from.eval_episode_interval;
  options.evaluate_before = from.enable_eval_before_training;
  options.trace_events = from.trace_path.empty() ? 0 : from.trace_capacity;
  options.seed = static_cast<std::uint64_t>(from.seed);
  return options;
}

/// Global batch, micro-batch, passes, and what they shuffle where there are several (the reference
/// leaves the first pass as it is).
[[nodiscard]] inline TrainOptions train_options_of(config::Config const& run) {
  config::Runtime const& from = run.runtime;
  TrainOptions options;
  options.global_batch = from.global_batch();
  options.micro_batch = from.train_micro_batch_size;
  options.epochs = from.num_training_epoch;
  if (from.num_training_epoch > 1) {
    options.shuffle = from.training_shuffle_mode == config::ShuffleMode::sample
                          ? Shuffle::rows
                          : Shuffle::micro_batches;
  }
  options.replay_episodes = from.max_relay_episode == 0 ? 1 : from.max_relay_episode;
  options.replay_from = from.relay_episode_offset;
  return options;
}

/// Rows of one call of a module's `forward_step`, and whether outputs are kept. Errors:
/// invalid_argument where there is no such module.
[[nodiscard]] inline StageOptions stage_options_of(config::Config const& run,
                                                   std::string_view model) {
  config::Model const& from = run.models.at(model);
  std::int64_t const batch = from.generation_batch_size.value_or(run.runtime.generation_batch_size);
  return {.batch = batch < 0 ? 0 : batch, .save_outputs = from.enable_stage_resume};
}

}  // namespace rlhf::inline v0::engine
