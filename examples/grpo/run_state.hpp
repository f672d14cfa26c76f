/// @file
/// Checkpoints of a run: everything that the next episode depends on.
#pragma once

#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/state.hpp>
#include <rlhf/data/text_record.hpp>
#include <rlhf/parallel/layout.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actor.hpp"
#include "generator.hpp"
#include "report.hpp"

namespace grpo {

/// Position of a run; what is large lies in files of its own.
struct RunState {
  std::int64_t episodes = 0;  ///< Completed.
  std::int64_t steps = 0;     ///< Of the actor.
  std::int64_t optimizer_steps = 0;
  std::uint64_t seed = 0;
  std::string actor_layout;  ///< Files hold shards of this layout.
  std::string settings;      ///< What else the curve depends on: `settings_text`.
};

namespace detail {

[[nodiscard]] inline std::span<std::byte const> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string text_of(std::vector<std::byte> const& bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

[[nodiscard]] inline std::string to_text(RunState const& state) {
  return rlhf::data::TextRecordWriter("grpo-run", 1)
      .field("episodes", state.episodes)
      .field("steps", state.steps)
      .field("optimizer_steps", state.optimizer_steps)
      .field("seed", state.seed)
      .field("actor_layout", state.actor_layout)
      .field("settings", state.settings)
      .finish();
}
[[nodiscard]] inline RunState parse_run_state(std::string_view text) {
  rlhf::data::TextRecordReader reader(text, "grpo-run", 1, "run.txt");
  RunState state;
  state.episodes = reader.next_count("episodes");
  state.steps = reader.next_count("steps");
  state.optimizer_steps = reader.next_count("optimizer_steps");
  state.seed = reader.next_number("seed");
  state.actor_layout = std::string(reader.next("actor_layout"));
  state.settings = std::string(reader.next("settings"));
  reader.finish();
  return state;
}

}  // namespace detail

/// Saves and loads the modules of a run. Collective over `world`.
template <class Comm, class Actor, class Reference, class Generator>
class RunCheckpoint {
 public:
  RunCheckpoint(Comm& world, std::string const& directory, Actor& actor, Reference& reference,
                Generator& generator)
      : store_(directory, 2),
        world_(&world),
        actor_(&actor),
        reference_(&reference),
        generator_(&generator) {}

  /// Writes a checkpoint after `state.episodes` episodes; it is there as a whole or not at all.
  ///
  /// Those of a run that came further in the same directory, whether this run went back or is
  /// another one, are set aside by the commit, so that a later --resume does not go on with them.
  void save(RunState const& state, Report const& report) {
    std::int64_t const step = state.episodes;
    if (world_->rank() == 0) {
      store_.begin(step);
      store_.write(step, "run.txt", detail::bytes_of(detail::to_text(state)));
      store_.write(step, "metrics.jsonl", detail::bytes_of(report.metrics_text()));
      store_.write(step, "prompts.jsonl", detail::bytes_of(report.prompts_text()));
    }
    world_->barrier();
    if (owns(*actor_)) {
      store_.write(step, file_of("actor", *actor_), actor_->archive());
    }
    if (owns(*reference_)) {
      rlhf::checkpoint::ArchiveWriter weights;
      weights.add("weights", reference_weights());
      store_.write(step, file_of("reference", *reference_), weights.finish());
    }
    if (generator_->rank() == 0) {
      store_.write(step, "sampler.txt",
                   detail::bytes_of(rlhf::data::to_text(generator_->data_state())));
    }
    world_->barrier();
    if (world_->rank() == 0) {
      store_.commit(step, files());
    }
  }

  /// Goes on from the newest complete checkpoint; empty when there is none.
  ///
  /// Errors: invalid_argument for a checkpoint of another layout, seed, settings or data than
  /// `now`.
  [[nodiscard]] std::optional<RunState> load(RunState const& now, Report& report) {
    std::int64_t step = world_->rank() == 0 ? store_.latest().value_or(-1) : 0;
    world_->broadcast(&step, 1, rlhf::DType::i64, 0);
    if (step < 0) {
      return std::nullopt;
    }
    RunState const state = detail::parse_run_state(detail::text_of(store_.read(step, "run.txt")));
    auto const expect_same = [&](std::string_view what, auto const& was, auto const& is) {
      if (was != is) {
        rlhf::fail(rlhf::Errc::invalid_argument,
                   rlhf::text(store_.directory(step), " has ", what, " ", was, ", this run ", is,
                              "; resume with the same, or choose another --out"));
      }
    };
    expect_same("actor layout", std::string_view(state.actor_layout),
                std::string_view(now.actor_layout));
    expect_same("seed", state.seed, now.seed);
    expect_same("settings", std::string_view(state.settings), std::string_view(now.settings));
    if (actor_->present()) {
      std::string const name = file_of("actor", *actor_);
      actor_->restore(store_.read(step, name), name, state.optimizer_steps);
    }
    if (reference_->present()) {
      std::string const name = file_of("reference", *reference_);
      std::vector<std::byte> const bytes = store_.read(step, name);
      rlhf::checkpoint::ArchiveReader(bytes, name).read("weights", reference_weights());
    }
    rlhf::Step const steps{state.steps};
    rlhf::Episode const episodes{state.episodes};
    actor_->resume(steps, episodes);
    reference_->resume(steps, episodes);
    generator_->resume(steps, episodes);
    generator_->restore_data(
        rlhf::data::parse_sampler_state(detail::text_of(store_.read(step, "sampler.txt"))));
    report.restore(detail::text_of(store_.read(step, "metrics.jsonl")),
                   detail::text_of(store_.read(step, "prompts.jsonl")));
    return state;
  }

 private:
  /// One of the ranks that hold the same shard.
  template <class M>
  [[nodiscard]] static bool owns(M const& model) {
    return model.present() && model.coordinate().data == 0;
  }
  template <class M>
  [[nodiscard]] static std::string file_of(std::string_view name, M const& model) {
    return rlhf::text(name, "-tensor-", model.coordinate().tensor);
  }
  /// How many files `save` writes, over all ranks.
  [[nodiscard]] std::int64_t files() const {
    constexpr std::int64_t of_rank_0 = 3;
    constexpr std::int64_t of_the_sampler = 1;
    return of_rank_0 + of_the_sampler + actor_->layout().tensor + reference_->layout().tensor;
  }
  [[nodiscard]] rlhf::TensorView reference_weights() {
    auto& model = reference_->transformer();
    return rlhf::view(model.weights(), rlhf::Shape{model.table().elements()});
  }

  rlhf::checkpoint::Store store_;
  Comm* world_;
  Actor* actor_;
  Reference* reference_;
  Generator* generator_;
};

}  // namespace grpo
