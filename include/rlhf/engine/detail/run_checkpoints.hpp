/// @file
/// Checkpoints of a whole run: all models' files and the engine's state. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/checksum.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/engine/detail/load_state.hpp>
#include <rlhf/engine/detail/residence.hpp>
#include <rlhf/engine/detail/run.hpp>
#include <rlhf/engine/detail/saved_state.hpp>
#include <rlhf/engine/detail/stage_files.hpp>
#include <rlhf/module/hooks.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

inline constexpr std::string_view state_file = "engine/state";

/// A number that another checkpoint does not have. Collective.
template <class C>
[[nodiscard]] std::uint64_t fingerprint_of(C& world, checkpoint::Store const& store,
                                           std::int64_t step) {
  std::int64_t found = 0;
  if (world.rank() == 0) {
    std::string const files = checkpoint::to_text(store.manifest(step));
    std::uint64_t const sum = checkpoint::checksum<>(checkpoint::as_bytes(files));
    found = static_cast<std::int64_t>(sum == 0 ? 1 : sum);
  }
  comm::broadcast(world, std::span<std::int64_t>(&found, 1), 0);
  return static_cast<std::uint64_t>(found);
}

/// Writes a checkpoint of the episodes that are done: begun and committed by rank 0, when all
/// ranks have written.
template <class R>
void save_run(R& run) {
  constexpr std::string_view phase = "save_checkpoint";
  auto& world = *run.world;
  Progress& progress = run.progress;
  std::optional<checkpoint::Store> opened;
  std::int64_t const step = progress.episode;
  run.guarded("engine", phase, [&] {
    opened.emplace(run.options.checkpoints, run.options.keep);
    if (world.rank() == 0) {
      opened->begin(step);
    }
    world.barrier();
  });
  checkpoint::Store const& store = *opened;
  std::int64_t written = 0;
  run.parts.for_each_model([&]<class M>(M& model, std::string_view name) {
    if (model_detail::has_save_checkpoint<M> && model.present()) {
      run.guarded(name, phase, [&] {
        bring(run, model, runtime::Parts::all());
        checkpoint::FilesToSave files(store, step, std::string(name), world.rank());
        hook::save_checkpoint(model, files);
        written += files.count();
      });
    }
  });
  run.guarded("engine", phase, [&] {
    std::vector<std::int64_t> counters;
    counters_of(run.parts, counters);
    comm::all_reduce(world, std::span<std::int64_t>(counters), comm::Reduce::max);
    if (world.rank() == 0) {
      std::vector<std::byte> const state =
          save_state(run.parts, progress, run.versions, std::span<std::int64_t const>(counters));
      store.write(step, state_file, {state.data(), state.size()});
      ++written;
    }
    written += save_rows(store, world.rank(), run.parts, progress);
    comm::all_reduce(world, std::span<std::int64_t>(&written, 1));
    if (world.rank() == 0) {
      static_cast<void>(store.commit(step, written));
    }
    progress.checkpoint = fingerprint_of(world, store, step);
    if (world.rank() == 0 && saves_outputs(run)) {
      stage_outputs_of(run.options).prune(step);
    }
  });
  progress.saved = step;
}

/// Goes where the newest checkpoint was written. False where there is none, or none is wanted.
template <class R>
[[nodiscard]] bool load_run(R& run) {
  if (run.options.checkpoints.empty() || !run.options.resume) {
    return false;
  }
  constexpr std::string_view phase = "load_checkpoint";
  auto& world = *run.world;
  std::optional<checkpoint::Store> opened;
  std::int64_t step = -1;
  std::vector<std::uint8_t> moved;  // of every model
  run.guarded("engine", phase, [&] {
    checkpoint::Store const& store = opened.emplace(run.options.checkpoints, run.options.keep);
    step = run.options.resume_from >= 0 ? run.options.resume_from : store.latest().value_or(-1);
    comm::broadcast(world, std::span<std::int64_t>(&step, 1), 0);  // what rank 0 sees
    if (step >= 0) {
      run.watch.set_episode(step);
      load_state(store, step, std::string(state_file), run.parts, run.progress, run.versions,
                 run.options.accept_data, moved);
      run.progress.checkpoint = fingerprint_of(world, store, step);
      run.progress.restores = true;
    }
  });
  if (step < 0) {
    return false;
  }
  std::size_t at = 0;
  run.parts.for_each_model([&]<class M>(M& model, std::string_view name) {
    bool const lay_otherwise = moved[at++] != 0;
    if (model_detail::has_load_checkpoint<M> && model.present()) {
      run.guarded(name, phase, [&] {
        bring(run, model, runtime::Parts::all());
        checkpoint::FilesToLoad const files(*opened, step, std::string(name), world.rank(),
                                            lay_otherwise);
        hook::load_checkpoint(model, files, model.step());
      });
    }
  });
  return true;
}

}  // namespace rlhf::inline v0::engine::detail
