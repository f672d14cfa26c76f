/// @file
/// How a run goes: episodes, batches, intervals, who shares ranks. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

/// What further training epochs shuffle.
enum class ShuffleMode : std::uint8_t {
  batch,   ///< Whole micro-batches.
  sample,  ///< Samples, so that micro-batches are others each time.
};
template <>
struct Choices<ShuffleMode> {
  static constexpr std::string_view names[] = {"batch", "sample"};
};

/// How many micro-batches an episode's rollouts make. In an engine, whose stages return a row for
/// each they were given, both are the same.
enum class StreamType : std::uint8_t {
  fixed,    ///< As many as `sample_per_episode` makes.
  dynamic,  ///< As many as the rollouts that came make.
};
template <>
struct Choices<StreamType> {
  static constexpr std::string_view names[] = {"fixed", "dynamic"};
};

/// How batches meet modules with another number of replicas.
enum class RegroupPolicy : std::uint8_t { global_barrier };
template <>
struct Choices<RegroupPolicy> {
  static constexpr std::string_view names[] = {"global_barrier"};
};

/// Largest counts that settings may have.
inline constexpr std::int64_t largest_count = std::int64_t{1} << 40;
inline constexpr std::int64_t largest_batch = std::int64_t{1} << 30;

/// The loop's part of the `runtime` section.
struct EpisodeSettings {
  std::int64_t num_episode = 5000;          ///< From 1.
  std::int64_t sample_per_episode = 1000;   ///< Over all replicas, copies counted; from 1.
  std::int64_t num_training_epoch = 1;      ///< Passes over an episode's samples; from 1.
  std::int64_t generation_batch_size = 2;   ///< Samples of a call; 0 or -1: not split.
  std::int64_t train_micro_batch_size = 2;  ///< Samples of a forward and backward pass; from 1.
  std::optional<std::int64_t> train_global_batch_size{};  ///< Samples of an optimizer step; null:
                                                          ///< `train_micro_batch_size`.
  ShuffleMode training_shuffle_mode = ShuffleMode::batch;
  StreamType stream_data_loader_type = StreamType::fixed;
  std::int64_t max_relay_episode =
      0;  ///< Newest episodes trained on together; 0 and 1: one, -1: all.
  std::int64_t relay_episode_offset = 0;  ///< Episodes before it are trained on once only.
  std::int64_t max_version_lag =
      0;  ///< Syncs that rollouts may be behind: 0 on-policy, 1 one step.
  std::int64_t save_episode_interval = 0;  ///< 0: never.
  std::int64_t eval_episode_interval = 0;  ///< 0: never.
  bool enable_eval_before_training = false;
  std::vector<std::vector<std::string>> colocation{};  ///< Groups of models that share ranks.
  bool concurrent_setup = false;  ///< Engines always do: modules on other ranks are set up at once.
  RegroupPolicy policy_to_regroup_queue = RegroupPolicy::global_barrier;
  std::int64_t seed = 0;  ///< Of whatever has no seed of its own; from 0.

  bool operator==(EpisodeSettings const&) const = default;

  /// Samples of an optimizer step.
  [[nodiscard]] std::int64_t global_batch() const noexcept {
    return train_global_batch_size.value_or(train_micro_batch_size);
  }
  /// The first group that names a model: those that share its ranks, itself among them. Null where
  /// none does.
  [[nodiscard]] std::vector<std::string> const* group_of(std::string_view model) const noexcept {
    for (auto const& group : colocation) {
      for (std::string const& name : group) {
        if (name == model) {
          return &group;
        }
      }
    }
    return nullptr;
  }

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("num_episode", self.num_episode, between(1, largest_count), "episodes of the run");
    visit("sample_per_episode", self.sample_per_episode, between(1, largest_count),
          "samples of an episode over all replicas, copies of prompts counted");
    visit("num_training_epoch", self.num_training_epoch, between(1, largest_count),
          "passes over the samples of an episode");
    visit("generation_batch_size", self.generation_batch_size, between(-1, largest_batch),
          "samples of one forward_step; 0 or -1: batches are not split");
    visit("train_micro_batch_size", self.train_micro_batch_size, between(1, largest_batch),
          "samples of one forward and backward pass");
    visit("train_global_batch_size", self.train_global_batch_size, between(1, largest_batch),
          "samples of one optimizer step over all ranks; null: train_micro_batch_size");
    visit("training_shuffle_mode", self.training_shuffle_mode, anything(),
          "what further training epochs shuffle: micro-batches or samples");
    visit("stream_data_loader_type", self.stream_data_loader_type, anything(),
          "micro-batches by sample_per_episode, or by the rollouts that came");
    visit("max_relay_episode", self.max_relay_episode, between(-1, largest_count),
          "newest episodes whose rollouts are trained on together; 0 and 1: its own, -1: all");
    visit("relay_episode_offset", self.relay_episode_offset, between(0, largest_count),
          "episodes before this one are trained on once only");
    visit("max_version_lag", self.max_version_lag, between(0, largest_count),
          "syncs that a rollout's weights may be behind the trainer's; 0: on-policy");
    visit("save_episode_interval", self.save_episode_interval, between(0, largest_count),
          "episodes between checkpoints; 0: never");
    visit("eval_episode_interval", self.eval_episode_interval, between(0, largest_count),
          "episodes between evaluations; 0: never");
    visit("enable_eval_before_training", self.enable_eval_before_training, anything(),
          "evaluates once before the first episode");
    visit("colocation", self.colocation, anything(), "groups of models that share their ranks");
    visit("concurrent_setup", self.concurrent_setup, anything(),
          "modules on ranks of their own are set up at the same time");
    visit("policy_to_regroup_queue", self.policy_to_regroup_queue, anything(),
          "how batches meet modules with another number of replicas");
    visit("seed", self.seed, at_least(0), "seed of whatever has none of its own");
  }
};

}  // namespace rlhf::inline v0::config
