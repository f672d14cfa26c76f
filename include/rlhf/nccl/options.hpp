/// @file
/// Settings of an NCCL communicator. Layer: nccl.
#pragma once

#include <rlhf/core/units.hpp>
#include <rlhf/cuda/device.hpp>

#include <nccl.h>

namespace rlhf::inline v0::nccl {

struct Options {
  Milliseconds timeout{30'000};  ///< Longest wait of any call.
  static constexpr int automatic = -1;
  /// Blocks that NCCL's kernels use at least and at most, that is multiprocessors that they take
  /// from others; 0: NCCL decides. `automatic`: 48 at least on devices of compute capability 9 and
  /// later, which gains 7 % in sends of 128 MiB between two H100 that pack beside them.
  int min_ctas = automatic;
  int max_ctas = 0;
  /// Weight syncs stage what ranks send to each other in registered memory
  /// (nccl/registered_memory.hpp), which saves NCCL's copies through buffers of its own. The same
  /// on every rank.
  bool register_staging = true;
};

namespace detail {

/// Non-blocking, so that no call of NCCL's waits for other ranks.
[[nodiscard]] inline ncclConfig_t to_nccl(Options const& options) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  int min_ctas = options.min_ctas;
  if (min_ctas == Options::automatic) {
    bool const hopper =
        cuda::device_attribute(cudaDevAttrComputeCapabilityMajor, cuda::current_device()) >= 9;
    min_ctas = hopper ? 48 : 0;
    min_ctas = options.max_ctas > 0 && options.max_ctas < min_ctas ? options.max_ctas : min_ctas;
  }
  if (options.max_ctas > 0) {
    config.maxCTAs = options.max_ctas;
  }
  if (min_ctas > 0) {
    constexpr int most_of_nccl = 64;
    config.minCTAs = min_ctas;
    config.maxCTAs = options.max_ctas > 0 ? options.max_ctas : most_of_nccl;  // wants both
  }
  return config;
}

}  // namespace detail
}  // namespace rlhf::inline v0::nccl
