/// @file
/// Weight sync between two modules: plan once, move many times. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/owners.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/agree.hpp>
#include <rlhf/sync/check.hpp>
#include <rlhf/sync/consent.hpp>
#include <rlhf/sync/describe.hpp>
#include <rlhf/sync/executor.hpp>
#include <rlhf/sync/link_options.hpp>
#include <rlhf/sync/local_side.hpp>
#include <rlhf/sync/own_memory.hpp>
#include <rlhf/sync/residence.hpp>
#include <rlhf/sync/verify.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::sync {

/// The packer that serves a communicator's memory. Specialise for device memory, as
/// `adapters/nccl_packer.cuh` does.
template <class C>
struct PackerFor {
  using type = HostPacker<typename C::Stream>;
};

/// Brings the weights of `Source` into `Destination`, by the destination's SyncPolicy.
///
///     rlhf::sync::Link link(world, actor, generator);   // plans, compares plans over all ranks
///     link.sync(rlhf::Version{1});                       // moves the weights
///
/// Construction, `sync` (or `start` and `finish`), `verify`, `fingerprints` and `replan` are
/// collective over `world`, whose ranks include both meshes.
/// Every parameter of the destination needs a source of that name (after the options' name map), or
/// construction fails; names that only the source lists are left out and named in `plan().unused`.
/// Where the destination lists the same memory under several names (tied weights), the one that the
/// source lists first is brought; other parameters of the destination must not overlap. Types may
/// differ where both are of f32, bf16 and f16: elements are converted. The models must list the
/// same parameters at the same addresses while the link lives; after they have moved their memory,
/// call `rebind` on every rank that did (with `cuda::Packer` on all). Links notice weights that are
/// offloaded, or were, of models that are `runtime::Offloadable` (sync/residence.hpp). Memory of
/// the two modules must not overlap.
///
/// The destination, as a whole, is on a version or on none: `version()` is empty from `start` until
/// all ranks have finished and named the same version, after a verification that failed, and after
/// `rebind`, unless the memory kept its contents. After an error in `sync` a later sync may
/// succeed; where the communicator is lost with a rank, `replan(other world)` goes on with another
/// one.
///
/// Errors: incompatible_policy where a layout pair, name, shape or type does not fit, or the
/// destination's ranks do not hold a whole parameter; rank_mismatch where ranks were given
/// different options, plans or versions; corrupted from a verification; in `sync` what the
/// communicator reports. Thread safety: one caller per object. `world`, `source` and `destination`
/// must outlive it.
template <class Source, class Destination, comm::Communicator C,
          Packer P = typename PackerFor<C>::type>
class Link {
  static_assert(sizeof(CheckPair<Source, Destination>) != 0);
  using Late = rlhf::detail::late<void, C>;  // void, but unknown before C is
  static constexpr bool fits = is_valid_pair<Source, Destination>;

 public:
  using Policy = detail::SyncPolicyOf<Destination>;
  using Stream = typename C::Stream;

  Link(C& world, Source& source, Destination& destination, BasicLinkOptions<Late> options = {},
       P packer = {})
      : world_(&world),
        source_(&source),
        destination_(&destination),
        options_(std::move(options)),
        packer_(std::move(packer)) {
    make(world);
  }
  /// Not copied or moved: what runs a plan refers to it.
  Link(Link&&) = delete;
  Link(Link const&) = delete;
  Link& operator=(Link&&) = delete;
  Link& operator=(Link const&) = delete;
  ~Link() = default;

  /// Moves the source's weights, which are of version `version`, into the destination: `start`,
  /// then `finish`.
  void sync(Version version, Stream stream = {}) {
    start(stream);
    finish(version, stream);
  }
  /// Puts the move into the order of `stream` and returns; on a communicator that runs behind,
  /// before the weights have moved. The destination is on no version until `finish`. Collective.
  /// With CUDA, a graph may capture it; replay the graph, then `finish`. The graph holds addresses
  /// of this link: after `rebind` or `replan` capture again, and destroy the graph before the link.
  /// Replays do not look at anything here: until their `finish` `version()` is the one before, and
  /// whether weights are offloaded is not checked.
  void start(Stream stream = {}) {
    expect_plan();
    generations().expect_bound(bound_, world_->rank());
    begin_ = steady_nanoseconds();
    version_.reset();
    started_ = false;
    executor_->run(stream);
    started_ = true;
  }
  /// Waits until what `stream` has is done, verifies where the options say so, and when all ranks
  /// have come that far says that the destination is on `version`. Call it after `start`, once; on
  /// a communicator that runs behind also after every replay of a graph that captured a `start`.
  /// Errors: of a rank that did not take part in time, with the step that it stopped;
  /// invalid_argument where this plan was not started.
  void finish(Version version, Stream stream = {}) {
    expect_plan();
    expects(started_,
            "weight sync: finish without start; nothing moved since the last finish, or "
            "since this plan was made");
    started_ = comm::RunsBehind<C>;
    version_.reset();  // a replay did not
    executor_->finish(stream);
    std::int64_t const moved = steady_nanoseconds();
    if (options_.verification != Verification::none) {
      verify(options_.verification, stream);
    }
    std::int64_t const verified = steady_nanoseconds();
    commit(*world_, version, stream);
    version_ = version;
    std::int64_t const committed = steady_nanoseconds();
    report_.move_seconds = static_cast<double>(moved - begin_) * 1e-9;
    report_.verify_seconds = static_cast<double>(verified - moved) * 1e-9;
    report_.commit_seconds = static_cast<double>(committed - verified) * 1e-9;
    report_.seconds = static_cast<double>(committed - begin_) * 1e-9;
    report_.bytes = plan_.bytes_moved;
  }

  /// Whether the policy asks for a sync when this many episodes are done (0 before training).
  [[nodiscard]] static constexpr bool due(Episode episodes_done) noexcept {
    if constexpr (fits) {
      return sync::due(Policy::frequency, episodes_done.value);
    } else {
      return false;
    }
  }

  /// Checks that the destination holds what the source holds: by fingerprints, or all bytes.
  /// Collective; where it fails, it fails on every rank, and the destination is on no version. See
  /// sync/verify.hpp.
  void verify(Verification how = Verification::fingerprint, Stream stream = {}) {
    expect_plan();
    generations().expect_bound(bound_, world_->rank());
    auto const before = version_;
    version_.reset();
    if (how == Verification::fingerprint) {
      sync::verify(*world_, plan_, executor_->schedule(), source_side_, destination_side_, packer_,
                   stream);
    } else if (how == Verification::full) {
      compare(*world_, plan_, executor_->schedule(), source_side_, destination_side_, packer_,
              stream);
    }
    version_ = before;
  }

  /// 64 bits for each parameter of one side, in the order of `plan().parameters`, the same on every
  /// rank: the sum over its elements wherever they lie, so that equal weights have equal ones
  /// whatever the layout, in any run. After a sync both sides' are equal. (Where types are
  /// converted, they are of what the destination stores.) Collective.
  /// Cost: each element read on one of the ranks that hold it, one all-reduce of 8 bytes a
  /// parameter; nothing is gathered.
  [[nodiscard]] rlhf::detail::late_vector<std::uint64_t, C> fingerprints(Side side,
                                                                         Stream stream = {}) {
    expect_plan();
    bool const of_source = side == Side::source;
    generations().expect_bound(side, bound_, world_->rank());
    return parameter_fingerprints(*world_, plan_, of_source ? source_owned_ : destination_owned_,
                                  of_source ? source_side_ : destination_side_, packer_, stream);
  }

  /// Takes the models' memory as it is now. Collective where the packer reaches into other ranks'
  /// memory (`cuda::Packer`), else not. The destination is on no version until the next sync,
  /// unless its memory kept its contents (it was offloaded and came back). Errors: invalid_argument
  /// where it is not collective and a parameter that lay in one run, and is broadcast from there,
  /// no longer does; after an error syncs are refused until a later `rebind` or `replan`.
  void rebind(Contents contents = Contents::lost) {
    if (contents == Contents::lost) {
      version_.reset();
    }
    expect_plan();
    if constexpr (fits) {
      Generations const now = generations();  // a side that is away is bound when it is back
      if (now.source != 0 && source_->mesh().rank_of(world_->rank()) >= 0) {
        source_side_.rebind(renamed(local_parameters(*source_, world_->rank())));
      }
      if (now.destination != 0 && destination_->mesh().rank_of(world_->rank()) >= 0) {
        auto to = without_ties(taken(local_parameters(*destination_, world_->rank())),
                               [&, this] { return destination_side_.names(); });
        check_own_memory(to);
        destination_side_.rebind(std::move(to));
      }
      executor_->bind(source_side_, destination_side_);
      bound_.take(now);
    }
  }

  /// Plans anew, for models whose shards or parameters have changed (another table of experts): the
  /// communicator stays. Collective. The destination is on no version until the next sync; an error
  /// before all ranks agree on the new plan leaves the old one in place.
  void replan() { replan(*world_); }
  /// The same on another communicator, such as one made after a rank was lost, with the ranks that
  /// both models' meshes name now. The old communicator may go when this returns; after an error
  /// the link is still on the old one, with its plan or with none.
  void replan(C& world) {
    version_.reset();
    make(world);
  }

  /// The version this rank's destination weights are from; empty before the first sync and after a
  /// failed one.
  [[nodiscard]] std::optional<Version> version() const noexcept { return version_; }
  [[nodiscard]] plan::BasicPlan<Late> const& plan() const noexcept { return plan_; }
  [[nodiscard]] SyncReport report() const noexcept { return report_; }
  /// Bytes of staging memory that this rank owns.
  [[nodiscard]] std::int64_t staging_bytes() const noexcept {
    return executor_ ? executor_->staging_bytes() : 0;
  }

 private:
  /// A `replan` that failed late, without memory for staging, leaves no plan to run.
  void expect_plan() const {
    expects(executor_.has_value(), "this link has no plan, because replan failed; call it again");
  }

  [[nodiscard]] Generations generations() const { return generations(*world_); }
  [[nodiscard]] Generations generations(C const& world) const {
    if constexpr (fits) {
      return Generations::of(*source_, *destination_, world.rank());
    } else {
      return {};
    }
  }

  /// Plans over `world`. Until all ranks agree nothing changes; the link is of `world` when it
  /// ends.
  void make(C& world) {
    if constexpr (fits) {
      generations(world).expect_present(world.rank());
      BasicLocalParameters<Late> from = parameters_of(*source_, world);
      BasicLocalParameters<Late> to = taken(parameters_of(*destination_, world));
      check_apart(from, to);
      auto given = plan::placement_of(
          gather_description(world, source_->mesh(), source_->layout(), from.description),
          "source");
      to = without_ties(std::move(to), [&, this] {  // the first that has a source
        rlhf::detail::late_vector<std::string, Late> names;
        for (auto const& parameter : given.parameters) {
          names.push_back(options_.names(parameter.name));
        }
        return names;
      });
      check_own_memory(to);
      auto const needed = plan::placement_of(
          gather_description(world, destination_->mesh(), destination_->layout(), to.description),
          "destination");
      auto const asked = consent_of(source_->layout(), source_->mesh(), destination_->layout(),
                                    destination_->mesh(), given, needed, options_);
      plan::rename(given, options_.names);
      agree(world, asked);
      check_wanted(needed);
      plan::Options chosen{Policy::route, Policy::source_choice};
      chosen.slots = slots(world);
      chosen.bucket_bytes = options_.bucket_bytes(Policy::bucket_bytes, chosen.slots);
      auto made = plan::build(given, needed, chosen, options_.topology);
      from = renamed(std::move(from));
      agree(world, made);
      executor_.reset();
      started_ = false;
      plan_ = std::move(made);
      source_owned_ = plan::owned_pieces(plan_, given, world.rank());
      destination_owned_ = plan::owned_pieces(plan_, needed, world.rank());
      source_side_ = LocalSide<Late>(plan_, std::move(from));
      destination_side_ = LocalSide<Late>(plan_, std::move(to));
      executor_.emplace(world, plan_, source_side_, destination_side_, packer_);
      bound_ = generations(world);
    }
    world_ = &world;
  }

  /// Buckets that a rank stages: two that travel and two that are packed or unpacked meanwhile, for
  /// what it sends and for what it receives. Half of these where no rank does both.
  [[nodiscard]] int slots(C const& world) const {
    bool both =
        Policy::route == plan::Route::two_stage || Policy::route == plan::Route::hierarchical;
    for (int rank = 0; rank < world.size() && !both; ++rank) {
      both = source_->mesh().rank_of(rank) >= 0 && destination_->mesh().rank_of(rank) >= 0;
    }
    return both ? 4 : 2;
  }

  [[nodiscard]] BasicLocalParameters<Late> renamed(BasicLocalParameters<Late> parameters) const {
    for (plan::HeldParameter& held : parameters.description.parameters) {
      held.name = options_.names(held.name);
    }
    return parameters;
  }
  /// Only the parameters that take part.
  [[nodiscard]] BasicLocalParameters<Late> taken(BasicLocalParameters<Late> parameters) const {
    BasicLocalParameters<Late> out;
    out.description.world_rank = parameters.description.world_rank;
    for (std::size_t i = 0; i < parameters.views.size(); ++i) {
      if (options_.takes(parameters.description.parameters[i].name)) {
        out.views.push_back(parameters.views[i]);
        out.description.parameters.push_back(std::move(parameters.description.parameters[i]));
      }
    }
    return out;
  }

  /// Errors: incompatible_policy where options ask for what is not there, or parameters have gaps.
  void check_wanted(plan::BasicPlacement<Late> const& needed) const {
    if (needed.parameters.empty() && !options_.takes_all()) {
      fail(Errc::incompatible_policy,
           "weight sync: no parameter of the destination fits `only` and `wanted`");
    }
    for (std::string const& glob : options_.only) {
      bool found = false;
      for (auto const& parameter : needed.parameters) {
        found = found || plan::matches_glob(parameter.name, glob);
      }
      if (!found) {
        fail(Errc::incompatible_policy, text("weight sync: `only` asks for ", glob,
                                             ", which no parameter of the destination ", "fits"));
      }
    }
    if (options_.extent == Extent::whole) {
      plan::expect_whole(needed, "destination");
    }
  }

  template <class M>
  [[nodiscard]] BasicLocalParameters<Late> parameters_of(M& model, C const& world) {
    if (model.mesh().rank_of(world.rank()) >= 0) {
      return local_parameters(model, world.rank());
    }
    BasicLocalParameters<Late> none;
    none.description.world_rank = world.rank();
    return none;
  }

  C* world_;
  Source* source_;
  Destination* destination_;
  BasicLinkOptions<Late> options_;
  P packer_;
  plan::BasicPlan<Late> plan_;
  LocalSide<Late> source_side_;
  LocalSide<Late> destination_side_;
  rlhf::detail::late_vector<plan::Piece, Late> source_owned_;
  rlhf::detail::late_vector<plan::Piece, Late> destination_owned_;
  std::optional<Executor<C, P, Late>> executor_;
  std::optional<Version> version_;
  Generations bound_;
  SyncReport report_;
  std::int64_t begin_ = 0;
  bool started_ = false;  ///< There is something for `finish` to end.
};

}  // namespace rlhf::inline v0::sync
