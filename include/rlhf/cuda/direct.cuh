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
    };
    Announcement const mine{card_of(probe_.data()), exported ? 1 : 0,
                            options.reach == Reach::never ? 1 : 0};
    std::vector<Announcement> const all = gather(mine);
    auto const ranks = static_cast<std::size_t>(world.size());
    std::vector<std::uint8_t> row(ranks, 0);
    for (std::size_t r = 0; r < ranks; ++r) {
      bool const own =
          all[r].card.host == mine.card.host && all[r].card.process == mine.card.process;
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
    Layout const mine = layout_of(world_->size(), flags);
    std::size_t const wanted = static_cast<std::size_t>(mine.expected) + 8 * incoming_.size() + 8;
    if (signals_.size() < wanted) {
      signals_ = DeviceBuffer(wanted);
    }
    check(cudaMemset(signals_.data(), 0, signals_.size()), "cudaMemset");
    struct Signals {
      MemoryCard card;
      std::int64_t flags;
    };
    std::vector<Signals> const signals = gather(Signals{card_of(signals_.data()), flags});
    auto const received = detail::exchange(*world_, out);
    // From here on nothing is collective until the barrier at the end.
    Builder build(*this, signals, me);
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
          build.push(pushes, delivery.from[j], first, place, sent, -1, build.jobs);
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
          build.push(follows, delivery.to[j], next, place_of(next, delivery.id, j), slot,
                     first_flag[arrived], build.followers);
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
    build.finish(pushes.mixed(), follows.mixed(), written_from_here, writes_here, shares, sent);
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
    detail::clear(sums_.data(), sums_.size(), stream);
    detail::launch_begin(meeting_, stream);
    begun_.record(stream);
    begun_.wait(push_stream_);
    detail::launch_move(pushing_, options_.fingerprints, push_blocks_, push_stream_);
    pushed_.record(push_stream_);
    if (following_.count != 0) {
      begun_.wait(follow_stream_);
      detail::launch_move(following_, options_.fingerprints, follow_blocks_, follow_stream_);
      followed_.record(follow_stream_);
    }
  }
  void join(Stream stream) {
    if (idle()) {
      return;
    }
    DeviceGuard const guard(device_);
    pushed_.wait(stream);
    if (following_.count != 0) {
      followed_.wait(stream);
    }
    detail::launch_end(meeting_, stream);
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
    std::size_t bytes = probe_.size() + signals_.size();
    for (StreamBuffer const* const buffer :
         {&jobs_, &followers_, &chunks_, &follow_chunks_, &peers_, &echoes_, &sums_, &state_}) {
      bytes += buffer->size();
    }
    return static_cast<std::int64_t>(bytes);
  }
  [[nodiscard]] DirectOptions const& options() const noexcept { return options_; }

 private:
  struct Incoming {
    int delivery;
    int piece;
    int before;  // the rank that writes it
    std::int64_t flag;
  };
  /// Where things are in the memory that others write to.
  struct Layout {
    std::int64_t ready = 0;
    std::int64_t done = 0;
    std::int64_t flags = 0;
    std::int64_t expected = 0;
  };
  [[nodiscard]] static Layout layout_of(int ranks, std::int64_t flags) {
    Layout out;
    out.done = std::int64_t{4} * ranks;
    out.flags = out.done + std::int64_t{4} * ranks;
    out.expected = (out.flags + 4 * flags + 255) / 256 * 256;
    return out;
  }
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
  /// Tables are in memory that is freed without waiting for other ranks' kernels, which may wait
  /// for this rank.
  template <class Item>
  [[nodiscard]] static StreamBuffer upload(std::vector<Item> const& items) {
    StreamBuffer buffer(items.size() * sizeof(Item), StreamView());
    if (!items.empty()) {
      check(cudaMemcpy(buffer.data(), items.data(), buffer.size(), cudaMemcpyHostToDevice),
            "cudaMemcpy of a table");
    }
    return buffer;
  }
  /// The first rank of a common delivery that has not said that it is there, or -1.
  [[nodiscard]] int never_began() const {
    DeviceGuard const guard(device_);
    std::vector<std::uint32_t> ready(static_cast<std::size_t>(world_->size()));
    std::uint32_t epoch = 0;
    cuda::Stream const stream;
    check(cudaMemcpyAsync(ready.data(), meeting_.ready, 4 * ready.size(), cudaMemcpyDeviceToHost,
                          stream.get()),
          "cudaMemcpyAsync of flags");
    check(cudaMemcpyAsync(&epoch, meeting_.epoch, 4, cudaMemcpyDeviceToHost, stream.get()),
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
    return meeting_.writer_count == 0 && meeting_.reader_count == 0;
  }

  /// The tables of a rank in the making.
  struct Builder {
    template <class Signals>
    Builder(Direct& direct, std::vector<Signals> const& signals, int rank)
        : owner(direct),
          me(rank) {
      for (Signals const& one : signals) {
        bases.push_back(owner.mapped_.map(one.card));
        layouts.push_back(layout_of(static_cast<int>(signals.size()), one.flags));
      }
    }
    [[nodiscard]] std::byte* at(int rank, std::int64_t offset) const {
      std::byte* const base = bases[static_cast<std::size_t>(rank)];
      return base == nullptr ? nullptr : base + offset;
    }
    void key(Job& job, PlacedBox const& placed) const {
      job.key = placed.key;
      job.index = first_index(placed.box, placed.global);
    }
    /// A piece that goes from here into a place at another rank.
    void push(detail::ChunkMix& mix, PlacedBox const& from, int rank, detail::Place const& place,
              std::uint32_t sum, std::int64_t wait, std::vector<Job>& list) {
      JobEnd to;
      to.data = owner.mapped_.map(place.card);
      to.dtype = static_cast<DType>(place.dtype);
      to.walk = place.walk;
      if (to.data == nullptr) {
        fail(Errc::cuda,
             text("direct route: rank ", me, " cannot map the memory of rank ", rank,
                  " that it was to write to; it must be cudaMalloc memory"),
             rank);
      }
      bool const prints = owner.options_.fingerprints && rank != me;
      Job job = make_job(detail::end_of(from), to, prints, index_walk(from.box, from.global));
      key(job, from);
      job.sum = prints ? sum : Job::no_sum;
      if (place.flag >= 0) {
        job.flags = reinterpret_cast<std::uint32_t*>(
                        at(rank, layouts[static_cast<std::size_t>(rank)].flags)) +
                    place.flag;
      }
      (rank == me ? copied : pushed) += from.box.elements();
      auto const number = static_cast<std::uint32_t>(list.size());
      detail::add_chunks(mix, job, number, from.box.elements(),
                         chunk_elements(owner.options_.chunk.count, to.dtype), wait, place.flag);
      list.push_back(job);
    }
    /// A piece that is only read where it arrived.
    void look(detail::ChunkMix& mix, PlacedBox const& placed, std::uint32_t sum,
              std::int64_t wait) {
      JobEnd const end = detail::end_of(placed);
      JobEnd nowhere = end;
      nowhere.data = nullptr;
      Job job = make_job(end, nowhere, true, index_walk(placed.box, placed.global));
      key(job, placed);
      job.sum = sum;
      auto const number = static_cast<std::uint32_t>(followers.size());
      detail::add_chunks(mix, job, number, placed.box.elements(),
                         chunk_elements(owner.options_.chunk.count, end.dtype), wait, -1);
      followers.push_back(job);
    }
    void echo(std::uint32_t sum, int rank, detail::Place const& place) {
      std::int64_t const offset =
          layouts[static_cast<std::size_t>(rank)].expected + 8 * place.expected;
      echoes.push_back({sum, reinterpret_cast<unsigned long long*>(at(rank, offset))});
    }

    void finish(std::vector<Chunk> const& chunks, std::vector<Chunk> const& follow_chunks,
                std::vector<char> const& readers, std::vector<char> const& writers,
                std::vector<char> const& others, std::uint32_t sent) {
      std::vector<detail::Peer> peers;
      auto const add = [&](std::vector<char> const& which) {
        for (std::size_t r = 0; r < which.size(); ++r) {
          if (which[r] == 0) {
            continue;
          }
          int const rank = static_cast<int>(r);
          detail::Peer peer;
          peer.rank = static_cast<std::uint32_t>(rank);
          peer.ready = reinterpret_cast<std::uint32_t*>(at(rank, layouts[r].ready)) + me;
          peer.done = reinterpret_cast<std::uint32_t*>(at(rank, layouts[r].done)) + me;
          peers.push_back(peer);
        }
      };
      add(writers);
      std::size_t const writer_count = peers.size();
      add(readers);
      std::size_t const met = peers.size();
      add(others);
      Direct& d = owner;
      d.peers_ = upload(peers);
      d.jobs_ = upload(jobs);
      d.followers_ = upload(followers);
      d.chunks_ = upload(chunks);
      d.follow_chunks_ = upload(follow_chunks);
      d.echoes_ = upload(echoes);
      std::size_t const arrived = d.incoming_.size();
      d.sums_ = StreamBuffer(d.options_.fingerprints ? 8 * (sent + arrived) : 0, StreamView());
      d.state_ = upload(std::vector<std::uint32_t>(8, 0));
      auto* const state = reinterpret_cast<std::uint32_t*>(d.state_.data());
      auto* const sums = reinterpret_cast<unsigned long long*>(d.sums_.data());
      Layout const& mine = layouts[static_cast<std::size_t>(me)];
      std::byte* const own = d.signals_.data();
      detail::Waiting waiting;
      waiting.failed = state + 3;
      waiting.report = reinterpret_cast<Report*>(d.report_.device_data());
      waiting.limit_ns = static_cast<std::uint64_t>(d.options_.deadline.count) * 1'000'000U;
      detail::Meeting& meeting = d.meeting_;
      meeting = {};
      meeting.epoch = state;
      meeting.tickets = state + 1;
      meeting.writers = reinterpret_cast<detail::Peer const*>(d.peers_.data());
      meeting.writer_count = static_cast<std::uint32_t>(writer_count);
      meeting.readers = meeting.writers + writer_count;
      meeting.reader_count = static_cast<std::uint32_t>(met - writer_count);
      meeting.others = meeting.writers + met;
      meeting.other_count = static_cast<std::uint32_t>(peers.size() - met);
      meeting.ready = reinterpret_cast<std::uint32_t const*>(own + mine.ready);
      meeting.done = reinterpret_cast<std::uint32_t const*>(own + mine.done);
      meeting.echoes = reinterpret_cast<detail::Echo const*>(d.echoes_.data());
      meeting.echo_count = static_cast<std::uint32_t>(echoes.size());
      meeting.sums = sums;
      meeting.arrived = sums + sent;
      meeting.expected = reinterpret_cast<unsigned long long const*>(own + mine.expected);
      meeting.expected_count = d.options_.fingerprints ? static_cast<std::uint32_t>(arrived) : 0U;
      meeting.waiting = waiting;
      detail::MoveWork& pushing = d.pushing_;
      pushing = {};
      pushing.jobs = reinterpret_cast<Job const*>(d.jobs_.data());
      pushing.chunks = reinterpret_cast<Chunk const*>(d.chunks_.data());
      pushing.count = static_cast<std::uint32_t>(chunks.size());
      pushing.sums = sums;
      pushing.ticket = state + 1;
      pushing.epoch = state;
      pushing.waiting = waiting;
      detail::MoveWork& following = d.following_;
      following = pushing;
      following.jobs = reinterpret_cast<Job const*>(d.followers_.data());
      following.chunks = reinterpret_cast<Chunk const*>(d.follow_chunks_.data());
      following.count = static_cast<std::uint32_t>(follow_chunks.size());
      following.sums = sums + sent;
      following.ticket = state + 2;
      following.flags = reinterpret_cast<std::uint32_t const*>(own + mine.flags);
      int const all = multiprocessors(d.device_);
      int const enough = all < 64 || copied > pushed ? all : 64;
      d.push_blocks_ = d.options_.blocks > 0 ? d.options_.blocks : enough;
      d.follow_blocks_ = d.options_.follow_blocks > 0 ? d.options_.follow_blocks : all;
    }

    Direct& owner;
    int me;
    std::vector<std::byte*> bases;
    std::vector<Layout> layouts;
    std::vector<Job> jobs;
    std::vector<Job> followers;
    std::vector<detail::Echo> echoes;
    std::int64_t pushed = 0;  // elements that go to other ranks,
    std::int64_t copied = 0;  // and to this one
  };

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
  StreamBuffer jobs_;
  StreamBuffer followers_;
  StreamBuffer chunks_;
  StreamBuffer follow_chunks_;
  StreamBuffer peers_;
  StreamBuffer echoes_;
  StreamBuffer sums_;
  StreamBuffer state_;  // epoch, two tickets, whether a wait failed
  detail::Meeting meeting_{};
  detail::MoveWork pushing_{};
  detail::MoveWork following_{};
  cuda::Stream push_stream_{Priority::high};
  cuda::Stream follow_stream_{Priority::high};
  Event begun_;
  Event pushed_;
  Event followed_;
  int push_blocks_ = 1;
  int follow_blocks_ = 1;
  bool bound_ = false;
  bool dead_ = false;
};

}  // namespace rlhf::inline v0::cuda
