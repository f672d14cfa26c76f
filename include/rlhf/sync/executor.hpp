/// @file
/// Carries out a plan: pack, transfer, unpack, over slots. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/sync/detail/broadcast_groups.hpp>
#include <rlhf/sync/local_side.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::sync {

/// This rank's part of a plan, prepared once and run at every sync.
///
/// A bucket that is one contiguous box moves straight from and into the parameters; others pass
/// through staging memory, of which a rank has at most 2 x slots x bucket_bytes. `run` allocates
/// nothing and asks the communicator for exactly the transfers of the plan.
/// Thread safety: one caller per executor. `world` must outlive it.
template <comm::Communicator C, Packer P>
class Executor {
 public:
  using Stream = typename C::Stream;

  /// Collective over `world`: makes the communicators of broadcast flows.
  Executor(C& world, plan::Plan const& plan, LocalSide<> const& source,
           LocalSide<> const& destination, P packer = {})
      : world_(&world),
        packer_(std::move(packer)),
        groups_(world, plan) {
    bind(plan, source, destination);
  }

  /// Takes the memory of both sides as it is now. Not collective.
  void bind(plan::Plan const& plan, LocalSide<> const& source, LocalSide<> const& destination) {
    steps_.assign(static_cast<std::size_t>(plan.waves) + 1, Step{});
    tables_.clear();
    copy_from_ = copy_to_ = packer_.prepare({});
    prepare_staging(plan, source, destination);
    for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
      add_bucket(plan, plan.buckets[b], places_[b], source, destination);
    }
    std::vector<Region> from;
    std::vector<Region> to;
    for (plan::LocalCopy const& copy : plan.local_copies) {
      if (copy.rank == world_->rank()) {
        from.push_back(source.region(plan, copy.piece));
        to.push_back(destination.region(plan, copy.piece));
      }
    }
    copy_from_ = packer_.prepare(from);
    copy_to_ = packer_.prepare(to);
  }

  /// Moves everything once. Collective over the ranks of the plan.
  ///
  /// Errors: what the communicator reports, with the wave of the plan; the destination is then
  /// neither old nor new.
  void run(Stream stream = {}) {
    packer_.copy(copy_from_, copy_to_, stream);
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      try {
        run_step(steps_[s], stream);
      } catch (Error const& error) {
        throw Error(error.code(),
                    text("weight sync, wave ", s, " of ", steps_.size() - 1, ": ", error.message()),
                    error.rank(), error.native_code(), error.location());
      }
    }
  }

  /// Bytes of staging memory that this rank owns.
  [[nodiscard]] std::int64_t staging_bytes() const noexcept { return staging_bytes_; }

 private:
  struct Transfer {
    std::byte* data;
    std::int64_t bytes;
    int peer;  // world rank; for broadcasts the flow
  };
  struct Packing {
    std::size_t table;
    std::byte* data;
  };
  struct Step {
    std::vector<Packing> packs;
    std::vector<Transfer> broadcasts;
    std::vector<Transfer> sends;
    std::vector<Transfer> recvs;
    std::vector<Packing> unpacks;
  };
  /// Where one bucket lives on this rank.
  struct Place {
    std::byte* send_from = nullptr;     // as a source
    std::byte* receive_into = nullptr;  // as a receiver, forwarder or final rank
    bool pack = false;
    bool unpack = false;
  };

  [[nodiscard]] bool is_source(plan::Flow const& flow) const {
    return flow.source == world_->rank();
  }
  [[nodiscard]] bool receives(plan::Flow const& flow) const {
    for (plan::Forward const& forward : flow.forwards) {
      if (forward.to == world_->rank()) {
        return true;
      }
    }
    return contains(flow.receivers);
  }
  [[nodiscard]] bool contains(std::vector<int> const& ranks) const {
    return rlhf::detail::contains(ranks, world_->rank());
  }

  /// Decides, for every bucket, whether it needs staging here, and lays the staging memory out: one
  /// half for even waves, one for odd.
  void prepare_staging(plan::Plan const& plan, LocalSide<> const& source,
                       LocalSide<> const& destination) {
    constexpr std::int64_t alignment = 256;
    std::vector<std::int64_t> offsets(2 * plan.buckets.size(), -1);
    std::int64_t half[2] = {0, 0};
    std::int64_t used = 0;
    std::int32_t wave = -1;
    places_.assign(plan.buckets.size(), Place{});
    for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
      plan::Bucket const& bucket = plan.buckets[b];
      plan::Flow const& flow = plan.flows[static_cast<std::size_t>(bucket.flow)];
      used = bucket.wave == wave ? used : 0;
      wave = bucket.wave;
      Place& place = places_[b];
      auto const direct = [&](LocalSide<> const& side) -> std::byte* {
        if (bucket.pieces.size() != 1) {
          return nullptr;
        }
        Region const region = side.region(plan, bucket.pieces[0]);
        return region.contiguous() ? region.data : nullptr;
      };
      auto const stage = [&](std::size_t slot) {
        offsets[slot] = used;
        used += align_up(bucket.bytes, alignment);
      };
      if (is_source(flow)) {
        place.send_from = direct(source);
        place.pack = place.send_from == nullptr;
        if (place.pack) {
          stage(2 * b);
        }
      }
      if (receives(flow)) {
        bool const keeps = contains(flow.destinations);
        place.receive_into = keeps ? direct(destination) : nullptr;
        place.unpack = keeps && place.receive_into == nullptr;
        if (place.receive_into == nullptr) {
          stage(2 * b + 1);
        }
      }
      half[wave % 2] = used > half[wave % 2] ? used : half[wave % 2];
    }
    if (half[0] + half[1] != staging_bytes_) {
      staging_bytes_ = half[0] + half[1];
      staging_ = packer_.allocate(staging_bytes_);
    }
    for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
      std::int64_t const base = plan.buckets[b].wave % 2 == 0 ? 0 : half[0];
      if (offsets[2 * b] >= 0) {
        places_[b].send_from = staging_.data() + base + offsets[2 * b];
      }
      if (offsets[2 * b + 1] >= 0) {
        places_[b].receive_into = staging_.data() + base + offsets[2 * b + 1];
      }
    }
  }

  [[nodiscard]] std::size_t table_of(plan::Plan const& plan, plan::Bucket const& bucket,
                                     LocalSide<> const& side) {
    std::vector<Region> regions;
    regions.reserve(bucket.pieces.size());
    for (plan::Piece const& piece : bucket.pieces) {
      regions.push_back(side.region(plan, piece));
    }
    tables_.push_back(packer_.prepare(regions));
    return tables_.size() - 1;
  }

  void add_bucket(plan::Plan const& plan, plan::Bucket const& bucket, Place const& place,
                  LocalSide<> const& source, LocalSide<> const& destination) {
    plan::Flow const& flow = plan.flows[static_cast<std::size_t>(bucket.flow)];
    auto const wave = static_cast<std::size_t>(bucket.wave);
    Step& first = steps_[wave];
    Step& second = steps_[wave + 1];
    int const me = world_->rank();
    bool const receiver = contains(flow.receivers);
    if (is_source(flow)) {
      if (place.pack) {
        first.packs.push_back({table_of(plan, bucket, source), place.send_from});
      }
      if (flow.method == plan::Method::send) {
        for (int const to : flow.receivers) {
          first.sends.push_back({place.send_from, bucket.bytes, to});
        }
      }
    }
    if (flow.method == plan::Method::broadcast && (is_source(flow) || receiver)) {
      std::byte* const data = is_source(flow) ? place.send_from : place.receive_into;
      first.broadcasts.push_back({data, bucket.bytes, bucket.flow});
    } else if (receiver) {
      first.recvs.push_back({place.receive_into, bucket.bytes, flow.source});
    }
    for (plan::Forward const& forward : flow.forwards) {
      if (forward.from == me) {
        second.sends.push_back({place.receive_into, bucket.bytes, forward.to});
      }
      if (forward.to == me) {
        second.recvs.push_back({place.receive_into, bucket.bytes, forward.from});
      }
    }
    if (place.unpack) {
      Step& step = receiver ? first : second;
      step.unpacks.push_back({table_of(plan, bucket, destination), place.receive_into});
    }
  }

  void run_step(Step const& step, Stream stream) {
    for (Packing const& packing : step.packs) {
      packer_.pack(tables_[packing.table], packing.data, stream);
    }
    for (Transfer const& transfer : step.broadcasts) {
      groups_.of(transfer.peer).broadcast(transfer.data, transfer.bytes, DType::u8, 0, stream);
    }
    if (!step.sends.empty() || !step.recvs.empty()) {
      comm::grouped(
          *world_,
          [&] {
            for (Transfer const& transfer : step.sends) {
              world_->send(transfer.data, transfer.bytes, DType::u8, transfer.peer, stream);
            }
            for (Transfer const& transfer : step.recvs) {
              world_->recv(transfer.data, transfer.bytes, DType::u8, transfer.peer, stream);
            }
          },
          stream);
    }
    for (Packing const& packing : step.unpacks) {
      packer_.unpack(tables_[packing.table], packing.data, stream);
    }
  }

  using Staging = decltype(std::declval<P&>().allocate(std::int64_t{}));

  C* world_;
  P packer_;
  detail::BroadcastGroups<C> groups_;
  std::vector<Step> steps_;
  std::vector<Place> places_;
  std::vector<typename P::Table> tables_;
  typename P::Table copy_from_{};
  typename P::Table copy_to_{};
  Staging staging_{};
  std::int64_t staging_bytes_ = 0;
};

}  // namespace rlhf::inline v0::sync
