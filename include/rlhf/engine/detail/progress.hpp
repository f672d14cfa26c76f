/// @file
/// How far a run is, and what it has in flight. Layer: engine, private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::engine::detail {

struct Progress {
  std::int64_t episode = 0;              ///< Episodes that are done.
  std::int64_t episodes = 0;             ///< To be done in all.
  std::int64_t ahead = 0;                ///< Episodes in flight while one is trained on.
  std::int64_t flown = 0;                ///< Behind the last episode that was made ahead.
  std::int64_t saved = 0;                ///< Episodes done at the last checkpoint.
  std::uint64_t checkpoint = 0;          ///< Fingerprint of that checkpoint; 0: there is none.
  bool restores = false;                 ///< This run was resumed, and is in its first episode.
  bool in_step = true;                   ///< All links were synced behind the last episode.
  std::vector<std::int64_t> rows{};      ///< Of the episodes in flight, all shares together.
  std::vector<std::int64_t> versions{};  ///< Of the weights that generate them.

  void reserve() {
    rows.assign(static_cast<std::size_t>(ahead) + 1, 0);
    versions.assign(static_cast<std::size_t>(ahead) + 1, 0);
  }
  /// Where an episode in flight is kept.
  [[nodiscard]] std::size_t slot(std::int64_t of) const noexcept {
    return static_cast<std::size_t>(of) % rows.size();
  }
  /// Episodes in flight that are made already.
  [[nodiscard]] std::int64_t made() const noexcept { return flown > episode ? flown - episode : 0; }
  /// Behind the last episode that is to be in flight when `episode` episodes are done.
  [[nodiscard]] std::int64_t end_of_flight() const noexcept {
    return episode + ahead < episodes ? episode + ahead : episodes;
  }
};

}  // namespace rlhf::inline v0::engine::detail
