/// @file
/// Settings of an engine, and what it reports of an episode. Layer: engine.
#pragma once

#include <rlhf/data/state.hpp>

#include <cstdint>
#include <string>

namespace rlhf::inline v0::engine {

/// The same on every rank.
struct Options {
  std::int64_t episodes = 1;  ///< To run in all, those before a resume included.
  /// Episodes whose rollouts are generated while an earlier one is trained on: 0 on-policy, 1 one
  /// step off. More needs memory for the rollouts and makes them older, not the run faster. A run
  /// that had ended and is extended begins with its last weights synced and with rollouts of those:
  /// nothing was in flight, and syncs of a frequency above 1 were perhaps not due.
  int episodes_ahead = 0;
  /// The oldest weights that a new rollout may come from, in episodes of training; -1: any. An
  /// engine whose links and `episodes_ahead` would go beyond is refused. Rows that a trainer goes
  /// through again (`TrainOptions::replay_episodes`) are older by as much, and do not count.
  int max_version_lag = -1;
  std::string checkpoints{};      ///< Directory of checkpoints; empty: none.
  std::int64_t save_every = 1;    ///< Episodes between checkpoints.
  int keep = 3;                   ///< Checkpoints to keep; 0: all.
  bool resume = true;             ///< Goes on from the newest checkpoint, if there is one.
  std::int64_t resume_from = -1;  ///< Goes on from this many episodes instead; -1: the newest.
  data::AcceptedChanges accept_data{};  ///< What may differ of the data where a run goes on.
  std::string stage_outputs{};  ///< Directory of stages' outputs; empty: in that of checkpoints.
  std::int64_t evaluate_every = 0;  ///< Episodes between evaluations; 0: none.
  bool evaluate_before = false;     ///< Whether to evaluate before the first episode, too.
  /// Whether models that share ranks take turns on the device: before `forward_step`, `train_step`,
  /// a sync or a checkpoint of one, the others' memory is offloaded (`runtime::Offloadable`) and
  /// what it needs is brought back; before an evaluation, the weights of all models with an
  /// `eval_step`. Elsewhere (other hooks, computes, observers) memory is where the last phase left
  /// it: `runtime::onload` brings it.
  bool offload = false;
  std::int64_t trace_events = 0;  ///< Room of the trace of a rank, 40 bytes each; 0: no trace.
  std::uint64_t seed = 0;         ///< Of the order of rows in training.
};

/// What happened in one episode, on this rank.
struct EpisodeReport {
  std::int64_t episode = 0;
  std::int64_t rows = 0;  ///< Samples over all ranks.
  /// Episodes of training in the weights that generated it: of the model that draws prompts, or of
  /// a stage's model that is older and synced more than once.
  std::int64_t version = 0;
  std::int64_t version_lag = 0;  ///< Episodes of training behind those it was trained with.
  double seconds = 0;            ///< Wall time until all is done but the checkpoint.
  double rollout_seconds = 0;    ///< In stages, computations and waiting for rows.
  double train_seconds = 0;
  double sync_seconds = 0;
  std::int64_t sync_bytes = 0;  ///< Between ranks, over all destinations.
};

}  // namespace rlhf::inline v0::engine
