/// @file
/// What a sampler's checkpoint holds, its text, and whether a run fits it. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/interleave.hpp>
#include <rlhf/data/options.hpp>
#include <rlhf/data/shares.hpp>
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
  std::vector<rlhf::detail::late<std::int64_t, Late>>
      ratios;  ///< One for each dataset; none where there are stages.
  std::vector<BasicShareStage<Late>> stages;  ///< Real weights, and from where on they hold.
  std::vector<rlhf::detail::late<std::uint64_t, Late>>
      dataset_fingerprints;  ///< One for each dataset, or none.

  bool operator==(BasicSamplerState const&) const = default;
};

using SamplerState = BasicSamplerState<>;

/// First line and newest version of the text. Version 1 had no stages and is still read.
inline constexpr std::string_view sampler_state_format = "rlhf-sampler-state";
inline constexpr std::int64_t sampler_state_version = 2;

namespace detail {

template <class Late>
void put_sampler_state(TextRecordWriter& writer, BasicSamplerState<Late> const& state) {
  std::vector<rlhf::detail::late<std::string, Late>> fingerprints;
  for (std::uint64_t const fingerprint : state.dataset_fingerprints) {
    fingerprints.push_back(hex_text(fingerprint));
  }
  writer.field("consumed", state.consumed)
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
      .field("stages", state.stages.size());
  for (BasicShareStage<Late> const& stage : state.stages) {
    std::vector<rlhf::detail::late<std::string, Late>> weights;
    for (std::int64_t const share : stage.shares) {
      weights.push_back(share_text(share));
    }
    writer.field("begin", stage.begin).list("weights", weights);
  }
  writer.list("fingerprints", fingerprints);
}

}  // namespace detail

/// The state as text: `key = value` lines, a checksum at the end. `parse_sampler_state` reads it.
template <class Late>
[[nodiscard]] std::string to_text(BasicSamplerState<Late> const& state) {
  TextRecordWriter writer(sampler_state_format, sampler_state_version);
  detail::put_sampler_state(writer, state);
  return writer.finish();
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

/// The next two lines: where a stage begins, and its weights.
template <class Late>
[[nodiscard]] BasicShareStage<Late> next_stage(TextRecordReader& reader, std::size_t datasets) {
  BasicShareStage<Late> stage;
  stage.begin = reader.next_count("begin");
  std::int64_t left = whole_share;
  next_words(reader, "weights", [&](std::string_view word) {
    std::int64_t share = 0;
    bool const good =
        parse_share(word, share) && share <= left && (share == 0 || share >= smallest_share);
    left -= good ? share : 0;
    stage.shares.push_back(share);
    return good;
  });
  if (stage.shares.size() != datasets || left != 0) {
    reader.bad_value("weights", "one for each dataset that add up to 1");
  }
  return stage;
}

/// The next lines, as `put_sampler_state` wrote them, up to the end.
template <class Late>
[[nodiscard]] BasicSamplerState<Late> next_sampler_state(TextRecordReader& reader,
                                                         bool has_stages) {
  BasicSamplerState<Late> state;
  state.consumed = reader.next_count("consumed");
  state.samples_per_episode = reader.next_count("samples_per_episode");
  state.repeats = reader.next_count("repeats");
  std::string_view const shuffle = reader.next("shuffle");
  if (shuffle != "true" && shuffle != "false") {
    reader.bad_value("shuffle", "true or false");
  }
  state.shuffle = shuffle == "true";
  state.repeat = next_choice(reader, "repeat", {Repeat::adjacent, Repeat::whole_list});
  state.seed = reader.next_number("seed");
  state.seeding = next_choice(reader, "seeding", {Seeding::per_dataset, Seeding::shared});
  state.order = reader.next("order");
  state.exhausted =
      next_choice(reader, "exhausted", {Exhausted::cycle, Exhausted::drop, Exhausted::retain});
  state.dataset_sizes = next_counts<Late>(reader, "dataset_sizes");
  state.ratios = next_counts<Late>(reader, "ratios");
  std::int64_t const stages = has_stages ? reader.next_count("stages") : 0;
  std::size_t const datasets = state.dataset_sizes.size();
  for (std::int64_t s = 0; s < stages; ++s) {
    state.stages.push_back(next_stage<Late>(reader, datasets));
    if (s == 0 ? state.stages[0].begin != 0
               : state.stages.back().begin <= state.stages[state.stages.size() - 2].begin) {
      reader.bad_value("begin", "0 for the first stage and more for every further one");
    }
  }
  next_words(reader, "fingerprints", [&](std::string_view word) {
    return parse_hex(word, state.dataset_fingerprints.emplace_back());
  });
  reader.finish();
  if (state.ratios.size() != (stages == 0 ? datasets : 0)) {
    reader.bad_value("ratios", stages == 0 ? "one number for each dataset"
                                           : "empty, as it must be where there are stages");
  }
  if (!state.dataset_fingerprints.empty() && state.dataset_fingerprints.size() != datasets) {
    reader.bad_value("fingerprints", "one number for each dataset");
  }
  return state;
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
  return detail::next_sampler_state<Late>(reader, reader.version() > 1);
}

/// What may differ between a state and the run that goes on from it. Everything is refused unless
/// named, because the run is then no longer the one that would have gone on without a stop: the
/// position is kept as a number of samples and read in terms of the new options. So items of the
/// epochs under way come again or are left out, except where only samples_per_episode differs.
struct AcceptedChanges {
  bool dataset_sizes = false;  ///< Datasets grew, shrank, or there are more or fewer of them.
  bool contents = false;       ///< Fingerprints of datasets differ, or are no longer given.
  /// Ratios, weights or the schedule differ. Weights that are to change on the way are another
  /// matter: a stage of the schedule that begins at the position or behind it leaves every dataset
  /// where it was, and is accepted here, too.
  bool ratios = false;
  bool episode = false;  ///< samples_per_episode, repeats or repeat differ.
  bool order = false;    ///< seed, seeding, shuffle, order policy or exhausted differ.
};

namespace detail {

/// Collects what differs, each with what would accept it.
template <class Late>
class Differences {
 public:
  template <class Value>
  void compare(bool accepted, std::string_view acceptance, std::string_view what, Value const& was,
               Value const& is) {
    if (!accepted && !(was == is)) {
      changes_ += text("; ", what, " was ", was, ", is ", is, " (.", acceptance, ")");
    }
  }
  template <class Value>
  void compare_each(bool accepted, std::string_view acceptance, std::string_view what,
                    std::vector<Value> const& was, std::vector<Value> const& is) {
    for (std::size_t d = 0; d < was.size() && d < is.size(); ++d) {
      compare(accepted, acceptance, text("the ", what, " of dataset ", d), was[d], is[d]);
    }
  }
  [[nodiscard]] std::string const& text_of() const noexcept { return changes_; }

 private:
  std::string changes_;
};

/// The weights of all stages as one text.
template <class Late>
[[nodiscard]] std::string stages_text(std::vector<BasicShareStage<Late>> const& stages) {
  std::string out = stages.empty() ? "none" : "";
  for (BasicShareStage<Late> const& stage : stages) {
    out += text(out.empty() ? "from prompt " : ", from prompt ", stage.begin, ":");
    for (std::int64_t const share : stage.shares) {
      out += text(" ", share_text(share));
    }
  }
  return out;
}

}  // namespace detail

/// Throws `Error{invalid_argument}` that names every difference between the state and the run that
/// wants to go on from it, except those accepted.
///
/// @param now The state that a sampler of this run has (its `consumed` is not looked at).
template <class Late>
void check_compatible(BasicSamplerState<Late> const& saved, BasicSamplerState<Late> const& now,
                      AcceptedChanges const& accepted = {}) {
  detail::Differences<Late> found;
  found.compare(accepted.dataset_sizes, "dataset_sizes", "the number of datasets",
                saved.dataset_sizes.size(), now.dataset_sizes.size());
  found.compare_each(accepted.dataset_sizes, "dataset_sizes", "size", saved.dataset_sizes,
                     now.dataset_sizes);
  // A state without fingerprints has nothing to compare; a run without them would not notice.
  for (std::size_t d = 0; d < saved.dataset_fingerprints.size(); ++d) {
    bool const given = !now.dataset_fingerprints.empty();
    if (given && d >= now.dataset_fingerprints.size()) {
      break;  // there are fewer datasets
    }
    found.compare(accepted.contents, "contents", text("the fingerprint of dataset ", d),
                  hex_text(saved.dataset_fingerprints[d]),
                  given ? hex_text(now.dataset_fingerprints[d]) : std::string("not given"));
  }
  bool const ratios =
      !accepted.ratios && !(saved.ratios == now.ratios && saved.stages == now.stages);
  found.compare_each(accepted.ratios, "ratios", "ratio", saved.ratios, now.ratios);
  if (!(saved.stages == now.stages)) {
    found.compare(accepted.ratios, "ratios", "the weights", detail::stages_text(saved.stages),
                  detail::stages_text(now.stages));
  }
  bool const episode = accepted.episode;
  found.compare(episode, "episode", "samples_per_episode", saved.samples_per_episode,
                now.samples_per_episode);
  found.compare(episode, "episode", "repeats", saved.repeats, now.repeats);
  found.compare(episode, "episode", "repeat", to_string(saved.repeat), to_string(now.repeat));
  bool const order = accepted.order;
  found.compare(order, "order", "seed", saved.seed, now.seed);
  found.compare(order, "order", "seeding", to_string(saved.seeding), to_string(now.seeding));
  found.compare(order, "order", "shuffle", saved.shuffle, now.shuffle);
  found.compare(order, "order", "order", saved.order, now.order);
  found.compare(order, "order", "exhausted", to_string(saved.exhausted), to_string(now.exhausted));
  if (!found.text_of().empty()) {
    fail(Errc::invalid_argument,
         text("the sampler state is of another run", found.text_of(),
              ". Restore the old values, or go on with what there is now: set what stands in ",
              "brackets in the data::AcceptedChanges given to restore. The position then stays a ",
              "number of samples, so items may come again or be left out",
              ratios ? "; to change weights without that, add a stage to SamplerOptions::schedule"
                     : ""));
  }
}

}  // namespace rlhf::inline v0::data
