/// @file
/// The policy that is trained, and the frozen reference it must not drift from.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/model_files.hpp>
#include <rlhf/engine/inputs.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/groups.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "adamw.hpp"
#include "batch.hpp"
#include "transformer.hpp"

namespace grpo {

using namespace rlhf::literals;

/// How weights reach the generator, behind every episode, and the reference, once.
using WeightSync = rlhf::sync::TwoStage<1_MiB>;
using Once = rlhf::sync::TwoStage<1_MiB, 0>;

/// What a training step tells, summed over this rank's micro-batches.
struct StepMetrics {
  double loss = 0;
  double kl = 0;       ///< Sum over tokens of the estimated divergence from the reference.
  double clipped = 0;  ///< Tokens whose ratio was clipped.
  double tokens = 0;
  double gradient_norm = 0;

  /// The engine joins them over steps and ranks.
  template <class Visit>
  void metrics(Visit&& visit) const {
    visit("kl", tokens > 0 ? kl / tokens : 0, tokens);
    visit("clipped", tokens > 0 ? clipped / tokens : 0, tokens);
    visit("gradient_norm", gradient_norm);
  }
};

/// What both have in common: a transformer spread over the ranks of a mesh.
template <class Comm, class Grid, class Data = rlhf::data::None, class Sync = WeightSync>
class Model : public rlhf::Module<Grid, Sync, Data> {
 public:
  using Base = rlhf::Module<Grid, Sync, Data>;

  /// Collective over `world`. `layout` is empty for grids known to the compiler.
  template <class... Layout>
  Model(Comm& world, rlhf::Mesh const& mesh, TransformerConfig const& config, std::uint64_t seed,
        Layout... layout)
      : Base(mesh, world.rank(), layout...),
        comm_(rlhf::module_communicator(world, mesh)),
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

  /// What weight sync needs to know: names, memory, and how each parameter is cut.
  template <class Visit>
  void parameters(Visit&& visit) {
    transformer_->parameters(visit);
  }

  [[nodiscard]] Transformer<Comm>& transformer() { return *transformer_; }
  [[nodiscard]] rlhf::Groups<Comm>& groups() { return *groups_; }

 private:
  Comm comm_;
  std::optional<rlhf::Groups<Comm>> groups_;
  std::optional<Transformer<Comm>> transformer_;
  TransformerConfig config_;
  std::uint64_t seed_;
};

/// Trains.
template <class Comm, class Grid>
class Actor : public Model<Comm, Grid, rlhf::data::None, rlhf::sync::None> {
 public:
  static constexpr std::string_view name = "actor";
  using Batch = grpo::Batch;
  using TrainInputs = rlhf::Inputs<Prompts, Groups, Scores, ReferenceScores>;
  using Base = Model<Comm, Grid, rlhf::data::None, rlhf::sync::None>;
  using Base::Base;

  void setup() {
    Base::setup();
    if (this->present()) {
      reset_optimizer();
    }
  }
  void reset_optimizer() { optimizer_.emplace(this->transformer().table().elements()); }
  void set_learning_rate(float rate) noexcept { learning_rate_ = rate; }
  void set_loss(PolicyLossOptions options) noexcept { loss_ = options; }

  /// Hook: one step of the optimizer over this rank's micro-batches.
  StepMetrics train_step(std::span<Batch const> micro_batches, rlhf::Step) {
    Transformer<Comm>& model = this->transformer();
    StepMetrics metrics;
    model.clear_gradients();
    std::int64_t scored[] = {0};  // over all data ranks: a token's weight is one over it
    for (Batch const& batch : micro_batches) {
      scored[0] += batch.tokens.scored();
    }
    rlhf::comm::all_reduce(this->groups().data, std::span<std::int64_t>(scored));
    float const weight = scored[0] > 0 ? 1.0F / static_cast<float>(scored[0]) : 0.0F;
    for (Batch const& batch : micro_batches) {
      if (batch.tokens.scored() > 0) {
        metrics.loss += accumulate(model, batch, weight, metrics);
      }
    }
    // Data-parallel ranks saw different answers: their gradients add up.
    rlhf::comm::all_reduce(this->groups().data, model.gradients());
    metrics.gradient_norm = global_norm(model.table(), model.gradients(), model.tensor());
    optimizer_->step(model.weights(), model.gradients(), metrics.gradient_norm, learning_rate_);
    return metrics;
  }

  /// Hooks: weights and optimizer. Ranks that differ only in the data axis hold the same; the first
  /// of them writes.
  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, rlhf::Step) {
    if (this->coordinate().data != 0) {
      return;
    }
    rlhf::checkpoint::ArchiveWriter out;
    for_each_buffer([&](char const* buffer, rlhf::TensorView view) { out.add(buffer, view); });
    std::int64_t steps[] = {optimizer_->steps()};
    out.add("optimizer steps", rlhf::view(std::span<std::int64_t>(steps), {1}));
    files.write("state", out.finish());
  }
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, rlhf::Step) {
    rlhf::Coordinate writer = this->coordinate();
    writer.data = 0;
    std::vector<std::byte> const bytes =
        files.read("state", this->mesh().world_rank(this->layout().rank(writer)));
    rlhf::checkpoint::ArchiveReader const in(bytes, "the actor's state");
    for_each_buffer([&](char const* buffer, rlhf::TensorView view) { in.read(buffer, view); });
    std::int64_t steps[] = {0};
    in.read("optimizer steps", rlhf::view(std::span<std::int64_t>(steps), {1}));
    optimizer_->set_steps(steps[0]);
  }

 private:
  double accumulate(Transformer<Comm>& model, Batch const& batch, float weight,
                    StepMetrics& metrics) const {
    return model.accumulate_gradients(batch.tokens, [&](Index j, float log_probability) {
      if (batch.terms.empty()) {
        return cross_entropy(log_probability, weight);
      }
      PolicyLoss const loss =
          policy_loss(log_probability, batch.terms[static_cast<std::size_t>(j)], loss_);
      metrics.kl += static_cast<double>(loss.kl);
      metrics.clipped += loss.clipped ? 1 : 0;
      metrics.tokens += 1;
      return TokenLoss{loss.loss * weight, loss.slope * weight};
    });
  }
  template <class Visit>
  void for_each_buffer(Visit&& visit) {
    rlhf::Shape const shape{this->transformer().table().elements()};
    visit("weights", rlhf::view(this->transformer().weights(), shape));
    visit("first moments", rlhf::view(optimizer_->first_moments(), shape));
    visit("second moments", rlhf::view(optimizer_->second_moments(), shape));
  }

  std::optional<AdamW> optimizer_;
  PolicyLossOptions loss_{};
  float learning_rate_ = 1e-3F;
};

/// Scores what the generator wrote under the policy as it was before reinforcement learning.
template <class Comm, class Grid>
class Reference : public Model<Comm, Grid, rlhf::data::None, Once> {
 public:
  static constexpr std::string_view name = "reference";
  using Batch = grpo::Batch;
  using Inputs = rlhf::Inputs<Prompts, Groups, Scores>;
  using Model<Comm, Grid, rlhf::data::None, Once>::Model;

  /// Hook: the log-probability of every scored token.
  [[nodiscard]] ReferenceScores forward_step(Batch const& batch, rlhf::Step) {
    std::vector<float> const found = batch.tokens.scored() > 0
                                         ? this->transformer().log_probabilities(batch.tokens)
                                         : std::vector<float>();
    ReferenceScores out;
    for (std::size_t row = 0; row + 1 < batch.begins.size(); ++row) {
      out.log_probabilities.push_back(
          std::span(found).subspan(batch.begins[row], batch.begins[row + 1] - batch.begins[row]));
    }
    return out;
  }
  /// Hooks: it is synced once, so its weights belong to a checkpoint.
  void save_checkpoint(rlhf::checkpoint::FilesToSave& files, rlhf::Step) {
    rlhf::checkpoint::ArchiveWriter out;
    out.add("weights", weights());
    files.write("state", out.finish());
  }
  void load_checkpoint(rlhf::checkpoint::FilesToLoad const& files, rlhf::Step) {
    std::vector<std::byte> const bytes = files.read("state");
    rlhf::checkpoint::ArchiveReader(bytes, "the reference's state").read("weights", weights());
  }

 private:
  [[nodiscard]] rlhf::TensorView weights() {
    auto& model = this->transformer();
    return rlhf::view(model.weights(), rlhf::Shape{model.table().elements()});
  }
};

}  // namespace grpo
