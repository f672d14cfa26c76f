/// @file
/// Rollout buffers as files of a checkpoint. Layer: checkpoint.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/columns.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/rollout_buffer.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {

inline constexpr std::string_view rollouts_format = "rlhf-rollouts";
inline constexpr std::int64_t rollouts_version = 1;

/// An archive of the episodes that a buffer keeps and of how far training on them went. What a rank
/// writes with `Store::write`. The entry `rollouts` is readable text.
template <class Batch, class Select>
[[nodiscard]] std::vector<std::byte> save_rollouts(
    data::RolloutBuffer<Batch, Select> const& buffer) {
  ArchiveWriter archive;
  data::TextRecordWriter about(rollouts_format, rollouts_version);
  about.field("trained", buffer.trained());
  for (data::EpisodeRollouts<Batch> const& kept : buffer.episodes()) {
    about.field("episode", kept.episode, data::row_count(kept.batch));
  }
  archive.add("rollouts", as_bytes(about.finish()));
  for (data::EpisodeRollouts<Batch> const& kept : buffer.episodes()) {
    save_columns(archive, kept.batch, text("episode-", kept.episode, "/"));
  }
  return archive.finish();
}

/// Replaces what a buffer keeps by what `save_rollouts` saved of one with the same columns.
///
/// A buffer that keeps fewer episodes takes the newest. `origin`, a path, is for messages.
/// Errors: corrupted when the bytes are not, or no longer, what was saved; invalid_argument for a
/// newer version or other columns. After an error nothing has changed.
template <class Batch, class Select>
void load_rollouts(std::span<std::byte const> bytes, data::RolloutBuffer<Batch, Select>& buffer,
                   std::string_view origin = "rollouts") {
  ArchiveReader const archive(bytes, origin);
  data::TextRecordReader about(as_text(archive.at("rollouts").bytes), rollouts_format,
                               rollouts_version, origin);
  std::int64_t const trained = about.next_count("trained");
  std::vector<data::EpisodeRollouts<Batch>> episodes;
  while (about.at("episode")) {
    std::string_view const line = about.next("episode");
    std::size_t const space = line.find(' ');
    std::uint64_t episode = 0;
    std::uint64_t rows = 0;
    if (space == line.npos || !data::parse_number(line.substr(0, space), episode) ||
        !data::parse_number(line.substr(space + 1), rows) ||
        episode > static_cast<std::uint64_t>(INT64_MAX)) {
      about.bad_value("episode", "an episode and a number of samples");
    }
    data::EpisodeRollouts<Batch> loaded{static_cast<std::int64_t>(episode), {}};
    load_columns(archive, loaded.batch, text("episode-", episode, "/"));
    if (static_cast<std::uint64_t>(data::row_count(loaded.batch)) != rows) {
      about.bad_value("episode", "that of as many samples as the columns have");
    }
    episodes.push_back(std::move(loaded));
  }
  about.finish();
  buffer.restore(std::move(episodes), trained);
}

}  // namespace rlhf::inline v0::checkpoint
