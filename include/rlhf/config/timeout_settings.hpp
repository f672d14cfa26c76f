/// @file
/// Deadlines of everything that waits. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>

#include <cstdint>

namespace rlhf::inline v0::config {

/// The section `runtime.timeouts`. Milliseconds, from 1 to a week, for the program to give to what
/// waits: `communication_ms` to `comm::LocalOptions` or `nccl::Options`, `data_ms` to
/// `data::LoaderOptions`, and so on. Engines wait as long as their communicator does.
struct TimeoutSettings {
  std::int64_t setup_ms = 1'800'000;        ///< Until all modules are set up.
  std::int64_t communication_ms = 600'000;  ///< One call of a communicator.
  std::int64_t data_ms = 600'000;           ///< A batch of prompts.
  std::int64_t rollout_ms = 3'600'000;      ///< The rollouts of an episode.
  std::int64_t train_ms = 3'600'000;        ///< Training on an episode.
  std::int64_t sync_ms = 600'000;           ///< A weight sync.
  std::int64_t save_ms = 1'800'000;         ///< A checkpoint.
  std::int64_t evaluate_ms = 3'600'000;     ///< An evaluation.
  std::int64_t exit_ms = 60'000;            ///< Until other ranks have ended, after an error too.

  bool operator==(TimeoutSettings const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("setup_ms", self.setup_ms, between(1, week), "ms until all modules are set up");
    visit("communication_ms", self.communication_ms, between(1, week),
          "ms of one call of a communicator");
    visit("data_ms", self.data_ms, between(1, week), "ms until a batch of prompts is there");
    visit("rollout_ms", self.rollout_ms, between(1, week), "ms of an episode's rollouts");
    visit("train_ms", self.train_ms, between(1, week), "ms of training on an episode");
    visit("sync_ms", self.sync_ms, between(1, week), "ms of a weight sync");
    visit("save_ms", self.save_ms, between(1, week), "ms of a checkpoint");
    visit("evaluate_ms", self.evaluate_ms, between(1, week), "ms of an evaluation");
    visit("exit_ms", self.exit_ms, between(1, week), "ms until the other ranks have ended");
  }

 private:
  static constexpr int week = 7 * 24 * 3600 * 1000;
};

}  // namespace rlhf::inline v0::config
