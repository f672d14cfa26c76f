/// @file
/// The base of user models: three policies compiled into a type. Layer: module.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/data/sampler.hpp>
#include <rlhf/module/check.hpp>
#include <rlhf/module/detail/storage.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/sync/policies.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0 {
namespace module_detail {

/// The working implementation, and one that accepts everything when a policy is wrong, so that the
/// assertion is the only error: its members are declared and never defined.
template <class Parallel, class Sync, class Data, bool Valid>
class Implementation {
 public:
  static constexpr bool has_static_layout = false;
  static constexpr bool draws_prompts = false;
  template <class... Anything>
  constexpr explicit Implementation(Anything&&...) noexcept {}
  [[nodiscard]] Mesh const& mesh() const noexcept;
  [[nodiscard]] Layout layout() const noexcept;
  [[nodiscard]] int rank() const noexcept;
  [[nodiscard]] bool present() const noexcept;
  [[nodiscard]] Coordinate coordinate() const noexcept;
  [[nodiscard]] Step step() const noexcept;
  [[nodiscard]] Episode episode() const noexcept;
  void resume(Step, Episode) noexcept;
  void advance_step() noexcept;
  void advance_episode() noexcept;
  void open_data(data::SamplerOptions);
  std::int64_t draw(std::vector<data::Draw>&);
  std::int64_t draw(std::vector<data::Draw>&, int, int);
  [[nodiscard]] data::SamplerState data_state() const;
  void restore_data(data::SamplerState const&, data::AcceptedChanges const& = {});
};

template <class Parallel, class Sync, class Data>
class Implementation<Parallel, Sync, Data, true> : LayoutStorage<Parallel>, DataStorage<Data> {
 public:
  static constexpr bool has_static_layout = parallel::HasStaticLayout<Parallel>;
  static constexpr bool draws_prompts = !data::DrawsNothing<Data>;

  /// On every rank of the world, with the layout of the policy.
  ///
  /// Errors: incompatible_policy where the layout does not fit the mesh.
  Implementation(Mesh mesh, int world_rank) requires has_static_layout
      : Implementation(std::move(mesh), world_rank, Parallel::layout, Fitted{}) {}

  /// The same with a layout known at run time.
  Implementation(Mesh mesh, int world_rank, Layout layout) requires(!has_static_layout)
      : Implementation(std::move(mesh), world_rank, layout, Fitted{}) {}

  [[nodiscard]] Mesh const& mesh() const noexcept { return mesh_; }
  [[nodiscard]] constexpr Layout layout() const noexcept {
    return LayoutStorage<Parallel>::layout(mesh_.size());
  }
  /// This rank's place in the module, -1 where the mesh leaves it out.
  [[nodiscard]] int rank() const noexcept { return rank_; }
  /// Whether this rank holds a part of the model. An object exists on the other ranks too, as their
  /// handle in collective calls; it should own no weights there.
  [[nodiscard]] bool present() const noexcept { return rank_ >= 0; }
  /// Where this rank stands on every axis. Requires present().
  [[nodiscard]] Coordinate coordinate() const noexcept { return layout().coordinate(rank_); }

  /// Calls of train_step so far.
  [[nodiscard]] Step step() const noexcept { return step_; }
  /// Episodes completed.
  [[nodiscard]] Episode episode() const noexcept { return episode_; }
  /// Sets both, after a checkpoint was loaded.
  void resume(Step step, Episode episode) noexcept {
    step_ = step;
    episode_ = episode;
  }
  void advance_step() noexcept { ++step_; }
  void advance_episode() noexcept { ++episode_; }

  /// Starts drawing prompts, from `options.consumed` on.
  ///
  /// Errors: invalid_argument where the options do not fit the data policy. Call it on every rank,
  /// with equal options.
  void open_data(data::SamplerOptions options) requires draws_prompts {
    this->sampler_.emplace(data::make_sampler<Data>(std::move(options)));
  }
  /// This rank's share of the next episode's prompts: that of its data index. The ranks of one
  /// replica get the same share, ranks outside of the mesh none. Every rank that calls it moves on.
  /// Requires open_data. Returns the samples of the episode, all shares together.
  std::int64_t draw(std::vector<data::Draw>& out) requires draws_prompts {
    return draw(out, present() ? coordinate().data : 0, layout().data);
  }
  /// The same where prompts are dealt otherwise than by the data index: share `share` of `shares`.
  std::int64_t draw(std::vector<data::Draw>& out, int share, int shares) requires draws_prompts {
    std::int64_t const samples = opened().next(share, shares, out);
    if (!present()) {
      out.clear();
    }
    return samples;
  }
  [[nodiscard]] data::SamplerState data_state() const requires draws_prompts {
    expects(this->sampler_.has_value(), "open_data must be called before the data state is taken");
    return this->sampler_->state();
  }
  /// Goes on where the state was taken; refuses a state of other data unless `accepted` allows it.
  void restore_data(data::SamplerState const& state,
                    data::AcceptedChanges const& accepted = {}) requires draws_prompts {
    opened().restore(state, accepted);
  }

 private:
  struct Fitted {};

  Implementation(Mesh mesh, int world_rank, Layout layout, Fitted)
      : LayoutStorage<Parallel>(layout.on_ranks(mesh.size())),
        mesh_(std::move(mesh)),
        rank_(mesh_.rank_of(world_rank)) {}

  [[nodiscard]] auto& opened() requires draws_prompts {
    expects(this->sampler_.has_value(), "open_data must be called before prompts are drawn");
    return *this->sampler_;
  }

  Mesh mesh_;
  Step step_{};
  Episode episode_{};
  int rank_ = -1;
};

}  // namespace module_detail

/// Base of a model of the RLHF loop: how it is spread over ranks, how weights reach it, which
/// prompts it draws, compiled into its type.
///
///     using Serve = rlhf::Grid<rlhf::Layout{.tensor = 4}>;
///     using Sync = rlhf::sync::TwoStage<64_MiB>;
///     using Data = rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>;
///     struct Generator : rlhf::Module<Serve, Sync, Data> {
///       using Module::Module;
///       template <class Visit> void parameters(Visit&& visit);       // see sync/concepts.hpp
///       Rollout forward_step(Batch const& batch, rlhf::Step step);   // hooks: module/hooks.hpp
///     };
///
/// No virtual functions, no allocation beyond the mesh and the sampler; a policy that is a constant
/// takes no space. Wrong policies are refused by the compiler with one sentence each.
/// Thread safety: one caller per object, one object per rank.
template <class Parallel, class Sync = sync::None, class Data = data::None>
class Module : public module_detail::Implementation<Parallel, Sync, Data,
                                                    is_valid_module<Parallel, Sync, Data>> {
 public:
  using ParallelPolicy = Parallel;
  using SyncPolicy = Sync;
  using DataPolicy = Data;

  static_assert(sizeof(CheckModule<Parallel, Sync, Data>) != 0);

  using module_detail::Implementation<Parallel, Sync, Data,
                                      is_valid_module<Parallel, Sync, Data>>::Implementation;
};

}  // namespace rlhf::inline v0
