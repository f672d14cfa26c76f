/// @file
/// Makes the steps of a rank from its schedule. Layer: sync, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/detail/broadcast_groups.hpp>
#include <rlhf/sync/detail/steps.hpp>
#include <rlhf/sync/local_side.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace rlhf::inline v0::sync::detail {

/// What a communicator and a packer can do with memory as it lies.
template <comm::Communicator C, Packer P>
struct Abilities {
  /// What the packer allocates.
  using Plain = decltype(std::declval<P&>().allocate(std::int64_t{}));

  /// Whether elements go from parameter to parameter without staging, except on ranks that only
  /// pass them on.
  static constexpr bool moves_regions =
      comm::MovesRegions<C> && std::is_same_v<P, HostPacker<typename C::Stream>>;
  /// Whether parameters that lie in one run on all ranks of a broadcast are not packed for it.
  static constexpr bool in_place_broadcasts = comm::GroupsBroadcasts<C> && !moves_regions;
};

/// Turns buckets, in the order of a schedule, into steps: packings, transfers, unpackings, and the
/// places of their bytes in the parameters or in staging memory.
template <comm::Communicator C, Packer P, class T>
class StepMaker : Abilities<C, P> {
 public:
  using Abilities<C, P>::moves_regions;
  using Abilities<C, P>::in_place_broadcasts;

  /// Transfers that one step joins at most, and pieces that one group of broadcasts does.
  static constexpr int most_transfers = 64;
  /// Bytes that a group of broadcasts of several buckets joins at most.
  static constexpr std::int64_t most_grouped = std::int64_t{2} << 30;

  /// All must outlive it.
  StepMaker(C& world, plan::BasicPlan<T> const& plan, plan::BasicSchedule<T> const& schedule,
            P& packer, BroadcastGroups<C>& groups, LocalSide<T> const& source,
            LocalSide<T> const& destination)
      : world_(&world),
        plan_(&plan),
        schedule_(&schedule),
        packer_(&packer),
        groups_(&groups),
        source_(&source),
        destination_(&destination),
        me_(world.rank()) {
    for (plan::Path const& path : plan.paths) {
      relays_ = relays_ || !path.forwards.empty();
    }
  }

  /// The steps of all buckets whose flow is not for a courier: `flies(path, source)`.
  /// Errors: invalid_argument where what was to be broadcast where it lies is not in one run.
  template <class Flies>
  [[nodiscard]] Steps<P, T> make(Flies const& flies) {
    for (std::size_t b = 0; b < schedule_->buckets.size(); ++b) {
      plan::Flow const& flow = flow_of(schedule_->buckets[b]);
      if (!flies(plan_->paths[static_cast<std::size_t>(flow.path)], flow.source)) {
        add_bucket(static_cast<std::int32_t>(b));
      }
    }
    return std::move(made_);
  }

 private:
  using typename Abilities<C, P>::Plain;

  [[nodiscard]] bool apart() const noexcept { return plan_->slots >= 4; }
  [[nodiscard]] plan::Flow const& flow_of(plan::Bucket const& bucket) const {
    return schedule_->flows[static_cast<std::size_t>(bucket.flow)];
  }
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
  /// The step that takes the next transfers: the last one, unless they do not fit it. What is
  /// staged, and sends and receives that go together, share a step only with transfers of their
  /// turn. A step ends with its slowest transfer, and other ranks are in other turns' steps; and a
  /// communicator may connect to all partners of a step before anything moves, so that steps of
  /// several turns could wait for each other in a circle. Not where ranks pass bytes on, which
  /// joins what comes next to what goes on.
  Step<T>& step_for(std::int32_t bucket, bool stages, bool receives, bool broadcast,
                    bool after_last) {
    bool fresh = made_.steps.empty() || after_last;
    if (!fresh) {
      Step<T> const& last = made_.steps.back();
      int const staged = apart() ? last.staged[receives ? 1 : 0] : last.staged[0] + last.staged[1];
      bool const one_turn = !relays_ && (stages || last.staged[0] + last.staged[1] != 0 ||
                                         (!moves_regions && !broadcast));
      fresh = (stages && staged + 1 > plan_->slots / (apart() ? 4 : 2)) ||
              (one_turn && last.turn >= 0 && last.turn != turn_of(bucket)) ||
              last.transfers() >= most_transfers ||
              (last.transfers() != 0 && broadcast == last.broadcasts.empty());
    }
    if (fresh) {
      made_.steps.emplace_back();
      made_.steps.back().odd = made_.steps.size() % 2 == 0;
      made_.steps.back().first_bucket = bucket;
    }
    if (!after_last) {
      made_.steps.back().turn = turn_of(bucket);
    }
    return made_.steps.back();
  }

  [[nodiscard]] std::int32_t turn_of(std::int32_t bucket) const {
    return schedule_->buckets[static_cast<std::size_t>(bucket)].turn;
  }
  /// Takes a slot of a step for a bucket.
  [[nodiscard]] Place stage(Step<T>& step, std::int64_t bytes, bool receives) {
    constexpr std::int64_t alignment = 256;
    std::int64_t& used = step.used[apart() && receives ? 1 : 0];
    Place const place{nullptr, used, -1, -1, receives};
    used += align_up(bytes, alignment);
    ++step.staged[receives ? 1 : 0];
    Area& area = made_.areas[step.odd ? 1 : 0];
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
    made_.tables.push_back(packer_->prepare({regions.data(), regions.size()}));
    return made_.tables.size() - 1;
  }

  /// Appends what this rank does with a bucket: its first hop, then its second.
  void add_bucket(std::int32_t number) {
    plan::Bucket const& bucket = schedule_->buckets[static_cast<std::size_t>(number)];
    plan::Flow const& flow = schedule_->flows[static_cast<std::size_t>(bucket.flow)];
    plan::Path const& path = plan_->paths[static_cast<std::size_t>(flow.path)];
    bool const broadcast = path.method == plan::Method::broadcast && !moves_regions;
    if constexpr (in_place_broadcasts) {
      if (broadcast && groups_->in_place(flow)) {
        add_in_place(number, flow.source == me_ ? *source_ : *destination_);
        return;
      }
    }
    bool const keeps = rlhf::detail::contains(path.destinations, me_);
    Place place;
    auto const receive_in = [&, this](bool second_hop, bool after_last) -> Step<T>& {
      bool const staged = !keeps || !lies_ready(bucket, *destination_, place);
      Step<T>& step = step_for(number, staged, true, broadcast && !second_hop, after_last);
      if (staged) {
        place = stage(step, bucket.bytes, true);
      }
      if (staged && keeps) {
        step.unpacks.push_back({table_of(bucket, *destination_), place});
      }
      return step;
    };
    bool received_now = false;
    if (flow.source == me_) {
      bool const staged = !lies_ready(bucket, *source_, place);
      Step<T>& step = step_for(number, staged, false, broadcast, false);
      if (staged) {
        place = stage(step, bucket.bytes, false);
        step.packs.push_back({table_of(bucket, *source_), place});
      }
      if (broadcast) {
        step.broadcasts.push_back({place, bucket.bytes, bucket.flow});
      } else {
        for (int const to : path.receivers) {
          step.sends.push_back({place, bucket.bytes, to});
        }
      }
    } else if (rlhf::detail::contains(path.receivers, me_)) {
      Step<T>& step = receive_in(false, false);
      if (broadcast) {
        step.broadcasts.push_back({place, bucket.bytes, bucket.flow});
      } else {
        step.recvs.push_back({place, bucket.bytes, flow.source});
      }
      received_now = true;
    }
    for (plan::Forward const& forward : path.forwards) {
      if (forward.from == me_) {
        // In the step after the one that brought it; all forwards of a bucket together.
        Step<T>& step =
            received_now ? step_for(number, false, false, false, true) : made_.steps.back();
        received_now = false;
        step.sends.push_back({place, bucket.bytes, forward.to, true});
        step.passes_on = step.passes_on || place.staged();
      } else if (forward.to == me_) {
        receive_in(true, false).recvs.push_back({place, bucket.bytes, forward.from});
      }
    }
  }

  /// Broadcasts of a bucket's pieces where they lie, in groups that are the same on all ranks of
  /// the flow: of one bucket, or, where there is no other flow, of as many as fill a group.
  void add_in_place(std::int32_t number, LocalSide<T> const& side) {
    plan::Bucket const& bucket = schedule_->buckets[static_cast<std::size_t>(number)];
    bool goes_on = groups_->alone() && !made_.lying.empty();
    for (plan::Piece const& piece : bucket.pieces) {
      Region const region = side.region(*plan_, piece);
      if (!region.contiguous() || region.converts()) {
        fail(Errc::invalid_argument,
             text("weight sync: ", plan_->parameters[static_cast<std::size_t>(piece.parameter)],
                  " lay in one run when the link was made and no longer does; call replan() on ",
                  "every rank"));
      }
      if (!goes_on || std::ssize(made_.lying.back()) == most_transfers ||
          made_.steps.back().broadcasts.back().bytes + region.run_bytes > most_grouped) {
        made_.lying.emplace_back();
        Step<T>& step = step_for(number, false, false, true, false);
        step.broadcasts.push_back(
            {Place{nullptr, 0, -1, std::ssize(made_.lying) - 1, false}, 0, bucket.flow});
      }
      goes_on = true;
      made_.lying.back().push_back({region.data, region.run_bytes});
      made_.steps.back().broadcasts.back().bytes += region.run_bytes;
    }
  }

  C* world_;
  plan::BasicPlan<T> const* plan_;
  plan::BasicSchedule<T> const* schedule_;
  P* packer_;
  BroadcastGroups<C>* groups_;
  LocalSide<T> const* source_;
  LocalSide<T> const* destination_;
  int me_;
  bool relays_ = false;  // some path of the plan has ranks that pass bytes on
  Steps<P, T> made_;
};

}  // namespace rlhf::inline v0::sync::detail
