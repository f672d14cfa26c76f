/// @file
/// What keys of other programs are called here. Layer: config.
#pragma once

#include <string_view>

namespace rlhf::inline v0::config::detail {

/// Keys of other programs, and what they are called here; empty for all others.
[[nodiscard]] constexpr std::string_view renamed(std::string_view key) noexcept {
  constexpr std::string_view names[][2] = {
      {"num_device", "num_gpu"},
      {"gpu_per_node", "num_gpu"},
      {"moe_expert_model_parallel_size", "expert_model_parallel_size"},
      {"save_interval", "save_episode_interval"},
      {"eval_interval", "eval_episode_interval"},
      {"rlhf", "runtime"},
      {"max_replay_episode", "max_relay_episode"},
      {"replay_episode_offset", "relay_episode_offset"},
      {"tensor", "tensor_model_parallel_size"},
      {"pipeline", "pipeline_model_parallel_size"},
      {"expert", "expert_model_parallel_size"},
      {"data", "data_parallel_size"},
      {"fsdp", "fsdp_size"},
      {"zero", "zero_size"},
  };
  for (auto const& name : names) {
    if (name[0] == key) {
      return name[1];
    }
  }
  return {};
}

}  // namespace rlhf::inline v0::config::detail
