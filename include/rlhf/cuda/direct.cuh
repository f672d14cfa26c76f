/// @file
/// The direct route inside a host: kernels store pieces into the destinations' parameters, without
/// packing, staging or transfers. Layer: cuda.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/direct.cuh has kernels: compile it with nvcc"
#endif

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/delivery.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/direct_options.hpp>
#include <rlhf/cuda/direct_tables.hpp>
#include <rlhf/cuda/direct_work.cuh>
#include <rlhf/cuda/event.hpp>
#include <rlhf/cuda/kernels.cuh>
#include <rlhf/cuda/peer_memory.hpp>
#include <rlhf/cuda/signals.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rlhf::inline v0::cuda {

/// One rank's part of the direct route, between ranks that can map each other's memory: devices of
/// one process with peer access, and of processes of one host through CUDA IPC.
///
/// A source's kernel walks a table of chunks and stores each where it belongs in the destination,
/// strided and converted as it must be. Where several destinations need the same bytes they form a
/// chain: each passes a chunk on as soon as it is there, so that the source's link carries every
/// byte once. With fingerprints, kernels add up what they send while they read it, destinations
/// what arrived while later chunks are still on their way, and both are compared on the device.
/// Ranks meet through flags in each other's memory; nothing allocates, waits on the host or grows
/// with tensors between `start` and `join`, so that a CUDA graph can hold them.
///
/// Every wait in a kernel has a deadline. After one has passed the object is dead: `start` throws,
/// and a late rank may still write what it was asked to: do not use the destination's memory for
/// another purpose before that rank is gone or has come back.
///
/// Memory: the tables, about 32 bytes a chunk and 250 a piece. Thread safety: one caller.
template <comm::Communicator C>
class Direct {
 public:
  using Stream = StreamView;

  /// Collective: finds out who reaches whom. `views` are the memory that others will write to here.
  Direct(C& world, DirectOptions const& options, std::span<TensorView const> views)
      : world_(&world),
        options_(options),
        report_(sizeof(Report), Mapped::yes) {
    device_ = current_device();
    detail::load_kernels();
    probe_ = DeviceBuffer(256);
    bool exported = true;
    MemoryCards cards;
    for (TensorView const& view : views) {
      exported = exported && (view.elements() == 0 || cards.of(view.data).exported != 0);
    }
    struct Announcement {
      MemoryCard card;
      std::int32_t exported;
      std::int32_t refuses;
      std::int64_t chunk;
      std::int64_t fingerprints;
    };
    Announcement const mine{card_of(probe_.data()), exported ? 1 : 0,
                            options.reach == Reach::never ? 1 : 0, options.chunk.count,
                            options.fingerprints ? 1 : 0};
    std::vector<Announcement> const all = gather(mine);
    for (Announcement const& one : all) {  // in one order: all ranks are told the same
      if (one.chunk != all[0].chunk || one.fingerprints != all[0].fingerprints) {
        int const rank = static_cast<int>(&one - all.data());
        fail(Errc::rank_mismatch,
             text("direct route: rank ", rank, " has chunks of ", one.chunk, " bytes and ",
                  one.fingerprints != 0 ? "takes" : "takes no",
                  " fingerprints, rank 0 has chunks of ", all[0].chunk, " and ",
                  all[0].fingerprints != 0 ? "takes" : "takes no",
                  " fingerprints; give all ranks the same cuda::DirectOptions"),
             rank);
      }
    }
    auto const ranks = static_cast<std::size_t>(world.size());
    std::vector<std::uint8_t> row(ranks, 0);
    for (std::size_t r = 0; r < ranks; ++r) {
      // Other devices of one process reach what other processes could map, and no pools.
      bool const own = all[r].card.host == mine.card.host &&
                       all[r].card.process == mine.card.process &&
                       all[r].card.device == mine.card.device;
      bool const wanted = mine.refuses == 0 && all[r].refuses == 0;
      row[r] =
          wanted && (own || all[r].exported != 0) && mapped_.map(all[r].card) != nullptr ? 1 : 0;
    }
    reach_.resize(ranks * ranks);
    world.all_gather(row.data(), reach_.data(), world.size(), DType::u8, {});
    comm::settle(world);
  }

  /// Whether these ranks all reach each other, so that what `source` sends goes this way.
  [[nodiscard]] bool takes(int source, std::span<int const> destinations) const {
    auto const reaches = [&](int from, int to) {
      return reach_[static_cast<std::size_t>(from) * static_cast<std::size_t>(world_->size()) +
                    static_cast<std::size_t>(to)] != 0;
    };
    for (int const a : destinations) {
      if (!reaches(source, a) || !reaches(a, source)) {
        return false;
      }
      for (int const b : destinations) {
        if (!reaches(a, b)) {
          return false;
        }
      }
    }
    return true;
  }

  /// Collective. Takes addresses as they are now.
  void bind(std::span<comm::BasicDelivery<> const> deliveries) {
    DeviceGuard const guard(device_);
    int const me = world_->rank();
    auto const ranks = static_cast<std::size_t>(world_->size());
    bound_ = false;
    work_ = {};              // before the new one, so that a rank never holds both
    mapped_ = PeerMemory();  // memory that others have given up since is freed only now
    incoming_.clear();
    // What comes here: its flags, where its fingerprints are expected, and who must know.
    std::vector<std::vector<std::byte>> out(ranks);
    std::int64_t flags = 0;
    std::vector<std::int64_t> first_flag;
    MemoryCards cards;
    std::vector<char> writes_here(ranks, 0);
    std::vector<char> shares(ranks, 0);
    for (std::size_t k = 0; k < deliveries.size(); ++k) {
      auto const& delivery = deliveries[k];
      std::size_t const link = position(delivery, me);
      if (link != delivery.destinations.size() || delivery.source == me) {
        shares[static_cast<std::size_t>(delivery.source)] = 1;
        for (int const rank : delivery.destinations) {
          shares[static_cast<std::size_t>(rank)] = 1;
        }
      }
      if (link == delivery.destinations.size()) {
        continue;
      }
      int const before = link == 0 ? delivery.source : delivery.destinations[link - 1];
      // What a rank copies to itself travels nowhere: nobody looks at it again.
      bool const own = delivery.source == me;
      bool const prints = options_.fingerprints && !own;
      bool const follows = prints || link + 1 < delivery.destinations.size();
      writes_here[static_cast<std::size_t>(before)] = 1;
      if (prints) {  // the source says what should arrive
        writes_here[static_cast<std::size_t>(delivery.source)] = 1;
      }
      for (std::size_t j = 0; j < delivery.to.size(); ++j) {
        PlacedBox const& placed = delivery.to[j];
        JobEnd const end = detail::end_of(placed);
        detail::Place place;
        place.delivery = delivery.id;
        place.piece = static_cast<std::int64_t>(j);
        place.card = cards.of(end.data);
        place.walk = end.walk;
        place.dtype = static_cast<std::int64_t>(end.dtype);
        place.flag = follows ? flags : -1;
        place.expected = prints ? std::ssize(incoming_) : -1;
        detail::append(out[static_cast<std::size_t>(before)], place);
        if (own) {
          continue;
        }
        if (before != delivery.source && prints) {
          detail::append(out[static_cast<std::size_t>(delivery.source)], place);
        }
        first_flag.push_back(flags);
        incoming_.push_back({static_cast<int>(k), static_cast<int>(j), before, flags});
        if (follows) {
          flags +=
              chunks_of(placed.box.elements(), chunk_elements(options_.chunk.count, end.dtype));
        }
      }
    }
    // Memory that others write to: who may begin, who is done, what arrived, what it should be.
    auto const mine = detail::SignalLayout::of(world_->size(), flags);
    std::size_t const wanted = static_cast<std::size_t>(mine.expected) + 8 * incoming_.size() + 8;
    if (signals_.size() < wanted) {
      signals_ = DeviceBuffer(wanted);
    }
    check(cudaMemset(signals_.data(), 0, signals_.size()), "cudaMemset");
    std::vector<detail::SignalCard> const signals =
        gather(detail::SignalCard{card_of(signals_.data()), flags});
    auto const received = detail::exchange(*world_, out);
    // From here on nothing is collective until the barrier at the end.
    detail::DirectWorkBuilder build(mapped_, options_, signals, me);
    std::vector<std::vector<detail::Place>> places(ranks);
    std::vector<std::vector<std::size_t>> order(ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      places[r] = detail::items_of<detail::Place>(received[r]);
      for (std::size_t i = 0; i < places[r].size(); ++i) {
        order[r].push_back(i);
      }
      rlhf::detail::sort_by(order[r], [&](std::size_t a, std::size_t b) {
        detail::Place const& x = places[r][a];
        detail::Place const& y = places[r][b];
        return x.delivery != y.delivery ? x.delivery < y.delivery : x.piece < y.piece;
      });
    }
    auto const place_of = [&](int rank, std::int64_t id,
                              std::size_t piece) -> detail::Place const& {
      auto const& list = places[static_cast<std::size_t>(rank)];
      auto const& sorted = order[static_cast<std::size_t>(rank)];
      std::size_t const at = rlhf::detail::first_not(sorted, [&](std::size_t i) {
        return list[i].delivery != id ? list[i].delivery < id
                                      : list[i].piece < static_cast<std::int64_t>(piece);
      });
      if (at == sorted.size() || list[sorted[at]].delivery != id ||
          list[sorted[at]].piece != static_cast<std::int64_t>(piece)) {
        fail(Errc::rank_mismatch,
             text("direct route: rank ", rank, " did not say where piece ", piece, " of delivery ",
                  id, " lies"),
             rank);
      }
      return list[sorted[at]];
    };
    std::vector<char> written_from_here(ranks, 0);
    detail::ChunkMix pushes;
    detail::ChunkMix follows;
    std::uint32_t sent = 0;
    std::size_t arrived = 0;
    for (auto const& delivery : deliveries) {
      if (delivery.source == me && !delivery.destinations.empty()) {
        int const first = delivery.destinations.front();
        written_from_here[static_cast<std::size_t>(first)] = 1;
        pushes.begin_list((first - me + world_->size()) % world_->size());
        for (std::size_t j = 0; j < delivery.from.size(); ++j) {
          detail::Place const& place = place_of(first, delivery.id, j);
          build.push(pushes, delivery.from[j], first, place, sent);
          if (first == me) {
            continue;
          }
          if (options_.fingerprints) {
            for (int const rank : delivery.destinations) {
              written_from_here[static_cast<std::size_t>(rank)] = 1;
              build.echo(sent, rank, place_of(rank, delivery.id, j));
            }
          }
          ++sent;
        }
      }
      std::size_t const link = position(delivery, me);
      if (link == delivery.destinations.size() || delivery.source == me) {
        continue;
      }
      bool const last = link + 1 == delivery.destinations.size();
      int const next = last ? -1 : delivery.destinations[link + 1];
      if (!last) {
        written_from_here[static_cast<std::size_t>(next)] = 1;
      }
      follows.begin_list((delivery.source - me + world_->size()) % world_->size());
      for (std::size_t j = 0; j < delivery.to.size(); ++j, ++arrived) {
        auto const slot = static_cast<std::uint32_t>(arrived);
        if (!last) {
          build.pass_on(follows, delivery.to[j], next, place_of(next, delivery.id, j), slot,
                        first_flag[arrived]);
        } else if (options_.fingerprints) {
          build.look(follows, delivery.to[j], slot, first_flag[arrived]);
        }
      }
    }
    sharing_.clear();
    for (std::size_t r = 0; r < ranks; ++r) {
      if (shares[r] != 0 && static_cast<int>(r) != me) {
        sharing_.push_back(static_cast<int>(r));
        shares[r] = writes_here[r] == 0 ? 1 : 0;  // who writes here is told anyway
      } else {
        shares[r] = 0;
      }
    }
    work_ = build.finish(pushes.mixed(), follows.mixed(), {written_from_here, writes_here, shares},
                         sent, incoming_.size(), signals_.data(),
                         reinterpret_cast<Report*>(report_.device_data()));
    *report() = Report{};
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    world_->barrier();  // everybody's flags are there, and down
    bound_ = true;
  }

  /// Begins a run behind what `stream` has; `join` ends it. Between them `stream` may get work that
  /// does not touch the weights.
  void start(Stream stream) {
    expects(bound_, "the direct route is not bound to memory, because binding it failed");
    if (dead_) {
      fail(Errc::aborted,
           "the direct route ended with an earlier failure; plan again on a new communicator");
    }
    if (idle()) {
      return;
    }
    DeviceGuard const guard(device_);
    detail::clear(work_.sums.data(), work_.sums.size(), stream);
    detail::launch_begin(work_.meeting, stream);
    begun_.record(stream);
    begun_.wait(push_stream_);
    detail::launch_move(work_.pushing, options_.fingerprints, work_.push_blocks, push_stream_);
    pushed_.record(push_stream_);
    if (work_.following.count != 0) {
      begun_.wait(follow_stream_);
      detail::launch_move(work_.following, options_.fingerprints, work_.follow_blocks,
                          follow_stream_);
      followed_.record(follow_stream_);
    }
  }
  void join(Stream stream) {
    if (idle()) {
      return;
    }
    DeviceGuard const guard(device_);
    pushed_.wait(stream);
    if (work_.following.count != 0) {
      followed_.wait(stream);
    }
    detail::launch_end(work_.meeting, stream);
  }

  /// Says what went wrong in the last run, once the stream is done. `name(delivery, piece)` says
  /// what a piece is.
  ///
  /// Errors: timeout naming the rank that was waited for and why; corrupted naming the piece whose
  /// fingerprint is not what was sent.
  template <class Name>
  void check_run(Name&& name) {
    Report const found = *report();
    *report() = Report{};
    if (found.phase != 0) {
      dead_ = true;
      int const me = world_->rank();
      int rank = static_cast<int>(found.whom);
      std::string what;
      switch (static_cast<Phase>(found.phase)) {
        case Phase::ready:
          what = text("rank ", rank, " did not begin the sync");
          break;
        case Phase::arrival: {
          std::size_t i = 0;
          while (i + 1 < incoming_.size() &&
                 incoming_[i + 1].flag <= static_cast<std::int64_t>(found.whom)) {
            ++i;
          }
          rank = incoming_[i].before;
          what = text("rank ", rank, " did not bring ",
                      name(incoming_[i].delivery, incoming_[i].piece));
          break;
        }
        default:
          what = text("rank ", rank, " has not finished writing here");
      }
      int const absent = never_began();
      if (absent >= 0) {  // whom others waited for, too
        rank = absent;
        what = text("rank ", rank, " did not begin the sync");
      }
      fail(Errc::timeout,
           text("direct route, rank ", me, "/", world_->size(), ": ", what, " within ",
                options_.deadline.count, " ms"),
           rank);
    }
    if (found.wrong < incoming_.size()) {
      Incoming const& piece = incoming_[found.wrong];
      fail(Errc::corrupted,
           text("direct route: ", name(piece.delivery, piece.piece), " on destination rank ",
                world_->rank(), " is not what was sent"),
           world_->rank());
    }
  }

  /// Bytes of device memory that this owns.
  [[nodiscard]] std::int64_t device_bytes() const noexcept {
    return static_cast<std::int64_t>(probe_.size() + signals_.size() + work_.device_bytes());
  }
  [[nodiscard]] DirectOptions const& options() const noexcept { return options_; }

 private:
  struct Incoming {
    int delivery;
    int piece;
    int before;  // the rank that writes it
    std::int64_t flag;
  };
  [[nodiscard]] static std::size_t position(comm::BasicDelivery<> const& delivery, int rank) {
    std::size_t at = 0;
    while (at < delivery.destinations.size() && delivery.destinations[at] != rank) {
      ++at;
    }
    return at;
  }

  template <class Item>
  [[nodiscard]] std::vector<Item> gather(Item const& mine) {
    std::vector<Item> all(static_cast<std::size_t>(world_->size()));
    world_->all_gather(&mine, all.data(), sizeof(Item), DType::u8, {});
    comm::settle(*world_);
    return all;
  }
  /// The first rank of a common delivery that has not said that it is there, or -1.
  [[nodiscard]] int never_began() const {
    DeviceGuard const guard(device_);
    std::vector<std::uint32_t> ready(static_cast<std::size_t>(world_->size()));
    std::uint32_t epoch = 0;
    cuda::Stream const stream;
    check(cudaMemcpyAsync(ready.data(), work_.meeting.ready, 4 * ready.size(),
                          cudaMemcpyDeviceToHost, stream.get()),
          "cudaMemcpyAsync of flags");
    check(cudaMemcpyAsync(&epoch, work_.meeting.epoch, 4, cudaMemcpyDeviceToHost, stream.get()),
          "cudaMemcpyAsync of flags");
    stream.synchronize();
    for (int const rank : sharing_) {
      if (static_cast<std::int32_t>(ready[static_cast<std::size_t>(rank)] - epoch) < 0) {
        return rank;
      }
    }
    return -1;
  }
  [[nodiscard]] Report* report() const { return reinterpret_cast<Report*>(report_.data()); }
  [[nodiscard]] bool idle() const noexcept {
    return work_.meeting.writer_count == 0 && work_.meeting.reader_count == 0;
  }

  C* world_;
  DirectOptions options_;
  int device_ = 0;
  PinnedBuffer report_;
  PeerMemory mapped_;
  std::vector<std::uint8_t> reach_;  // row r: whom rank r can write to
  std::vector<Incoming> incoming_;
  std::vector<int> sharing_;  // the other ranks of this one's deliveries
  DeviceBuffer probe_;
  DeviceBuffer signals_;
  detail::DirectWork work_;
  cuda::Stream push_stream_{Priority::high};
  cuda::Stream follow_stream_{Priority::high};
  Event begun_;
  Event pushed_;
  Event followed_;
  bool bound_ = false;
  bool dead_ = false;
};

}  // namespace rlhf::inline v0::cuda
