/// @file
/// What all five modules have in common: a transformer spread over the ranks of a mesh, an
/// optimizer where it is trained, and both in checkpoints.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/groups.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "../grpo/adamw.hpp"
#include "../grpo/transformer.hpp"

namespace ppo {

using namespace rlhf::literals;
using grpo::Transformer;
using grpo::TransformerConfig;

/// Where a module's weights come from: nowhere, from another module every episode, or once.
using NoSync = rlhf::sync::None;
using EveryEpisode = rlhf::sync::Reshard<1_MiB>;
using Once = rlhf::sync::Reshard<1_MiB, 0>;

/// Which ranks a module works on, cut how.
struct Place {
  rlhf::Mesh mesh;
  rlhf::Layout layout;
};

template <class Comm, class Sync, class Data = rlhf::data::None>
class Model : public rlhf::Module<rlhf::RuntimeGrid, Sync, Data> {
 public:
  using Base = rlhf::Module<rlhf::RuntimeGrid, Sync, Data>;

  /// Collective over `world`.
  Model(Comm& world, Place const& place, TransformerConfig const& config, std::uint64_t seed)
      : Base(place.mesh, world.rank(), place.layout),
        comm_(rlhf::module_communicator(world, place.mesh)),
        config_(config),
        seed_(seed) {
    if (this->present()) {
      groups_.emplace(rlhf::make_groups(comm_, this->layout()));
    }
  }

  /// Hook: weights exist on the ranks of the mesh only.
  void setup() {
    if (this->present()) {
      transformer_.emplace(config_, groups_->tensor, seed_);
    }
  }
  /// Hook: what weight sync needs to know: names, memory, and how each parameter is cut.
  template <class Visit>
  void parameters(Visit&& visit) {
    transformer_->parameters(visit);
  }

  /// Hooks: weights, and moments where there is an optimizer.
  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, rlhf::Step) {
    rlhf::checkpoint::ArchiveWriter out;
    for_each_buffer([&](char const* buffer, rlhf::TensorView view) { out.add(buffer, view); });
    files.write("state", out.finish());
  }
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, rlhf::Step step) {
    std::vector<std::byte> const bytes = files.read("state");
    rlhf::checkpoint::ArchiveReader const in(bytes, "state");
    for_each_buffer([&](char const* buffer, rlhf::TensorView view) { in.read(buffer, view); });
    if (optimizer_) {
      optimizer_->set_steps(step.value);
    }
  }

  /// Begins training from the weights as they are.
  void start_optimizer() {
    if (this->present()) {
      optimizer_.emplace(transformer_->table().elements());
    }
  }
  /// Ends it: the model is frozen.
  void stop_optimizer() noexcept { optimizer_.reset(); }

  [[nodiscard]] Transformer<Comm>& transformer() { return *transformer_; }
  [[nodiscard]] rlhf::Groups<Comm>& groups() { return *groups_; }

 protected:
  /// The sum of a number over data-parallel ranks.
  [[nodiscard]] double sum_over_data(double term) {
    rlhf::comm::all_reduce(groups_->data, std::span<double>(&term, 1));
    return term;
  }
  /// One step along the gradients of all data-parallel ranks, which saw different rows. Returns
  /// their norm.
  double step_optimizer(float rate) {
    rlhf::comm::all_reduce(groups_->data, transformer_->gradients());
    double const norm =
        global_norm(transformer_->table(), transformer_->gradients(), transformer_->tensor());
    optimizer_->step(transformer_->weights(), transformer_->gradients(), norm, rate);
    transformer_->clear_gradients();
    return norm;
  }

 private:
  template <class Visit>
  void for_each_buffer(Visit&& visit) {
    rlhf::Shape const shape{transformer_->table().elements()};
    visit("weights", rlhf::view(transformer_->weights(), shape));
    if (optimizer_) {
      visit("first moments", rlhf::view(optimizer_->first_moments(), shape));
      visit("second moments", rlhf::view(optimizer_->second_moments(), shape));
    }
  }

  Comm comm_;
  std::optional<rlhf::Groups<Comm>> groups_;
  std::optional<Transformer<Comm>> transformer_;
  std::optional<grpo::AdamW> optimizer_;
  TransformerConfig config_;
  std::uint64_t seed_;
};

}  // namespace ppo
