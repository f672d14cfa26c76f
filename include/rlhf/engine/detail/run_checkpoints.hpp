/// @file
/// Checkpoints of a whole run: all models' files and the engine's state. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/engine/detail/parts.hpp>
#include <rlhf/engine/detail/progress.hpp>
#include <rlhf/engine/detail/saved_state.hpp>
#include <rlhf/engine/options.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

[[nodiscard]] inline std::string state_name(int rank) {
  return text("engine/state.rank-", rank);
}

/// Writes a checkpoint of the episodes that are done: begun and committed by rank 0, when all
/// ranks have written. `bring(model)` comes before a model's hook.
template <class C, class Watch, class AllParts, class Bring>
void save_run(C& world, Watch& watch, AllParts& parts, Progress& progress, Options const& options,
              Bring&& bring) {
  constexpr std::string_view phase = "save_checkpoint";
  checkpoint::Store const store(options.checkpoints, options.keep);
  std::int64_t const step = progress.episode;
  watch.run("engine", phase, phase, [&] {
    if (world.rank() == 0) {
      store.begin(step);
    }
    world.barrier();
  });
  std::int64_t written = 1;
  parts.for_each_model([&](auto& model, std::string_view name) {
    if (model.present()) {
      watch.run(name, phase, phase, [&] {
        bring(model);
        checkpoint::FilesToSave files(store, step, std::string(name), world.rank());
        hook::save_checkpoint(model, files);
        written += files.count();
      });
    }
  });
  watch.run("engine", phase, phase, [&] {
    std::vector<std::int64_t> counters;
    counters_of(parts, counters);
    comm::all_reduce(world, std::span<std::int64_t>(counters), comm::Reduce::max);
    std::vector<std::byte> const state =
        save_state(parts, progress, world.size(), std::span<std::int64_t const>(counters));
    store.write(step, state_name(world.rank()), {state.data(), state.size()});
    comm::all_reduce(world, std::span<std::int64_t>(&written, 1));
    if (world.rank() == 0) {
      static_cast<void>(store.commit(step, written));
    }
    world.barrier();
  });
  progress.saved = step;
}

/// Goes where the newest checkpoint was written. False where there is none, or none is wanted.
template <class C, class Watch, class AllParts, class Bring>
[[nodiscard]] bool load_run(C& world, Watch& watch, AllParts& parts, Progress& progress,
                            Options const& options, Bring&& bring) {
  if (options.checkpoints.empty() || !options.resume) {
    return false;
  }
  constexpr std::string_view phase = "load_checkpoint";
  checkpoint::Store const store(options.checkpoints, options.keep);
  std::int64_t step = -1;
  watch.run("engine", phase, phase, [&] {
    step = options.resume_from >= 0 ? options.resume_from : store.latest().value_or(-1);
    comm::broadcast(world, std::span<std::int64_t>(&step, 1), 0);  // what rank 0 sees
    if (step >= 0) {
      // Rollouts in flight lie on their ranks; without any, all states are the same.
      std::string const own = state_name(world.rank());
      std::string const name = store.manifest(step).find(own) == nullptr ? state_name(0) : own;
      std::vector<std::byte> const state = store.read(step, name);
      load_state({state.data(), state.size()}, text(store.directory(step), "/", name), parts,
                 progress, world.size());
    }
  });
  if (step < 0) {
    return false;
  }
  parts.for_each_model([&](auto& model, std::string_view name) {
    if (model.present()) {
      watch.run(name, phase, phase, [&] {
        bring(model);
        checkpoint::FilesToLoad const files(store, step, std::string(name), world.rank());
        hook::load_checkpoint(model, files, model.step());
      });
    }
  });
  return true;
}

}  // namespace rlhf::inline v0::engine::detail
