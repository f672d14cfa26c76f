/// @file
/// Settings of the direct route. Layer: cuda.
#pragma once

#include <rlhf/core/units.hpp>

#include <cstdint>

namespace rlhf::inline v0::cuda {

/// Whether ranks write into each other's memory where they can. A rank that never does keeps all
/// others from writing to it.
enum class Reach : std::uint8_t { automatic, never };

/// Settings of the direct route. `fingerprints` and `chunk` must be the same on every rank, which
/// is checked.
struct DirectOptions {
  Reach reach = Reach::automatic;
  /// Adds a comparison of fingerprints of all that goes between ranks to every run, in the same
  /// passes.
  bool fingerprints = false;
  /// Blocks of 512 threads that store, one or two on a multiprocessor: what training and generation
  /// leave over. On an H100 16 reach the link and 8 three quarters of it, where a rank only sends.
  /// 0: 64, or one on every multiprocessor where a rank copies more to itself than it sends.
  int blocks = 0;
  /// The same for those that pass on, or check what arrived. 0: one on every multiprocessor.
  int follow_blocks = 0;
  /// What a block takes at once.
  Bytes chunk{std::int64_t{256} << 10};
  /// The longest that a kernel waits for another rank.
  Milliseconds deadline{20'000};
};

}  // namespace rlhf::inline v0::cuda
