/// @file
/// Where a run is saved and what it goes on from. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>

#include <cstdint>
#include <string>

namespace rlhf::inline v0::config {

/// The checkpoints' part of the `runtime` section.
struct CheckpointSettings {
  std::string checkpoint_path{};        ///< A directory; empty: `checkpoints` below the output's.
  std::int64_t max_ckpt_nums = 0;       ///< Checkpoints that are kept, the newest; 0: all.
  std::string data_checkpoint_path{};   ///< Stage outputs; empty: with the checkpoints.
  std::int64_t max_data_ckpt_nums = 0;  ///< No effect here: the data's state is in the checkpoints.
  std::int64_t load_data_checkpoint_iteration = -1;  ///< Which to go on from; -1: the newest.
  bool enable_resume_training = true;                ///< Go on where there is a checkpoint.

  bool operator==(CheckpointSettings const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("checkpoint_path", self.checkpoint_path, anything(),
          "directory of checkpoints; empty: checkpoints/ in the output directory");
    visit("max_ckpt_nums", self.max_ckpt_nums, between(0, 1 << 30),
          "checkpoints that are kept, the newest; 0: all");
    visit("data_checkpoint_path", self.data_checkpoint_path, anything(),
          "directory of stage outputs; empty: with the checkpoints");
    visit("max_data_ckpt_nums", self.max_data_ckpt_nums, between(0, 1 << 30), "no effect here");
    visit("load_data_checkpoint_iteration", self.load_data_checkpoint_iteration, at_least(-1),
          "the checkpoint to go on from; -1: the newest");
    visit("enable_resume_training", self.enable_resume_training, anything(),
          "goes on from a checkpoint where there is one");
  }
};

}  // namespace rlhf::inline v0::config
