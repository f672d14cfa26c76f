/// @file
/// What stages made in an episode that was not finished, kept for a restart. Layer: engine,
/// private.
#pragma once

#include <rlhf/checkpoint/stage_outputs.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/engine/detail/run.hpp>
#include <rlhf/engine/detail/work.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace rlhf::inline v0::engine::detail {

[[nodiscard]] inline checkpoint::StageOutputs stage_outputs_of(Options const& options) {
  return checkpoint::StageOutputs(
      options.stage_outputs.empty() ? text(options.checkpoints, "/stages") : options.stage_outputs);
}

/// Whether some stage keeps its outputs.
template <class R>
[[nodiscard]] bool saves_outputs(R& run) {
  bool any = false;
  run.parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::stage) {
      any = any || work.node.options.save_outputs;
    }
  });
  return any;
}

/// Outputs belong to the checkpoint that they follow: only rollouts between it and the next
/// training depend on nothing else.
template <class R>
[[nodiscard]] bool follows_checkpoint(R const& run) noexcept {
  return run.progress.checkpoint != 0 && run.progress.episode == run.progress.saved;
}
template <class R, class Node>
[[nodiscard]] checkpoint::Stage key_of_stage(R const& run, Work<Node> const& work, int share,
                                             std::int64_t episode) {
  return {.model = std::string(work.node.name),
          .replica = share,
          .replicas = shares_of(*work.node.model).count(),
          .episode = episode,
          .inputs = Fingerprint()
                        .add(run.progress.checkpoint)
                        .add(work.node.options.outputs_depend_on)
                        .value()};
}

/// Saves this share's rows of an episode. Called by its speaker.
template <class R, class Node>
void save_stage(R& run, Work<Node> const& work, std::int64_t episode,
                typename Node::Output const& out) {
  if (work.node.options.save_outputs && follows_checkpoint(run)) {
    int const share = shares_of(*work.node.model).of(work.node.model->rank());
    stage_outputs_of(run.options).save(key_of_stage(run, work, share, episode), out);
  }
}

/// Whether outputs were saved and can be read. Others are made again: that is all they save.
template <class R, class Output>
[[nodiscard]] bool is_there(R const& run, checkpoint::Stage const& key, Output& out) {
  try {
    return stage_outputs_of(run.options).load(key, out).found;
  } catch (Error const&) {
    return false;
  }
}

/// Loads what the stage made of an episode before the run was stopped, if all shares are there.
/// Collective over the world, in the first episode of a run that was resumed.
template <class R, class Node>
void restore_stage(R& run, Work<Node>& work, std::int64_t episode) {
  if (!work.node.options.save_outputs || !run.progress.restores || !follows_checkpoint(run)) {
    return;
  }
  run.guarded(work.node.name, "load_outputs", [&] {
    std::int64_t there = 1;
    typename Node::Output out;
    if (work.node.model->present()) {
      Shares const shares = shares_of(*work.node.model);
      int const share = shares.of(work.node.model->rank());
      std::int64_t const rows = run.progress.rows[run.progress.slot(episode)];
      if (shares.speaker(share) == run.world->rank() &&
          split_evenly(rows, shares.count(), share).size() > 0) {
        there = is_there(run, key_of_stage(run, work, share, episode), out) ? 1 : 0;
      }
    }
    comm::all_reduce(*run.world, std::span<std::int64_t>(&there, 1), comm::Reduce::min);
    work.restored = there != 0;
    if (work.restored) {
      work.made[run.progress.slot(episode)] = std::move(out);
    }
  });
}

}  // namespace rlhf::inline v0::engine::detail
