/// @file
/// How weights travel unless a link says otherwise. Layer: config.
#pragma once

#include <rlhf/config/limits.hpp>

#include <cstdint>
#include <string_view>

namespace rlhf::inline v0::config {

/// The policy of links that name none.
enum class CommType : std::uint8_t {
  broadcast,  ///< `sync::Broadcast`.
  p2p,        ///< `sync::PointToPoint`.
};
template <>
struct Choices<CommType> {
  static constexpr std::string_view names[] = {"broadcast", "p2p"};
};

/// How routed experts are regrouped in links whose policy is about them.
enum class ExpertCommType : std::uint8_t { alltoall, allgather };
template <>
struct Choices<ExpertCommType> {
  static constexpr std::string_view names[] = {"alltoall", "allgather"};
};

/// The weight syncs' part of the `runtime` section. What is marked "no effect here" is read so that
/// files of the reference keep working; the library has no use for it.
struct SyncSettings {
  std::int64_t coalesced_buffer_mb = 100;  ///< MiB that move together; from 1.
  bool concurrent_comm = true;             ///< No effect here: ranks never wait in a circle.
  CommType param_sync_comm_type = CommType::broadcast;
  std::int64_t param_sync_max_workers = -1;  ///< No effect here: no threads drive a sync.
  ExpertCommType routed_expert_regrouping_comm_type = ExpertCommType::alltoall;
  bool free_sync_collective_group = false;  ///< No effect here: links keep their groups.
  bool validate_param_sync = false;         ///< Every sync is verified by fingerprints.
  /// No effect here: what is offloaded moves as it lies. From 1.
  std::int64_t bucket_size_mb_in_memory_manager = 1024;

  bool operator==(SyncSettings const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("coalesced_buffer_mb", self.coalesced_buffer_mb, between(1, 1 << 20),
          "MiB of weights that move together");
    visit("concurrent_comm", self.concurrent_comm, anything(), "no effect here");
    visit("param_sync_comm_type", self.param_sync_comm_type, anything(),
          "the sync policy of links that name none");
    visit("param_sync_max_workers", self.param_sync_max_workers, between(-1, 1 << 20),
          "no effect here");
    visit("routed_expert_regrouping_comm_type", self.routed_expert_regrouping_comm_type, anything(),
          "how experts travel in links with the policy experts");
    visit("free_sync_collective_group", self.free_sync_collective_group, anything(),
          "no effect here");
    visit("validate_param_sync", self.validate_param_sync, anything(),
          "every sync is verified by fingerprints unless its link says otherwise");
    visit("bucket_size_mb_in_memory_manager", self.bucket_size_mb_in_memory_manager,
          between(1, 1 << 20), "no effect here");
  }
};

}  // namespace rlhf::inline v0::config
