/// @file
/// What a rank must know to go on with a run, as an archive. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/columns.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/data/state.hpp>
#include <rlhf/data/text_record.hpp>
#include <rlhf/engine/detail/parts.hpp>
#include <rlhf/engine/detail/progress.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

inline constexpr std::string_view state_format = "rlhf-engine";
inline constexpr std::int64_t state_version = 1;

/// Steps and episodes of each model on this rank. Ranks without a part of a model do not count its
/// steps, so that the largest over all ranks are the model's.
template <class... Nodes>
void counters_of(Parts<Nodes...>& parts, std::vector<std::int64_t>& counters) {
  counters.clear();
  parts.for_each_model([&](auto& model, std::string_view) {
    counters.push_back(model.step().value);
    counters.push_back(model.episode().value);
  });
}

/// Episode, models' counters, where the prompts stand, rollouts in flight.
template <class... Nodes>
[[nodiscard]] std::vector<std::byte> save_state(Parts<Nodes...>& parts, Progress const& progress,
                                                int ranks, std::span<std::int64_t const> counters) {
  checkpoint::ArchiveWriter archive;
  data::TextRecordWriter about(state_format, state_version);
  about.field("episode", progress.episode).field("ranks", ranks).field("ahead", progress.ahead);
  std::size_t counter = 0;
  parts.for_each_model([&](auto&, std::string_view name) {
    about.field("model", counters[counter], counters[counter + 1], std::string(name));
    counter += 2;
  });
  for (std::int64_t e = progress.episode; e < progress.end_of_flight(); ++e) {
    about.field("rollout", e, progress.rows[progress.slot(e)], progress.versions[progress.slot(e)]);
  }
  archive.add("engine", checkpoint::as_bytes(about.finish()));
  parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::prompts) {
      archive.add("data", checkpoint::as_bytes(data::to_text(work.node.model->data_state())));
    }
    if constexpr (makes_value<Node>) {
      for (std::int64_t e = progress.episode; work.ahead && e < progress.end_of_flight(); ++e) {
        checkpoint::save_columns(archive, work.made[progress.slot(e)],
                                 text("rollout-", e, "/", work.node.name, "/"));
      }
    }
  });
  return archive.finish();
}

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

/// Goes where `save_state` was called. `origin` is for messages.
///
/// Errors: corrupted; invalid_argument for the state of other models, of another number of ranks
/// while rollouts are in flight, or of other data.
template <class... Nodes>
void load_state(std::span<std::byte const> bytes, std::string_view origin, Parts<Nodes...>& parts,
                Progress& progress, int ranks) {
  checkpoint::ArchiveReader const archive(bytes, origin);
  data::TextRecordReader about(checkpoint::as_text(archive.at("engine").bytes), state_format,
                               state_version, origin);
  progress.episode = about.next_count("episode");
  progress.saved = progress.episode;
  std::int64_t const saved_ranks = about.next_count("ranks");
  std::int64_t const saved_ahead = about.next_count("ahead");
  if (saved_ahead != progress.ahead) {
    fail(Errc::invalid_argument, text("the checkpoint of episode ", progress.episode,
                                      " was written with episodes_ahead = ", saved_ahead,
                                      ", this run has ", progress.ahead, "; go on with the same"));
  }
  if (saved_ahead > 0 && saved_ranks != ranks) {
    fail(Errc::invalid_argument,
         text("the checkpoint of episode ", progress.episode, " has rollouts in flight on ",
              saved_ranks, " ranks, this run has ", ranks, "; go on with as many"));
  }
  std::string_view rest;
  parts.for_each_model([&](auto& model, std::string_view name) {
    std::array<std::int64_t, 2> counters{};
    if (!read_numbers(about.next("model"), counters, rest) || rest != name) {
      about.bad_value("model", text("the steps and episodes of ", name, ", as in this program"));
    }
    model.resume(Step{counters[0]}, Episode{counters[1]});
  });
  progress.made = 0;
  while (about.at("rollout")) {
    std::array<std::int64_t, 3> of{};
    if (!read_numbers(about.next("rollout"), of, rest) ||
        of[0] != progress.episode + progress.made || progress.made >= progress.ahead) {
      about.bad_value("rollout", "the next episode in flight, its rows and its weights' version");
    }
    ++progress.made;
    progress.rows[progress.slot(of[0])] = of[1];
    progress.versions[progress.slot(of[0])] = of[2];
    parts.for_each([&]<class Node>(Work<Node>& work) {
      if constexpr (makes_value<Node>) {
        if (work.ahead) {
          checkpoint::load_columns(archive, work.made[progress.slot(of[0])],
                                   text("rollout-", of[0], "/", work.node.name, "/"));
        }
      }
    });
  }
  about.finish();
  parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::prompts) {
      work.node.model->restore_data(
          data::parse_sampler_state<>(checkpoint::as_text(archive.at("data").bytes), origin));
    }
  });
}

}  // namespace rlhf::inline v0::engine::detail
