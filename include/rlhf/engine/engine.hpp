/// @file
/// The episode loop: rollouts, training, weight sync, checkpoints. Layer: engine.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/engine/detail/loop.hpp>
#include <rlhf/engine/graph.hpp>
#include <rlhf/engine/options.hpp>

#include <utility>

namespace rlhf::inline v0 {

/// Runs episodes: prompts are drawn, stages of several modules make a rollout of them, trainers
/// train on it, weights go where they are needed.
///
///     rlhf::Engine engine(world, {.episodes = 100},
///                         rlhf::engine::prompts("prompts", generator, read_prompts),
///                         rlhf::engine::stage("generate", generator),      // Prompts -> Answers
///                         rlhf::engine::stage("reference", reference),     // Answers -> Scores
///                         rlhf::engine::compute("advantages", actor, advantages_of),
///                         rlhf::engine::train("policy", actor, {.global_batch = 64}),
///                         rlhf::engine::sync("weights", actor, generator));
///     engine.run();
///
/// Which stage feeds which follows from the types that they take and return; a value that nobody
/// makes, two makers of one, and circles are refused by the compiler. Every rank of the world makes
/// the engine with the same parts; a rank works where its modules' meshes have it. Rows go from the
/// ranks that make them to those that need them, dealt to the shares of each module anew
/// (`engine/spread.hpp`), so results do not depend on the number of ranks. A share without rows is
/// not asked by stages and computations; trainers step on all shares. Of an episode:
/// `before_episode` of every model; stages in order; training; `after_episode`; syncs that are due;
/// evaluation; checkpoint.
///
/// **Ahead.** With `episodes_ahead` = n > 0, modules whose ranks train nothing generate episode
/// e + n while the others train on e; everything else is as before. The rounds are in lockstep,
/// so the weights that generated an episode are the same in every run: `episodes_ahead` + the
/// links' frequency - 1 episodes behind at most. Waits of the communicator must be long enough for
/// the difference between the two.
///
/// **Checkpoints** hold every model's files, the sampler's state, the rollouts in flight and those
/// that trainers keep (`TrainOptions::replay_episodes`); a run that was killed goes on as if it had
/// not been, on other ranks and layouts, too, as far as models load their files there. Models that
/// are trained must define `save_checkpoint` and `load_checkpoint`. Written
/// behind an episode at whose end all links were synced. Stages may keep what they make of the
/// episode behind it (`StageOptions::save_outputs`).
///
/// Errors: those of hooks and of the communicator, with the part, its phase and the episode in
/// front; the other ranks' waits end with it. Thread safety: one caller a rank. The models and
/// `world` must outlive it.
template <comm::Communicator C, class... Nodes>
class Engine : public engine::detail::Loop<engine::is_valid_graph<Nodes...>, C, Nodes...> {
  static_assert(sizeof(engine::CheckGraph<Nodes...>) != 0);
  using Base = engine::detail::Loop<engine::is_valid_graph<Nodes...>, C, Nodes...>;

 public:
  /// Collective only in `run`. Errors: invalid_argument for options that do not fit the parts.
  Engine(C& world, engine::Options options, Nodes... nodes)
      : Base(world, std::move(options), std::move(nodes)...) {}
};

template <comm::Communicator C, class... Nodes>
Engine(C&, engine::Options, Nodes...) -> Engine<C, Nodes...>;

}  // namespace rlhf::inline v0
