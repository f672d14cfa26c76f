/// @file
/// Carries out a plan: pack, transfer, unpack, over slots. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/delivery.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/detail/broadcast_groups.hpp>
#include <rlhf/sync/detail/couriers.hpp>
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
/// (`comm::GroupsBroadcasts`). Where it is faster between memory of its own
/// making (`comm::RegistersMemory`) all but broadcasts are staged, in such memory. Transfers run
/// step by step;
/// the slots of a step are used again two steps later (sync/slots.hpp), so that packing the next
/// step overlaps this one's transfers where the packer has lanes, and a rank stages at most `slots
/// x bucket_bytes`. What a rank passes on leaves it in the step after the one that brought it.
/// `run` allocates nothing and asks the communicator for exactly the transfers of the plan. Thread
/// safety: one caller per executor. `world` and `plan` must outlive it.
template <comm::Communicator C, Packer P, class T = void>
class Executor {
 public:
  using Stream = typename C::Stream;

  /// Whether elements go from parameter to parameter without staging, except on ranks that only
  /// pass them on.
  static constexpr bool moves_regions =
      comm::MovesRegions<C> && std::is_same_v<P, HostPacker<Stream>>;

  /// Whether parameters that lie in one run on all ranks of a broadcast are not packed for it.
  static constexpr bool in_place_broadcasts = comm::GroupsBroadcasts<C> && !moves_regions;
  /// Whether `bind` is collective.
  static constexpr bool binds_together = comm::HasCourier<P, C>;

  /// Transfers that one step joins at most, and pieces that one group of broadcasts does.
  static constexpr int most_transfers = 64;
  /// Bytes that a group of broadcasts of several buckets joins at most.
  static constexpr std::int64_t most_grouped = std::int64_t{2} << 30;

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
    steps_.clear();
    tables_.clear();
    lying_.clear();
    places_.assign(schedule_.buckets.size(), Place{});
    relays_ = false;
    for (plan::Path const& path : plan_->paths) {
      relays_ = relays_ || !path.forwards.empty();
    }
    for (Area& area : areas_) {
      area = {};
    }
    for (std::size_t b = 0; b < schedule_.buckets.size(); ++b) {
      plan::Flow const& flow = flow_of(schedule_.buckets[b]);
      if (!flies(plan_->paths[static_cast<std::size_t>(flow.path)], flow.source)) {
        add_bucket(static_cast<std::int32_t>(b), source, destination);
      }
    }
    std::int64_t const bytes = areas_[0].bytes() + areas_[1].bytes();
    if (bytes != staging_bytes_) {
      staging_bytes_ = bytes;
      staging_ = {};  // before the new one, so that a rank never holds both
      allocate_staging();
    }
    for (Step& step : steps_) {
      for (auto* const list : {&step.broadcasts, &step.sends, &step.recvs}) {
        for (Transfer& transfer : *list) {
          transfer.data = address(transfer.place, step.odd != transfer.passes_on);
        }
      }
      for (auto* const list : {&step.packs, &step.unpacks}) {
        for (Packing& packing : *list) {
          packing.data = address(packing.place, step.odd);
        }
      }
    }
    rlhf::detail::late_vector<Region, T> from;
    rlhf::detail::late_vector<Region, T> to;
    for (std::size_t c = 0; !courier_.has_copies() && c < schedule_.copies.size(); ++c) {
      plan::LocalCopy const& copy = schedule_.copies[c];
      from.push_back(source.region(*plan_, copy.piece));
      to.push_back(destination.region(*plan_, copy.piece));
    }
    copies_ = paired({from.data(), from.size()}, {to.data(), to.size()});
    copies_here_ = !from.empty();
    slots_.prepare(packer_, steps_.size(), apart());
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
    if (steps_.empty() && !copies_here_) {
      courier_.join(stream);
      return;
    }
    slots_.begin(packer_, stream);
    packer_.copy(copies_, slots_.to_copy(packer_, stream));
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      try {
        run_step(steps_[s], stream);
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
                    step < steps_.size() ? text(describe(step), ": ", error.message())
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
  [[nodiscard]] std::int64_t steps() const noexcept { return std::ssize(steps_); }

 private:
  /// Memory of a bucket: the parameters' own, in one run or in regions, or an offset into its
  /// step's half of the staging.
  struct Place {
    std::byte* direct = nullptr;
    std::int64_t offset = 0;
    std::int64_t table = -1;  // the parameters' regions as they lie
    std::int64_t group = -1;  // pieces that are broadcast where they lie
    bool received = false;    // what the offset counts from
  };
  /// One half of the staging: what steps pack, then what they receive, so that packing a step does
  /// not wait for the unpacking of another. With fewer than four slots both lie in one place.
  struct Area {
    std::int64_t packed = 0;
    std::int64_t received = 0;
    bool apart = true;
    [[nodiscard]] std::int64_t bytes() const noexcept {
      return apart ? packed + received : packed < received ? received : packed;
    }
  };
  struct Transfer {
    Place place{};
    std::int64_t bytes = 0;
    int peer = 0;  // world rank; for broadcasts the flow
    bool passes_on = false;
    std::byte* data = nullptr;
  };
  /// Of a group of broadcasts.
  struct Lying {
    std::byte* data = nullptr;
    std::int64_t bytes = 0;
  };
  struct Packing {
    std::size_t table = 0;
    Place place{};
    std::byte* data = nullptr;
  };
  /// Either broadcasts, one after the other, or sends and receives, all at once.
  struct Step {
    rlhf::detail::late_vector<Packing, T> packs;
    rlhf::detail::late_vector<Transfer, T> broadcasts;
    rlhf::detail::late_vector<Transfer, T> sends;
    rlhf::detail::late_vector<Transfer, T> recvs;
    rlhf::detail::late_vector<Packing, T> unpacks;
    std::int32_t first_bucket = 0;
    std::int32_t turn = -1;  // of what it sends or receives first hand, not of what it passes on
    std::int64_t used[2] = {0, 0};  // bytes of its half: packed, received
    int staged[2] = {0, 0};
    bool odd = false;
    bool passes_on = false;  // out of the other half

    [[nodiscard]] std::size_t transfers() const noexcept {
      return broadcasts.size() + sends.size() + recvs.size();
    }
  };

  /// What `allocate` gives, unless the communicator has better for its transfers.
  using Plain = decltype(std::declval<P&>().allocate(std::int64_t{}));
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

  /// Whether all of a bucket is staged, in memory that the communicator knows. Not in broadcasts,
  /// where that gains nothing.
  [[nodiscard]] bool stages_all([[maybe_unused]] plan::Bucket const& bucket) const noexcept {
    if constexpr (comm::RegistersMemory<C, Plain>) {
      plan::Path const& path = plan_->paths[static_cast<std::size_t>(flow_of(bucket).path)];
      return world_->registers() &&
             (path.method != plan::Method::broadcast || !path.forwards.empty());
    } else {
      return false;
    }
  }
  void allocate_staging() {
    if constexpr (comm::RegistersMemory<C, Plain>) {
      if (world_->registers()) {
        staging_ = world_->registered(staging_bytes_);
        return;
      }
    }
    staging_ = Staging(packer_.allocate(staging_bytes_));
  }

  /// Packers that can are told how much moves beside the copies.
  [[nodiscard]] typename P::Pairs paired(std::span<Region const> from,
                                         std::span<Region const> to) const {
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
  [[nodiscard]] bool apart() const noexcept { return plan_->slots >= 4; }
  [[nodiscard]] std::byte* address(Place const& place, bool odd) {
    if (place.direct != nullptr || place.table >= 0 || place.group >= 0) {
      return place.direct;
    }
    return staging_.data() + (odd ? areas_[0].bytes() : 0) +
           (place.received && apart() ? areas_[odd ? 1 : 0].packed : 0) + place.offset;
  }

  [[nodiscard]] plan::Flow const& flow_of(plan::Bucket const& bucket) const {
    return schedule_.flows[static_cast<std::size_t>(bucket.flow)];
  }
  /// Whether a courier takes what a source sends by a path: the same on every rank.
  [[nodiscard]] bool flies(plan::Path const& path, int source) const {
    return courier_.takes(source, {path.destinations.data(), path.destinations.size()});
  }

  /// The step that takes the next transfers: the last one, unless they do not fit it. What is
  /// staged, and sends and receives that go together, share a step only with transfers of their
  /// turn. A step ends with its slowest transfer, and other ranks are in other turns' steps; and a
  /// communicator may connect to all partners of a step before anything moves, so that steps of
  /// several turns could wait for each other in a circle. Not where ranks pass bytes on, which
  /// joins what comes next to what goes on.
  Step& step_for(std::int32_t bucket, bool stages, bool receives, bool broadcast, bool after_last) {
    bool fresh = steps_.empty() || after_last;
    if (!fresh) {
      Step const& last = steps_.back();
      int const staged = apart() ? last.staged[receives ? 1 : 0] : last.staged[0] + last.staged[1];
      bool const one_turn = !relays_ && (stages || last.staged[0] + last.staged[1] != 0 ||
                                         (!moves_regions && !broadcast));
      fresh = (stages && staged + 1 > plan_->slots / (apart() ? 4 : 2)) ||
              (one_turn && last.turn >= 0 && last.turn != turn_of(bucket)) ||
              last.transfers() >= most_transfers ||
              (last.transfers() != 0 && broadcast == last.broadcasts.empty());
    }
    if (fresh) {
      steps_.emplace_back();
      steps_.back().odd = steps_.size() % 2 == 0;
      steps_.back().first_bucket = bucket;
    }
    if (!after_last) {
      steps_.back().turn = turn_of(bucket);
    }
    return steps_.back();
  }

  [[nodiscard]] std::int32_t turn_of(std::int32_t bucket) const {
    return schedule_.buckets[static_cast<std::size_t>(bucket)].turn;
  }
  /// Takes a slot of a step for a bucket.
  [[nodiscard]] Place stage(Step& step, std::int64_t bytes, bool receives) {
    constexpr std::int64_t alignment = 256;
    std::int64_t& used = step.used[apart() && receives ? 1 : 0];
    Place const place{nullptr, used, -1, -1, receives};
    used += align_up(bytes, alignment);
    ++step.staged[receives ? 1 : 0];
    Area& area = areas_[step.odd ? 1 : 0];
    area.apart = apart();
    std::int64_t& most = apart() && receives ? area.received : area.packed;
    most = most < used ? used : most;
    return place;
  }

  /// Where a bucket lies in a side's own memory, or null where it must be packed or unpacked.
  [[nodiscard]] std::byte* direct(plan::Bucket const& bucket, LocalSide<T> const& side) const {
    if (bucket.pieces.size() != 1 || stages_all(bucket)) {
      return nullptr;
    }
    Region const region = side.region(*plan_, bucket.pieces[0]);
    return region.contiguous() && !region.converts() ? region.data : nullptr;
  }
  /// Whether a bucket can be sent from or received into a side's memory as it lies; then `place`
  /// says how.
  [[nodiscard]] bool lies_ready(plan::Bucket const& bucket, LocalSide<T> const& side,
                                Place& place) {
    place = Place{direct(bucket, side), 0, -1, -1, false};
    if (moves_regions && place.direct == nullptr) {
      place.table = static_cast<std::int64_t>(table_of(bucket, side));
    }
    return place.direct != nullptr || place.table >= 0;
  }
  [[nodiscard]] std::size_t table_of(plan::Bucket const& bucket, LocalSide<T> const& side) {
    rlhf::detail::late_vector<Region, T> regions;
    regions.reserve(bucket.pieces.size());
    for (plan::Piece const& piece : bucket.pieces) {
      regions.push_back(side.region(*plan_, piece));
    }
    tables_.push_back(packer_.prepare({regions.data(), regions.size()}));
    return tables_.size() - 1;
  }

  /// Appends what this rank does with a bucket: its first hop, then its second.
  void add_bucket(std::int32_t number, LocalSide<T> const& source,
                  LocalSide<T> const& destination) {
    plan::Bucket const& bucket = schedule_.buckets[static_cast<std::size_t>(number)];
    plan::Flow const& flow = schedule_.flows[static_cast<std::size_t>(bucket.flow)];
    plan::Path const& path = plan_->paths[static_cast<std::size_t>(flow.path)];
    int const me = world_->rank();
    bool const broadcast = path.method == plan::Method::broadcast && !moves_regions;
    if constexpr (in_place_broadcasts) {
      if (broadcast && groups_.in_place(flow)) {
        add_in_place(number, flow.source == me ? source : destination);
        return;
      }
    }
    bool const keeps = rlhf::detail::contains(path.destinations, me);
    Place& place = places_[static_cast<std::size_t>(number)];
    auto const receive_in = [&, this](bool second_hop, bool after_last) -> Step& {
      bool const staged = !keeps || !lies_ready(bucket, destination, place);
      Step& step = step_for(number, staged, true, broadcast && !second_hop, after_last);
      if (staged) {
        place = stage(step, bucket.bytes, true);
      }
      if (staged && keeps) {
        step.unpacks.push_back({table_of(bucket, destination), place});
      }
      return step;
    };
    bool received_now = false;
    if (flow.source == me) {
      bool const staged = !lies_ready(bucket, source, place);
      Step& step = step_for(number, staged, false, broadcast, false);
      if (staged) {
        place = stage(step, bucket.bytes, false);
        step.packs.push_back({table_of(bucket, source), place});
      }
      if (broadcast) {
        step.broadcasts.push_back({place, bucket.bytes, bucket.flow});
      } else {
        for (int const to : path.receivers) {
          step.sends.push_back({place, bucket.bytes, to});
        }
      }
    } else if (rlhf::detail::contains(path.receivers, me)) {
      Step& step = receive_in(false, false);
      if (broadcast) {
        step.broadcasts.push_back({place, bucket.bytes, bucket.flow});
      } else {
        step.recvs.push_back({place, bucket.bytes, flow.source});
      }
      received_now = true;
    }
    for (plan::Forward const& forward : path.forwards) {
      if (forward.from == me) {
        // In the step after the one that brought it; all forwards of a bucket together.
        Step& step = received_now ? step_for(number, false, false, false, true) : steps_.back();
        received_now = false;
        step.sends.push_back({place, bucket.bytes, forward.to, true});
        step.passes_on = step.passes_on || (place.direct == nullptr && place.table < 0);
      } else if (forward.to == me) {
        receive_in(true, false).recvs.push_back({place, bucket.bytes, forward.from});
      }
    }
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
  /// Broadcasts of a bucket's pieces where they lie, in groups that are the same on all ranks of
  /// the flow: of one bucket, or, where there is no other flow, of as many as fill a group.
  void add_in_place(std::int32_t number, LocalSide<T> const& side) {
    plan::Bucket const& bucket = schedule_.buckets[static_cast<std::size_t>(number)];
    bool goes_on = groups_.alone() && !lying_.empty();
    for (plan::Piece const& piece : bucket.pieces) {
      Region const region = side.region(*plan_, piece);
      if (!region.contiguous() || region.converts()) {
        fail(Errc::invalid_argument,
             text("weight sync: ", plan_->parameters[static_cast<std::size_t>(piece.parameter)],
                  " lay in one run when the link was made and no longer does; call replan() on ",
                  "every rank"));
      }
      if (!goes_on || std::ssize(lying_.back()) == most_transfers ||
          steps_.back().broadcasts.back().bytes + region.run_bytes > most_grouped) {
        lying_.emplace_back();
        Step& step = step_for(number, false, false, true, false);
        step.broadcasts.push_back(
            {Place{nullptr, 0, -1, std::ssize(lying_) - 1, false}, 0, bucket.flow});
      }
      goes_on = true;
      lying_.back().push_back({region.data, region.run_bytes});
      steps_.back().broadcasts.back().bytes += region.run_bytes;
    }
  }

  void run_step(Step const& step, Stream stream) {
    Generation const generation = slots_.open();
    if (!step.packs.empty()) {
      Stream const lane = slots_.to_pack(packer_, stream);
      for (Packing const& packing : step.packs) {
        packer_.pack(tables_[packing.table], packing.data, lane);
      }
    }
    slots_.to_transfer(packer_, !step.packs.empty(), step.passes_on, stream);
    for (Transfer const& transfer : step.broadcasts) {
      C& group = groups_.of(schedule_.flows[static_cast<std::size_t>(transfer.peer)]);
      if (transfer.place.group < 0) {
        group.broadcast(transfer.data, transfer.bytes, DType::u8, 0, stream);
        continue;
      }
      comm::grouped(
          group,
          [&, this] {
            for (Lying const& one : lying_[static_cast<std::size_t>(transfer.place.group)]) {
              group.broadcast(one.data, one.bytes, DType::u8, 0, stream);
            }
          },
          stream);
    }
    if (!step.sends.empty() || !step.recvs.empty()) {
      comm::grouped(
          *world_,
          [&, this] {
            for (Transfer const& transfer : step.sends) {
              if (transfer.place.table < 0) {
                world_->send(transfer.data, transfer.bytes, DType::u8, transfer.peer, stream);
              } else if constexpr (moves_regions) {
                world_->send_regions(table(transfer), transfer.bytes, transfer.peer, stream);
              }
            }
            for (Transfer const& transfer : step.recvs) {
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
    for (Packing const& packing : step.unpacks) {
      packer_.unpack(tables_[packing.table], packing.data, lane);
    }
    slots_.close(packer_, !step.unpacks.empty());
  }

  [[nodiscard]] typename P::Table const& table(Transfer const& transfer) const {
    return tables_[static_cast<std::size_t>(transfer.place.table)];
  }

  /// `weight sync, step 3 of 9 (bucket 2 of rank 0 -> [4], layers.0.weight and 3 more)`.
  [[nodiscard]] std::string describe(std::size_t s) const {
    auto const first = static_cast<std::size_t>(steps_[s].first_bucket);
    plan::Bucket const& bucket = schedule_.buckets[first];
    plan::Flow const& flow = schedule_.flows[static_cast<std::size_t>(bucket.flow)];
    plan::Path const& path = plan_->paths[static_cast<std::size_t>(flow.path)];
    auto const parameter = static_cast<std::size_t>(bucket.pieces.front().parameter);
    std::string const more =
        bucket.pieces.size() > 1 ? text(" and ", bucket.pieces.size() - 1, " more") : "";
    return text("weight sync, step ", s + 1, " of ", steps_.size(), " (bucket ", bucket.round,
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
  rlhf::detail::late_vector<Step, T> steps_;
  rlhf::detail::late_vector<Place, T> places_;  // of every bucket
  rlhf::detail::late_vector<typename P::Table, T> tables_;
  rlhf::detail::late_vector<rlhf::detail::late_vector<Lying, T>, T> lying_;
  typename P::Pairs copies_{};
  bool copies_here_ = false;
  bool relays_ = false;  // some path of the plan has ranks that pass bytes on
  bool bound_ = false;
  Slots<P> slots_;
  Staging staging_{};
  std::int64_t staging_bytes_ = 0;
  Area areas_[2];
};

}  // namespace rlhf::inline v0::sync
