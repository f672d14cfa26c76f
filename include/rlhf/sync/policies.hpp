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

/// Whatever the pair of layouts: exactly the bytes that each destination rank lacks, by the way
/// whose predicted time on the link's topology is least, sources balanced. The policy to start
/// with.
template <Bytes Bucket = default_bucket, int Frequency = 1>
struct Reshard final {
  static constexpr plan::Route route = plan::Route::automatic;
  static constexpr plan::SourceChoice source_choice = plan::SourceChoice::balanced;
  static constexpr Bytes bucket_bytes = Bucket;
  static constexpr int frequency = Frequency;
};

/// Experts from ranks that hold some whole to ranks that hold others, or slices of all: every
/// source rank gives what it has to all that need it, together.
///
/// Serves any pair of layouts. Source: the reference's all-gather of routed experts, without the
/// copy of all experts on every rank: a rank receives what it keeps.
template <Bytes Bucket = default_bucket, int Frequency = 1>
struct AllGatherExperts final {
  static constexpr plan::Route route = plan::Route::broadcast;
  static constexpr plan::SourceChoice source_choice = plan::SourceChoice::balanced;
  static constexpr Bytes bucket_bytes = Bucket;
  static constexpr int frequency = Frequency;
};

/// The same, each pair of ranks by itself. Source: the reference's all-to-all of routed experts;
/// here the sizes of both sides need not be equal.
template <Bytes Bucket = default_bucket, int Frequency = 1>
struct AllToAllExperts final {
  static constexpr plan::Route route = plan::Route::point_to_point;
  static constexpr plan::SourceChoice source_choice = plan::SourceChoice::balanced;
  static constexpr Bytes bucket_bytes = Bucket;
  static constexpr int frequency = Frequency;
};

/// For modules whose weights are never replaced, and for sources that serve any policy.
struct None final {
  static constexpr bool never_syncs = true;
};

}  // namespace rlhf::inline v0::sync
