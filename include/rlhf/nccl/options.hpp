/// @file
/// Settings of an NCCL communicator. Layer: nccl.
#pragma once

#include <rlhf/core/units.hpp>
#include <rlhf/cuda/device.hpp>

#include <nccl.h>

namespace rlhf::inline v0::nccl {

struct Options {
  Milliseconds timeout{30'000};  ///< Longest wait of any call.
  /// Blocks that NCCL's kernels use at least and at most, that is multiprocessors that they take
  /// from others; 0: NCCL decides. The same on every rank. `automatic`: at least 48 where `run` or
  /// `connect` know that all ranks are on one host with devices of compute capability 9 or later,
  /// which gains 7 % in sends of 128 MiB between two H100 that pack beside them; else as 0.
  static constexpr int automatic = -1;
  int min_ctas = automatic;
  int max_ctas = 0;
  /// Weight syncs stage what ranks send to each other in registered memory
  /// (nccl/registered_memory.hpp), which saves NCCL's copies through buffers of its own. The same
  /// on every rank.
  bool register_staging = true;
};

namespace detail {

/// What `automatic` means where all ranks are on this host and use its first `devices` devices.
[[nodiscard]] inline Options for_one_host(Options options, int devices) {
  if (options.min_ctas == Options::automatic) {
    constexpr int enough = 48;
    bool all = true;
    for (int device = 0; device < devices; ++device) {
      all = all && cuda::device_attribute(cudaDevAttrComputeCapabilityMajor, device) >= 9;
    }
    bool const fits = options.max_ctas == 0 || options.max_ctas >= enough;
    options.min_ctas = !all ? 0 : fits ? enough : options.max_ctas;
  }
  return options;
}

/// Non-blocking, so that no call of NCCL's waits for other ranks.
[[nodiscard]] inline ncclConfig_t to_nccl(Options const& options) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (options.max_ctas > 0) {
    config.maxCTAs = options.max_ctas;
  }
  if (options.min_ctas > 0) {
    constexpr int most_of_nccl = 64;
    config.minCTAs = options.min_ctas;
    config.maxCTAs = options.max_ctas > 0 ? options.max_ctas : most_of_nccl;  // wants both
  }
  return config;
}

}  // namespace detail
}  // namespace rlhf::inline v0::nccl
