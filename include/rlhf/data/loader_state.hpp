/// @file
/// What a checkpoint holds of a loader and its sampler, and its text. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/loader_options.hpp>
#include <rlhf/data/state.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::data {

/// Which run it is, and where one replica's loader stands in it. Use it as `LoaderState`.
///
///     data::LoaderState const saved = data::parse_loader_state(text, path);
///     sampler.restore(saved.sampler);
///     data::Loader loader(data::EpisodeDraws(sampler, replica, replicas), items, collate,
///                         {.batch_size = 32, .resume = saved.position});
///
/// At the end of an episode (`BatchInfo::last`) all replicas have the same state, and one file
/// serves any number of them; inside an episode every replica saves its own.
template <class Late = void>
struct BasicLoaderState {
  BasicSamplerState<Late> sampler;  ///< `sampler.consumed` is `position.consumed`.
  LoaderPosition position;

  bool operator==(BasicLoaderState const&) const = default;
};

using LoaderState = BasicLoaderState<>;

inline constexpr std::string_view loader_state_format = "rlhf-loader-state";
inline constexpr std::int64_t loader_state_version = 1;

/// The state as text: `key = value` lines, a checksum at the end. `parse_loader_state` reads it.
///
/// Errors: invalid_argument when sampler and position do not stand at the same `consumed`.
template <class Late>
[[nodiscard]] std::string to_text(BasicLoaderState<Late> const& state) {
  expects(state.sampler.consumed == state.position.consumed,
          "a LoaderState's sampler and position must stand at the same number of consumed samples");
  TextRecordWriter writer(loader_state_format, loader_state_version);
  writer.field("taken", state.position.taken)
      .field("first_id", state.position.first_id)
      .field("share", state.position.share);
  detail::put_sampler_state(writer, state.sampler);
  return writer.finish();
}

/// Reads what `to_text` wrote. `origin`, a path, is for messages.
///
/// Errors: corrupted when the text is truncated, damaged, or holds a key or value that it should
/// not; invalid_argument when a newer version wrote it. Never accepts a text in part.
template <class Late = void>
[[nodiscard]] BasicLoaderState<Late> parse_loader_state(std::string_view text,
                                                        std::string_view origin = "loader state") {
  TextRecordReader reader(text, loader_state_format, loader_state_version, origin);
  LoaderPosition position;
  position.taken = reader.next_count("taken");
  position.first_id = reader.next_count("first_id");
  position.share = reader.next_count("share");
  if (position.taken == 0 ? position.first_id != 0 || position.share != 0
                          : position.taken >= position.share) {
    reader.bad_value("taken", "0, with a share of 0, or below the samples of the share");
  }
  BasicLoaderState<Late> state{detail::next_sampler_state<Late>(reader, true), position};
  state.position.consumed = state.sampler.consumed;
  return state;
}

}  // namespace rlhf::inline v0::data
