/// @file
/// The stock sync policies. Layer: sync.
#pragma once

#include <rlhf/core/units.hpp>
#include <rlhf/plan/options.hpp>

namespace rlhf::inline v0::sync {

/// Bytes that move together unless a policy says otherwise.
inline constexpr Bytes default_bucket{std::int64_t{64} << 20};

/// One broadcast from each source rank to all ranks that need the same bytes.
///
/// Serves any pair of layouts; meant for equal tensor sizes with several destination replicas.
/// Source: the reference's coalesced broadcast, with its pairing.
template <Bytes Bucket = default_bucket, int Frequency = 1>
struct Broadcast final {
  static constexpr plan::Route route = plan::Route::broadcast;
  static constexpr plan::SourceChoice source_choice = plan::SourceChoice::paired;
  static constexpr Bytes bucket_bytes = Bucket;
  static constexpr int frequency = Frequency;
};

/// One transfer from a source rank to each destination rank that lacks the bytes, sources balanced.
///
/// Serves any pair of layouts; each byte that a destination rank lacks is received once.
template <Bytes Bucket = default_bucket, int Frequency = 1>
struct PointToPoint final {
  static constexpr plan::Route route = plan::Route::point_to_point;
  static constexpr plan::SourceChoice source_choice = plan::SourceChoice::balanced;
  static constexpr Bytes bucket_bytes = Bucket;
  static constexpr int frequency = Frequency;
};

/// To one rank of each group of destination tensor ranks, which passes the others' slices on: each
/// byte crosses from source to destination once a replica.
///
/// Needs a destination tensor size that is a multiple of the source's, and a source pipeline size
/// that is a multiple of the destination's. Source: the reference's two-stage broadcast, without
/// its copy through host memory.
template <Bytes Bucket = default_bucket, int Frequency = 1>
struct TwoStage final {
  static constexpr plan::Route route = plan::Route::two_stage;
  static constexpr plan::SourceChoice source_choice = plan::SourceChoice::paired;
  static constexpr Bytes bucket_bytes = Bucket;
  static constexpr int frequency = Frequency;
};

/// For modules whose weights are never replaced, and for sources that serve any policy.
struct None final {
  static constexpr bool never_syncs = true;
};

}  // namespace rlhf::inline v0::sync
