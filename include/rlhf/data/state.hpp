/// @file
/// What a sampler's checkpoint holds, its text, and whether a run fits it. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/options.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::data {

/// All that decides what a sampler draws next. The number of replicas is not among it: a run may
/// go on with another one. Use it as `SamplerState`.
template <class Late = void>
struct BasicSamplerState {
  std::int64_t consumed = 0;
  std::int64_t samples_per_episode = 0;
  std::int64_t repeats = 1;
  bool shuffle = true;
  Repeat repeat = Repeat::adjacent;
  std::uint64_t seed = 0;
  Seeding seeding = Seeding::per_dataset;
  std::string order;  ///< `order_name` of the order policy.
  Exhausted exhausted = Exhausted::cycle;
  std::vector<rlhf::detail::late<std::int64_t, Late>> dataset_sizes;
  std::vector<rlhf::detail::late<std::int64_t, Late>> ratios;  ///< One for each dataset.
  std::vector<rlhf::detail::late<std::uint64_t, Late>>
      fingerprints;  ///< One for each dataset, or none.

  bool operator==(BasicSamplerState const&) const = default;
};

using SamplerState = BasicSamplerState<>;

/// First line and newest version of the text.
inline constexpr std::string_view sampler_state_format = "rlhf-sampler-state";
inline constexpr std::int64_t sampler_state_version = 1;

/// The state as text: `key = value` lines, a checksum at the end. `parse_sampler_state` reads it.
template <class Late>
[[nodiscard]] std::string to_text(BasicSamplerState<Late> const& state) {
  std::vector<rlhf::detail::late<std::string, Late>> fingerprints;
  for (std::uint64_t const fingerprint : state.fingerprints) {
    fingerprints.push_back(hex_text(fingerprint));
  }
  return TextRecordWriter(sampler_state_format, sampler_state_version)
      .field("consumed", state.consumed)
      .field("samples_per_episode", state.samples_per_episode)
      .field("repeats", state.repeats)
      .field("shuffle", state.shuffle)
      .field("repeat", to_string(state.repeat))
      .field("seed", state.seed)
      .field("seeding", to_string(state.seeding))
      .field("order", state.order)
      .field("exhausted", to_string(state.exhausted))
      .list("dataset_sizes", state.dataset_sizes)
      .list("ratios", state.ratios)
      .list("fingerprints", fingerprints)
      .finish();
}

namespace detail {

/// The value of the next line, which must be the name of one of `choices`.
template <class Choice, std::size_t Count>
[[nodiscard]] Choice next_choice(TextRecordReader& reader, std::string_view key,
                                 Choice const (&choices)[Count]) {
  std::string_view const value = reader.next(key);
  for (Choice const choice : choices) {
    if (value == to_string(choice)) {
      return choice;
    }
  }
  reader.bad_value(key, "one of the known choices");
}

/// Calls `word(w)` for each word of the next line; the value is bad where that returns false.
template <class Word>
void next_words(TextRecordReader& reader, std::string_view key, Word&& word) {
  std::string_view rest = reader.next(key);
  while (!rest.empty()) {
    std::size_t const end = rest.find(' ');
    if (!word(rest.substr(0, end)) || (end != rest.npos && end + 1 == rest.size())) {
      reader.bad_value(key, "a list of numbers");
    }
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
}

template <class Late>
[[nodiscard]] std::vector<rlhf::detail::late<std::int64_t, Late>> next_counts(
    TextRecordReader& reader, std::string_view key) {
  std::vector<rlhf::detail::late<std::int64_t, Late>> counts;
  next_words(reader, key, [&](std::string_view word) {
    std::uint64_t value = 0;
    bool const good = parse_number(word, value) && value <= static_cast<std::uint64_t>(INT64_MAX);
    counts.push_back(static_cast<std::int64_t>(value));
    return good;
  });
  return counts;
}

}  // namespace detail

/// Reads what `to_text` wrote. `origin`, a path, is for messages.
///
/// Errors: corrupted when the text is truncated, damaged, or holds a key or value that it should
/// not; invalid_argument when a newer version wrote it. Never accepts a text in part.
template <class Late = void>
[[nodiscard]] BasicSamplerState<Late> parse_sampler_state(
    std::string_view text, std::string_view origin = "sampler state") {
  TextRecordReader reader(text, sampler_state_format, sampler_state_version, origin);
  BasicSamplerState<Late> state;
  state.consumed = reader.next_count("consumed");
  state.samples_per_episode = reader.next_count("samples_per_episode");
  state.repeats = reader.next_count("repeats");
  std::string_view const shuffle = reader.next("shuffle");
  if (shuffle != "true" && shuffle != "false") {
    reader.bad_value("shuffle", "true or false");
  }
  state.shuffle = shuffle == "true";
  state.repeat = detail::next_choice(reader, "repeat", {Repeat::adjacent, Repeat::whole_list});
  state.seed = reader.next_number("seed");
  state.seeding = detail::next_choice(reader, "seeding", {Seeding::per_dataset, Seeding::shared});
  state.order = reader.next("order");
  state.exhausted = detail::next_choice(reader, "exhausted",
                                        {Exhausted::cycle, Exhausted::drop, Exhausted::retain});
  state.dataset_sizes = detail::next_counts<Late>(reader, "dataset_sizes");
  state.ratios = detail::next_counts<Late>(reader, "ratios");
  detail::next_words(reader, "fingerprints", [&](std::string_view word) {
    return parse_hex(word, state.fingerprints.emplace_back());
  });
  reader.finish();
  std::size_t const datasets = state.dataset_sizes.size();
  if (state.ratios.size() != datasets) {
    reader.bad_value("ratios", "one number for each dataset");
  }
  if (!state.fingerprints.empty() && state.fingerprints.size() != datasets) {
    reader.bad_value("fingerprints", "one number for each dataset");
  }
  return state;
}

/// What may differ between a state and the run that goes on from it. Everything is refused unless
/// named, because the run is then no longer the one that would have gone on without a stop: the
/// position is kept as a number of samples and read in terms of the new options.
struct AcceptedChanges {
  bool dataset_sizes = false;  ///< Datasets grew, shrank, or there are more or fewer of them.
  bool contents = false;       ///< Fingerprints of datasets differ.
  bool ratios = false;
  bool episode = false;  ///< samples_per_episode, repeats or repeat differ.
  bool order = false;    ///< seed, seeding, shuffle, order policy or exhausted differ.
};

namespace detail {

template <class Value>
void note_change(std::string& changes, bool accepted, std::string_view what, Value const& was,
                 Value const& is) {
  if (!accepted && !(was == is)) {
    changes += text("; ", what, " was ", was, ", is ", is);
  }
}

template <class Value>
void note_changes(std::string& changes, bool accepted, std::string_view what,
                  std::vector<Value> const& was, std::vector<Value> const& is) {
  for (std::size_t d = 0; d < was.size() && d < is.size(); ++d) {
    note_change(changes, accepted, text("the ", what, " of dataset ", d), was[d], is[d]);
  }
}

}  // namespace detail

/// Throws `Error{invalid_argument}` that names every difference between the state and the run that
/// wants to go on from it, except those accepted.
///
/// @param now The state that a sampler of this run has (its `consumed` is not looked at).
template <class Late>
void check_compatible(BasicSamplerState<Late> const& saved, BasicSamplerState<Late> const& now,
                      AcceptedChanges const& accepted = {}) {
  std::string changes;
  using detail::note_change;
  note_change(changes, accepted.dataset_sizes, "the number of datasets", saved.dataset_sizes.size(),
              now.dataset_sizes.size());
  detail::note_changes(changes, accepted.dataset_sizes, "size", saved.dataset_sizes,
                       now.dataset_sizes);
  if (!saved.fingerprints.empty() && !now.fingerprints.empty()) {
    detail::note_changes(changes, accepted.contents, "fingerprint", saved.fingerprints,
                         now.fingerprints);
  }
  detail::note_changes(changes, accepted.ratios, "ratio", saved.ratios, now.ratios);
  note_change(changes, accepted.episode, "samples_per_episode", saved.samples_per_episode,
              now.samples_per_episode);
  note_change(changes, accepted.episode, "repeats", saved.repeats, now.repeats);
  note_change(changes, accepted.episode, "repeat", to_string(saved.repeat), to_string(now.repeat));
  note_change(changes, accepted.order, "seed", saved.seed, now.seed);
  note_change(changes, accepted.order, "seeding", to_string(saved.seeding), to_string(now.seeding));
  note_change(changes, accepted.order, "shuffle", saved.shuffle, now.shuffle);
  note_change(changes, accepted.order, "order", saved.order, now.order);
  note_change(changes, accepted.order, "exhausted", to_string(saved.exhausted),
              to_string(now.exhausted));
  if (!changes.empty()) {
    fail(Errc::invalid_argument,
         text("the sampler state is of another run", changes,
              ". Restore the old values, or name the change in data::AcceptedChanges"));
  }
}

}  // namespace rlhf::inline v0::data
