/// @file
/// How a loader works, where it stands, and what it says of a batch. Layer: data.
#pragma once

#include <rlhf/core/units.hpp>

#include <cstdint>
#include <optional>

namespace rlhf::inline v0::data {

/// Where a loader stands: behind a batch, and there it goes on, with batches of any size.
///
/// At the end of an episode it is the same on all replicas, and any number of them can go on from
/// it. Inside an episode it is one replica's: of a share that begins and ends where it did, so with
/// the same number of replicas and of samples in an episode. Anything else is refused.
struct LoaderPosition {
  std::int64_t consumed = 0;  ///< `Sampler::consumed()` before the episode.
  std::int64_t taken = 0;     ///< Samples of the share that were given out.
  std::int64_t first_id = 0;  ///< Of the share's first sample; 0 where none was given out.
  std::int64_t share = 0;     ///< Samples of the share; 0 where none was given out.

  bool operator==(LoaderPosition const&) const = default;
};

struct LoaderOptions {
  int threads = 2;              ///< That fetch and collate; 0: `next` does it.
  int ahead = 4;                ///< Batches that may be ready or under way, 1 or more.
  std::int64_t batch_size = 0;  ///< Samples of a batch; 0: the replica's share of an episode.
  /// Where to go on: of the run whose sampler was restored.
  std::optional<LoaderPosition> resume = std::nullopt;
  Milliseconds timeout{600'000};  ///< How long `next` waits for a batch.
};

/// Which batch it is.
struct BatchInfo {
  std::int64_t episode = 0;  ///< Since the loader was made.
  std::int64_t batch = 0;    ///< In the replica's share of the episode. After a resume with another
                             ///< batch size: as if those before had been of this size.
  bool last = false;         ///< Of the share.
  std::int64_t samples = 0;
  std::int64_t first_id = 0;
};

}  // namespace rlhf::inline v0::data
