/// @file
/// The policy that is trained, and the frozen reference it must not drift from.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/groups.hpp>
#include <rlhf/sync/policies.hpp>

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "adamw.hpp"
#include "batch.hpp"
#include "transformer.hpp"

namespace grpo {

using namespace rlhf::literals;

/// How weights reach the generator and the reference.
using WeightSync = rlhf::sync::TwoStage<1_MiB>;

/// What a training step tells, summed over this rank's micro-batches.
struct StepMetrics {
  double loss = 0;
  double kl = 0;       ///< Sum over tokens of the estimated divergence from the reference.
  double clipped = 0;  ///< Tokens whose ratio was clipped.
  double tokens = 0;
  double gradient_norm = 0;

  StepMetrics& operator+=(StepMetrics const& other) noexcept {
    loss += other.loss;
    kl += other.kl;
    clipped += other.clipped;
    tokens += other.tokens;
    gradient_norm += other.gradient_norm;
    return *this;
  }
};

/// What both have in common: a transformer spread over the ranks of a mesh.
template <class Comm, class Grid, class Data = rlhf::data::None>
class Model : public rlhf::Module<Grid, WeightSync, Data> {
 public:
  using Base = rlhf::Module<Grid, WeightSync, Data>;

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
class Actor : public Model<Comm, Grid> {
 public:
  static constexpr std::string_view name = "actor";
  using Batch = grpo::Batch;
  using Model<Comm, Grid>::Model;

  void setup() {
    Model<Comm, Grid>::setup();
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
    for (Batch const& batch : micro_batches) {
      if (batch.tokens.scored() > 0) {
        metrics.loss += accumulate(model, batch, metrics);
      }
    }
    // Data-parallel ranks saw different answers: their gradients add up. Weights already divide by
    // the tokens of all ranks.
    rlhf::comm::all_reduce(this->groups().data, model.gradients());
    metrics.gradient_norm = global_norm(model.table(), model.gradients(), model.tensor());
    optimizer_->step(model.weights(), model.gradients(), metrics.gradient_norm, learning_rate_);
    return metrics;
  }

  /// Weights and optimizer as one archive. Ranks that differ only in the data axis hold the same.
  [[nodiscard]] std::vector<std::byte> archive() {
    rlhf::checkpoint::ArchiveWriter out;
    for_each_buffer([&](char const* buffer, rlhf::TensorView view) { out.add(buffer, view); });
    return out.finish();
  }
  void restore(std::span<std::byte const> bytes, std::string_view origin, std::int64_t steps) {
    rlhf::checkpoint::ArchiveReader const in(bytes, origin);
    for_each_buffer([&](char const* buffer, rlhf::TensorView view) { in.read(buffer, view); });
    optimizer_->set_steps(steps);
  }
  [[nodiscard]] std::int64_t optimizer_steps() const noexcept { return optimizer_->steps(); }

 private:
  double accumulate(Transformer<Comm>& model, Batch const& batch, StepMetrics& metrics) const {
    return model.accumulate_gradients(batch.tokens, [&](Index j, float log_probability) {
      if (batch.terms.empty()) {
        return cross_entropy(log_probability, batch.weight);
      }
      PolicyLoss const loss =
          policy_loss(log_probability, batch.terms[static_cast<std::size_t>(j)], loss_);
      metrics.kl += static_cast<double>(loss.kl);
      metrics.clipped += loss.clipped ? 1 : 0;
      metrics.tokens += 1;
      return TokenLoss{loss.loss * batch.weight, loss.slope * batch.weight};
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
class Reference : public Model<Comm, Grid> {
 public:
  static constexpr std::string_view name = "reference";
  using Batch = grpo::Batch;
  using Model<Comm, Grid>::Model;

  /// Hook: the log-probability of every scored token.
  [[nodiscard]] std::vector<float> forward_step(Batch const& batch, rlhf::Step) {
    return this->transformer().log_probabilities(batch.tokens);
  }
};

}  // namespace grpo
