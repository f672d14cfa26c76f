/// @file
/// Carries out a plan: pack, transfer, unpack, over slots. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/delivery.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/detail/broadcast_groups.hpp>
#include <rlhf/sync/detail/couriers.hpp>
#include <rlhf/sync/detail/step_maker.hpp>
#include <rlhf/sync/detail/steps.hpp>
#include <rlhf/sync/local_side.hpp>
#include <rlhf/sync/slots.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::sync {

/// This rank's part of a plan, prepared once and run at every sync.
///
/// A bucket that is one contiguous box moves straight from and into the parameters; others, and
/// those whose elements change type here, pass through staging memory, unless the communicator can
/// move regions as they lie (`comm::MovesRegions`). Broadcasts whose pieces lie in one run on all
/// ranks move from parameter to parameter in groups, where the communicator makes those one launch
/// (`comm::GroupsBroadcasts`). Where it is faster between memory of its own making
/// (`comm::RegistersMemory`) all but broadcasts are staged, in such memory.
///
/// Transfers run step by step; the slots of a step are used again two steps later (sync/slots.hpp),
/// so that packing the next step overlaps this one's transfers where the packer has lanes, and a
/// rank stages at most `slots x bucket_bytes`. What a rank passes on leaves it in the step after
/// the one that brought it. `run` allocates nothing and asks the communicator for exactly the
/// transfers of the plan. Thread safety: one caller per executor. `world` and `plan` must outlive
/// it.
template <comm::Communicator C, Packer P, class T = void>
class Executor {
 public:
  using Stream = typename C::Stream;

  static constexpr bool moves_regions = detail::Abilities<C, P>::moves_regions;
  static constexpr bool in_place_broadcasts = detail::Abilities<C, P>::in_place_broadcasts;
  /// Whether `bind` is collective.
  static constexpr bool binds_together = comm::HasCourier<P, C>;

  /// Collective over `world`: makes the communicators of broadcast flows.
  Executor(C& world, plan::BasicPlan<T> const& plan, LocalSide<T> const& source,
           LocalSide<T> const& destination, P packer = {})
      : world_(&world),
        plan_(&plan),
        schedule_(plan::schedule(plan, world.rank())),
        packer_(std::move(packer)),
        courier_(world, packer_, destination.views()),
        groups_(world, plan,
                [this](plan::Path const& path, int from) { return flies(path, from); }) {
    if constexpr (!binds_together) {
      agree_in_place(source, destination);
    }
    bind(source, destination);
  }

  /// Takes the memory of both sides as it is now. Collective where the packer has a courier;
  /// elsewhere what is broadcast where it lies was agreed on when this was made. After an error
  /// `run` refuses until a later `bind` succeeds.
  ///
  /// Errors: invalid_argument where such a piece no longer lies in one run; what memory costs.
  void bind(LocalSide<T> const& source, LocalSide<T> const& destination) {
    bound_ = false;
    if constexpr (binds_together) {
      agree_in_place(source, destination);
    }
    made_ = {};
    made_ = detail::StepMaker<C, P, T>(*world_, *plan_, schedule_, packer_, groups_, source,
                                       destination)
                .make([this](plan::Path const& path, int from) { return flies(path, from); });
    if (made_.staging_bytes() != staging_bytes_) {
      staging_ = {};  // before the new one, so that a rank never holds both
      staging_bytes_ = 0;
      allocate_staging(made_.staging_bytes());
    }
    made_.place_at(staging_.data());
    rlhf::detail::late_vector<Region, T> from;
    rlhf::detail::late_vector<Region, T> to;
    for (std::size_t c = 0; !courier_.has_copies() && c < schedule_.copies.size(); ++c) {
      plan::LocalCopy const& copy = schedule_.copies[c];
      from.push_back(source.region(*plan_, copy.piece));
      to.push_back(destination.region(*plan_, copy.piece));
    }
    copies_ = paired({from.data(), from.size()}, {to.data(), to.size()});
    copies_here_ = !from.empty();
    slots_.prepare(packer_, made_.steps.size(), plan_->slots >= 4);
    // Last: it is where ranks meet, and allocations may wait for kernels of ranks that went on.
    courier_.bind(*plan_, schedule_, world_->rank(), source, destination);
    bound_ = true;
  }

  /// Moves everything once. Collective over the ranks of the plan.
  ///
  /// Errors: what the communicator reports, with the step, its first bucket and that bucket's first
  /// parameter; the destination is then neither old nor new.
  void run(Stream stream = {}) {
    expects(bound_,
            "this link took up its models' memory only in part: call rebind() again, or "
            "replan() on every rank");
    courier_.start(stream);
    if (made_.steps.empty() && !copies_here_) {
      courier_.join(stream);
      return;
    }
    slots_.begin(packer_, stream);
    packer_.copy(copies_, slots_.to_copy(packer_, stream));
    for (std::size_t s = 0; s < made_.steps.size(); ++s) {
      try {
        run_step(made_.steps[s], stream);
      } catch (Error const& error) {
        throw Error(error.code(), text(describe(s), ": ", error.message()), error.rank(),
                    error.native_code(), error.location());
      }
    }
    slots_.end(packer_, stream);
    courier_.join(stream);
  }

  /// Returns when what the last run put into `stream` is done. Errors: as of `run`.
  void finish([[maybe_unused]] Stream stream = {}) {
    if constexpr (comm::RunsBehind<C>) {
      try {
        world_->wait(stream);
      } catch (Error const& error) {
        std::size_t const step = slots_.unfinished(packer_);
        throw Error(error.code(),
                    step < made_.steps.size() ? text(describe(step), ": ", error.message())
                                              : text("weight sync: ", error.message()),
                    error.rank(), error.native_code(), error.location());
      }
    }
    courier_.check_run(*plan_, schedule_);
  }

  [[nodiscard]] plan::BasicSchedule<T> const& schedule() const noexcept { return schedule_; }
  /// Bytes of staging memory that this rank owns.
  [[nodiscard]] std::int64_t staging_bytes() const noexcept { return staging_bytes_; }
  /// Steps that `run` takes on this rank.
  [[nodiscard]] std::int64_t steps() const noexcept { return std::ssize(made_.steps); }

 private:
  /// What `allocate` gives, unless the communicator has better for its transfers.
  using Plain = typename detail::Abilities<C, P>::Plain;
  template <class Memory>
  struct StagingOf {
    using type = Memory;
  };
  template <class Memory>
    requires comm::RegistersMemory<C, Memory>
  struct StagingOf<Memory> {
    using type = typename C::template Registered<Memory>;
  };
  using Staging = typename StagingOf<Plain>::type;

  void allocate_staging(std::int64_t bytes) {
    bool made = false;
    if constexpr (comm::RegistersMemory<C, Plain>) {
      if (world_->registers()) {
        staging_ = world_->registered(bytes);
        made = true;
      }
    }
    if (!made) {
      staging_ = Staging(packer_.allocate(bytes));
    }
    staging_bytes_ = bytes;
  }

  /// Packers that can are told how much moves beside the copies.
  [[nodiscard]] typename P::Pairs paired(std::span<Region const> from, std::span<Region const> to) {
    if constexpr (requires { packer_.pair(from, to, std::int64_t{}); }) {
      std::int64_t sent = 0;
      std::int64_t received = 0;
      for (plan::Bucket const& bucket : schedule_.buckets) {
        plan::Flow const& flow = flow_of(bucket);
        plan::Path const& path = plan_->paths[static_cast<std::size_t>(flow.path)];
        bool const once = path.method == plan::Method::broadcast;
        if (flow.source == world_->rank()) {
          sent += bucket.bytes * (once ? 1 : std::ssize(path.receivers));
        } else {
          received += bucket.bytes;
        }
      }
      return packer_.pair(from, to, sent < received ? received : sent);
    } else {
      return packer_.pair(from, to);
    }
  }
  [[nodiscard]] plan::Flow const& flow_of(plan::Bucket const& bucket) const {
    return schedule_.flows[static_cast<std::size_t>(bucket.flow)];
  }
  /// Whether a courier takes what a source sends by a path: the same on every rank.
  [[nodiscard]] bool flies(plan::Path const& path, int source) const {
    return courier_.takes(source, {path.destinations.data(), path.destinations.size()});
  }

  void agree_in_place([[maybe_unused]] LocalSide<T> const& source,
                      [[maybe_unused]] LocalSide<T> const& destination) {
    if constexpr (in_place_broadcasts) {
      groups_.agree(*world_, [&, this](int from, std::int32_t path) {
        return lies_flat(from, path, source, destination);
      });
    }
  }
  /// Whether all that this rank has of a broadcast flow lies in one run a piece.
  [[nodiscard]] bool lies_flat(int from, std::int32_t number, LocalSide<T> const& source,
                               LocalSide<T> const& destination) const {
    plan::Path const& path = plan_->paths[static_cast<std::size_t>(number)];
    int const me = world_->rank();
    LocalSide<T> const& side = from == me ? source : destination;
    if (!path.forwards.empty()) {
      return false;
    }
    for (plan::Bucket const& bucket : schedule_.buckets) {
      plan::Flow const& flow = flow_of(bucket);
      if (flow.source != from || flow.path != number) {
        continue;
      }
      for (plan::Piece const& piece : bucket.pieces) {
        Region const region = side.region(*plan_, piece);
        if (!region.contiguous() || region.converts()) {
          return false;
        }
      }
    }
    return true;
  }

  void run_step(detail::Step<T> const& step, Stream stream) {
    Generation const generation = slots_.open();
    if (!step.packs.empty()) {
      Stream const lane = slots_.to_pack(packer_, stream);
      for (detail::Packing const& packing : step.packs) {
        packer_.pack(made_.tables[packing.table], packing.data, lane);
      }
    }
    slots_.to_transfer(packer_, !step.packs.empty(), step.passes_on, stream);
    for (detail::Transfer const& transfer : step.broadcasts) {
      plan::Flow const& flow = schedule_.flows[static_cast<std::size_t>(transfer.peer)];
      C& group = groups_.of(flow, *world_);
      int const root = groups_.root_of(flow);
      if (transfer.place.group < 0) {
        group.broadcast(transfer.data, transfer.bytes, DType::u8, root, stream);
        continue;
      }
      comm::grouped(
          group,
          [&, this] {
            for (detail::Lying const& one :
                 made_.lying[static_cast<std::size_t>(transfer.place.group)]) {
              group.broadcast(one.data, one.bytes, DType::u8, root, stream);
            }
          },
          stream);
    }
    if (!step.sends.empty() || !step.recvs.empty()) {
      comm::grouped(
          *world_,
          [&, this] {
            for (detail::Transfer const& transfer : step.sends) {
              if (transfer.place.table < 0) {
                world_->send(transfer.data, transfer.bytes, DType::u8, transfer.peer, stream);
              } else if constexpr (moves_regions) {
                world_->send_regions(table(transfer), transfer.bytes, transfer.peer, stream);
              }
            }
            for (detail::Transfer const& transfer : step.recvs) {
              if (transfer.place.table < 0) {
                world_->recv(transfer.data, transfer.bytes, DType::u8, transfer.peer, stream);
              } else if constexpr (moves_regions) {
                world_->recv_regions(table(transfer), transfer.bytes, transfer.peer, stream);
              }
            }
          },
          stream);
    }
    Stream const lane = slots_.to_unpack(packer_, generation, !step.unpacks.empty(), stream);
    for (detail::Packing const& packing : step.unpacks) {
      packer_.unpack(made_.tables[packing.table], packing.data, lane);
    }
    slots_.close(packer_, !step.unpacks.empty());
  }

  [[nodiscard]] typename P::Table const& table(detail::Transfer const& transfer) const {
    return made_.tables[static_cast<std::size_t>(transfer.place.table)];
  }

  /// `weight sync, step 3 of 9 (bucket 2 of rank 0 -> [4], layers.0.weight and 3 more)`.
  [[nodiscard]] std::string describe(std::size_t s) const {
    auto const first = static_cast<std::size_t>(made_.steps[s].first_bucket);
    plan::Bucket const& bucket = schedule_.buckets[first];
    plan::Flow const& flow = schedule_.flows[static_cast<std::size_t>(bucket.flow)];
    plan::Path const& path = plan_->paths[static_cast<std::size_t>(flow.path)];
    auto const parameter = static_cast<std::size_t>(bucket.pieces.front().parameter);
    std::string const more =
        bucket.pieces.size() > 1 ? text(" and ", bucket.pieces.size() - 1, " more") : "";
    return text("weight sync, step ", s + 1, " of ", made_.steps.size(), " (bucket ", bucket.round,
                " of rank ", flow.source, " -> ",
                list_text({path.receivers.data(), path.receivers.size()}), ", ",
                plan_->parameters[parameter], more, ")");
  }

  C* world_;
  plan::BasicPlan<T> const* plan_;
  plan::BasicSchedule<T> schedule_;
  P packer_;
  detail::CourierOf<C, P, T> courier_;
  detail::BroadcastGroups<C> groups_;
  detail::Steps<P, T> made_;
  typename P::Pairs copies_{};
  bool copies_here_ = false;
  bool bound_ = false;
  Slots<P> slots_;
  Staging staging_{};
  std::int64_t staging_bytes_ = 0;
};

}  // namespace rlhf::inline v0::sync
