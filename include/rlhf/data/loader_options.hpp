/// @file
/// How a loader works, where it stands, and what it says of a batch. Layer: data.
#pragma once

#include <rlhf/core/units.hpp>

#include <cstdint>

namespace rlhf::inline v0::data {

struct LoaderOptions {
  int threads = 2;                ///< That fetch and collate; 0: `next` does it.
  int ahead = 4;                  ///< Batches that may be ready or under way, 1 or more.
  std::int64_t batch_size = 0;    ///< Samples of a batch; 0: the replica's share of an episode.
  std::int64_t skip = 0;          ///< `LoaderPosition::batches` of the run to go on with.
  Milliseconds timeout{600'000};  ///< How long `next` waits for a batch.
};

/// Where a run goes on: a sampler that begins at `consumed`, a loader that skips `batches`.
struct LoaderPosition {
  std::int64_t consumed = 0;
  std::int64_t batches = 0;  ///< Of the episode that begins at `consumed`, by this replica.

  bool operator==(LoaderPosition const&) const = default;
};

/// Which batch it is.
struct BatchInfo {
  std::int64_t episode = 0;  ///< Since the loader was made.
  std::int64_t batch = 0;    ///< In the replica's share of the episode.
  bool last = false;         ///< Of the share.
  std::int64_t samples = 0;
  std::int64_t first_id = 0;
};

}  // namespace rlhf::inline v0::data
