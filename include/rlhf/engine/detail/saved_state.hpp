/// @file
/// What ranks must know to go on with a run, as it is written. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/data/state.hpp>
#include <rlhf/data/text_record.hpp>
#include <rlhf/engine/detail/parts.hpp>
#include <rlhf/engine/detail/progress.hpp>
#include <rlhf/engine/detail/row_files.hpp>
#include <rlhf/engine/detail/versions.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

inline constexpr std::string_view state_format = "rlhf-engine";
inline constexpr std::int64_t state_version = 2;

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

/// A number of the ranks and the layout of a model, another one where it is moved.
template <class M>
[[nodiscard]] std::int64_t place_of(M const& model) {
  Layout const layout = model.layout();
  Fingerprint print;
  for (int const size :
       {layout.tensor, layout.pipeline, layout.data, layout.expert, layout.fsdp, layout.zero}) {
    print.add(static_cast<std::uint64_t>(size));
  }
  for (int const rank : model.mesh().world_ranks()) {
    print.add(static_cast<std::uint64_t>(rank));
  }
  return static_cast<std::int64_t>(print.value() >> 1U);
}

/// Calls `visit(work, index)` for the parts whose rows belong to the state: those that run ahead,
/// and trainers that go through several episodes.
template <class... Nodes, class Visit>
void for_each_saved(Parts<Nodes...>& parts, Visit&& visit) {
  std::int64_t index = 0;
  parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::train) {
      if (work.node.options.replay_episodes != 1) {
        visit(work, index);
      }
    } else if constexpr (makes_value<Node>) {
      if (work.ahead) {
        visit(work, index);
      }
    }
    ++index;
  });
}

/// Episode, models' counters, where the prompts stand; what rows lie in `RowFiles`, of which parts.
template <class... Nodes>
[[nodiscard]] std::vector<std::byte> save_state(Parts<Nodes...>& parts, Progress const& progress,
                                                Versions const& versions,
                                                std::span<std::int64_t const> counters) {
  checkpoint::ArchiveWriter archive;
  data::TextRecordWriter about(state_format, state_version);
  about.field("episode", progress.episode).field("ahead", progress.ahead);
  std::size_t counter = 0;
  parts.for_each_model([&](auto& model, std::string_view name) {
    about.field("model", counters[counter], counters[counter + 1], versions.of(&model),
                place_of(model), std::string(name));
    counter += 2;
  });
  for (std::int64_t e = progress.episode; e < progress.flown; ++e) {
    about.field("rollout", e, progress.rows[progress.slot(e)], progress.versions[progress.slot(e)]);
  }
  for_each_saved(parts, [&]<class Node>(Work<Node>& work, std::int64_t part) {
    int const shares = shares_of(*work.node.model).count();
    if constexpr (Node::kind == NodeKind::train) {
      std::vector<KeptEpisode> const& kept = work.window.episodes;
      about.field("window", part, shares, std::ssize(kept), std::string(work.node.name));
      for (KeptEpisode const& one : kept) {
        about.field("kept", one.episode, one.rows);
      }
    } else {
      about.field("made", part, shares, std::string(work.node.name));
    }
  });
  archive.add("engine", checkpoint::as_bytes(about.finish()));
  parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::prompts) {
      archive.add("data", checkpoint::as_bytes(data::to_text(work.node.model->data_state())));
    }
  });
  return archive.finish();
}

/// Writes the rows of this rank's shares on their speakers. Returns the number of files.
template <class... Nodes>
[[nodiscard]] std::int64_t save_rows(checkpoint::Store const& store, int world_rank,
                                     Parts<Nodes...>& parts, Progress const& progress) {
  std::int64_t files = 0;
  for_each_saved(parts, [&]<class Node>(Work<Node>& work, std::int64_t part) {
    if (!work.node.model->present()) {
      return;
    }
    Shares const shares = shares_of(*work.node.model);
    int const share = shares.of(work.node.model->rank());
    if (shares.speaker(share) != world_rank) {
      return;
    }
    if constexpr (Node::kind == NodeKind::train) {
      RowFiles const rows{&store, progress.episode, "window", part};
      std::apply([&](auto const&... values) { rows.save(share, values...); }, work.window.kept);
      ++files;
    } else {
      for (std::int64_t e = progress.episode; e < progress.flown; ++e) {
        RowFiles const rows{&store, progress.episode, text("rollout-", e), part};
        rows.save(share, work.made[progress.slot(e)]);
        ++files;
      }
    }
  });
  return files;
}

}  // namespace rlhf::inline v0::engine::detail
