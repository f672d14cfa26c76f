/// @file
/// Settings of an NCCL communicator. Layer: nccl.
#pragma once

#include <rlhf/core/units.hpp>

#include <nccl.h>

namespace rlhf::inline v0::nccl {

struct Options {
  Milliseconds timeout{30'000};  ///< Longest wait of any call.
  /// Blocks that NCCL's kernels use, that is multiprocessors it takes from others; 0: NCCL decides.
  int min_ctas = 0;
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
  if (options.min_ctas > 0) {
    config.minCTAs = options.min_ctas;
  }
  if (options.max_ctas > 0) {
    config.maxCTAs = options.max_ctas;
  }
  return config;
}

}  // namespace detail
}  // namespace rlhf::inline v0::nccl
