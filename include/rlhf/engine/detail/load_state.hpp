/// @file
/// Reads what `save_state` and `save_rows` wrote. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/data/state.hpp>
#include <rlhf/data/text_record.hpp>
#include <rlhf/engine/detail/parts.hpp>
#include <rlhf/engine/detail/progress.hpp>
#include <rlhf/engine/detail/row_files.hpp>
#include <rlhf/engine/detail/saved_state.hpp>
#include <rlhf/engine/detail/versions.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

/// Numbers separated by spaces, then the rest of the line. False unless there are as many.
template <std::size_t N>
[[nodiscard]] bool read_numbers(std::string_view line, std::array<std::int64_t, N>& numbers,
                                std::string_view& rest) {
  rest = line;
  for (std::int64_t& number : numbers) {
    std::size_t const end = rest.find(' ');
    std::uint64_t found = 0;
    if (!data::parse_number(rest.substr(0, end), found) ||
        found > static_cast<std::uint64_t>(INT64_MAX)) {
      return false;
    }
    number = static_cast<std::int64_t>(found);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
  return true;
}

/// What a state says of a part's rows.
struct SavedPart {
  std::string_view name{};
  std::int64_t part = -1;
  int shares = 0;
  std::vector<KeptEpisode> kept{};
};
[[nodiscard]] inline SavedPart const* find_part(std::vector<SavedPart> const& parts,
                                                std::string_view name) noexcept {
  for (SavedPart const& part : parts) {
    if (part.name == name) {
      return &part;
    }
  }
  return nullptr;
}

[[nodiscard]] inline std::string names_of(std::vector<SavedPart> const& parts) {
  std::string names;
  for (SavedPart const& part : parts) {
    names += text(names.empty() ? "" : ", ", part.name);
  }
  return names;
}

/// What a state says of a model.
struct SavedModel {
  std::string_view name{};
  std::array<std::int64_t, 4> numbers{};  ///< Steps, episodes, version, place.
  bool taken = false;
};
/// Gives every model what was saved of the one of its name. Errors: invalid_argument where the
/// checkpoint's models are others than this run's.
template <class... Nodes>
void take_models(Parts<Nodes...>& parts, Versions& versions, std::vector<SavedModel>& saved,
                 std::int64_t episode, std::vector<std::uint8_t>& moved) {
  std::string here;
  std::string lacking;
  moved.clear();
  parts.for_each_model([&](auto& model, std::string_view name) {
    here += text(here.empty() ? "" : ", ", name);
    for (SavedModel& one : saved) {
      if (!one.taken && one.name == name) {
        one.taken = true;
        model.resume(Step{one.numbers[0]}, Episode{one.numbers[1]});
        versions.restore(&model, one.numbers[2]);
        moved.push_back(one.numbers[3] != place_of(model) ? 1 : 0);
        return;
      }
    }
    lacking = name;
  });
  std::string there;
  for (SavedModel const& one : saved) {
    there += text(there.empty() ? "" : ", ", one.name);
    lacking = one.taken ? lacking : std::string(one.name);
  }
  if (!lacking.empty()) {
    fail(Errc::invalid_argument,
         text("the checkpoint of episode ", episode, " has the models ", there, ", this run has ",
              here, ": ", lacking, " is not on both sides. A model is called M::name, or what the ",
              "first part that refers to it is called; give it a name that stays"));
  }
}

/// Shares of a part and so on: their numbers are those of ranks, so that they are small.
[[nodiscard]] inline int shares_in(data::TextRecordReader const& about, std::string_view key,
                                   std::int64_t value) {
  if (value < 1 || value > INT32_MAX) {
    about.bad_value(key, "a number of shares of 1 or more");
  }
  return static_cast<int>(value);
}

/// Reads this rank's rows. Errors: those of `RowFiles::load`; invalid_argument where other parts
/// are ahead of training than were.
template <class... Nodes>
void load_rows(checkpoint::Store const& store, std::int64_t step, Parts<Nodes...>& parts,
               Progress const& progress, std::vector<SavedPart> const& made,
               std::vector<SavedPart> const& windows) {
  std::size_t ahead = 0;
  std::size_t taken = 0;
  std::string_view without;
  for_each_saved(parts, [&]<class Node>(Work<Node>& work, std::int64_t) {
    Shares const shares = shares_of(*work.node.model);
    bool const here = work.node.model->present();
    int const share = here ? shares.of(work.node.model->rank()) : 0;
    if constexpr (Node::kind == NodeKind::train) {
      SavedPart const* const saved = find_part(windows, work.node.name);
      if (saved == nullptr) {
        without = work.node.name;
      } else {
        ++taken;
        work.window.episodes = saved->kept;
        if (here) {
          std::int64_t const rows = work.window.rows();
          std::apply(
              [&](auto&... values) {
                RowFiles{&store, step, "window", saved->part}.load(
                    rows, saved->shares, split_evenly(rows, shares.count(), share), values...);
              },
              work.window.kept);
        }
      }
    } else {
      SavedPart const* const saved = find_part(made, work.node.name);
      ahead += saved == nullptr ? 0 : 1;
      for (std::int64_t e = progress.episode; saved != nullptr && here && e < progress.flown; ++e) {
        std::int64_t const rows = progress.rows[progress.slot(e)];
        RowFiles{&store, step, text("rollout-", e), saved->part}.load(
            rows, saved->shares, split_evenly(rows, shares.count(), share),
            work.made[progress.slot(e)]);
      }
    }
  });
  std::size_t now = 0;
  parts.for_each([&]<class Node>(Work<Node> const& work) {
    now += work.ahead && makes_value<Node> ? 1U : 0U;
  });
  if (!without.empty() && taken != windows.size()) {
    fail(Errc::invalid_argument,
         text("the checkpoint of episode ", progress.episode, " has rows of earlier episodes of ",
              names_of(windows), ", this run's ", without, " has none to go on with; call it what ",
              "it was called, or take replay_episodes from it until they are gone"));
  }
  if (progress.made() > 0 && (ahead != made.size() || ahead != now)) {
    fail(Errc::invalid_argument,
         text("the checkpoint of episode ", progress.episode, " has rollouts in flight of ",
              names_of(made),
              ", which ran ahead of training; in this run other parts do: keep modules that train ",
              "nothing apart from trainers' ranks, or on them, as they were"));
  }
}

/// Goes where `save_state` was called, on a rank whose shares may be others now.
///
/// `moved` says of every model whether it lay otherwise. Errors: corrupted; invalid_argument for
/// the state of other models, with other parts ahead of training, or of other data than `accepted`.
template <class... Nodes>
void load_state(checkpoint::Store const& store, std::int64_t step, std::string const& name,
                Parts<Nodes...>& parts, Progress& progress, Versions& versions,
                data::AcceptedChanges const& accepted, std::vector<std::uint8_t>& moved) {
  std::vector<std::byte> const bytes = store.read(step, name);
  std::string const origin = text(store.directory(step), "/", name);
  checkpoint::ArchiveReader const archive({bytes.data(), bytes.size()}, origin);
  data::TextRecordReader about(checkpoint::as_text(archive.at("engine").bytes), state_format,
                               state_version, origin);
  progress.episode = about.next_count("episode");
  progress.saved = progress.episode;
  std::int64_t const saved_ahead = about.next_count("ahead");
  std::string_view rest;
  std::vector<SavedModel> models;
  while (about.at("model")) {
    SavedModel one;
    if (!read_numbers(about.next("model"), one.numbers, one.name)) {
      about.bad_value("model", "steps, episodes, version, place and name of a model");
    }
    models.push_back(one);
  }
  take_models(parts, versions, models, progress.episode, moved);
  progress.flown = progress.episode;
  while (about.at("rollout")) {
    std::array<std::int64_t, 3> of{};
    if (!read_numbers(about.next("rollout"), of, rest) || of[0] != progress.flown) {
      about.bad_value("rollout", "the next episode in flight, its rows and its weights' version");
    }
    if (saved_ahead != progress.ahead) {
      fail(Errc::invalid_argument,
           text("the checkpoint of episode ", progress.episode,
                " has rollouts in flight of episodes_ahead = ", saved_ahead, ", this run has ",
                progress.ahead, "; go on with the same"));
    }
    ++progress.flown;
    progress.rows[progress.slot(of[0])] = of[1];
    progress.versions[progress.slot(of[0])] = of[2];
  }
  std::vector<SavedPart> made;
  std::vector<SavedPart> windows;
  while (about.at("made") || about.at("window")) {
    if (about.at("made")) {
      std::array<std::int64_t, 2> of{};
      if (!read_numbers(about.next("made"), of, rest)) {
        about.bad_value("made", "a part, its shares and its name");
      }
      made.push_back({rest, of[0], shares_in(about, "made", of[1]), {}});
      continue;
    }
    std::array<std::int64_t, 3> of{};
    if (!read_numbers(about.next("window"), of, rest)) {
      about.bad_value("window", "a part, its shares, its episodes and its name");
    }
    windows.push_back({rest, of[0], shares_in(about, "window", of[1]), {}});
    for (std::int64_t i = 0; i < of[2]; ++i) {
      std::array<std::int64_t, 2> kept{};
      if (!read_numbers(about.next("kept"), kept, rest)) {
        about.bad_value("kept", "an episode and its rows");
      }
      windows.back().kept.push_back(KeptEpisode{kept[0], kept[1]});
    }
  }
  about.finish();
  load_rows(store, step, parts, progress, made, windows);
  parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::prompts) {
      work.node.model->restore_data(
          data::parse_sampler_state<>(checkpoint::as_text(archive.at("data").bytes), origin),
          accepted);
    }
  });
}

}  // namespace rlhf::inline v0::engine::detail
