/// @file
/// What the kernels of the direct route are given: jobs, chunks and whom they meet, in device
/// memory. Layer: cuda.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/direct_work.cuh is for kernels: compile it with nvcc"
#endif

#include <rlhf/core/error.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/direct_options.hpp>
#include <rlhf/cuda/direct_tables.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/cuda/kernels.cuh>
#include <rlhf/cuda/peer_memory.hpp>
#include <rlhf/cuda/signals.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/tensor/fingerprint.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rlhf::inline v0::cuda::detail {

/// Where things are in the memory of a rank that others write to, in bytes.
struct SignalLayout {
  std::int64_t ready = 0;     ///< By rank, 4 bytes each: who may be written to from here,
  std::int64_t done = 0;      ///< and who has written all.
  std::int64_t flags = 0;     ///< Of chunks that arrived.
  std::int64_t expected = 0;  ///< Fingerprints of what was sent.

  [[nodiscard]] static SignalLayout of(int ranks, std::int64_t flags) {
    SignalLayout out;
    out.done = std::int64_t{4} * ranks;
    out.flags = out.done + std::int64_t{4} * ranks;
    out.expected = (out.flags + 4 * flags + 255) / 256 * 256;
    return out;
  }
};
/// That memory of one rank, as others hear of it.
struct SignalCard {
  MemoryCard card;
  std::int64_t flags;
};

/// Everything that a rank's kernels of a run need. Tables are in memory that is freed without
/// waiting for other ranks' kernels, which may wait for this rank.
struct DirectWork {
  StreamBuffer jobs;
  StreamBuffer followers;
  StreamBuffer chunks;
  StreamBuffer follow_chunks;
  StreamBuffer peers;
  StreamBuffer echoes;
  StreamBuffer sums;
  StreamBuffer state;  ///< Epoch, two tickets, whether a wait failed.
  Meeting meeting{};
  MoveWork pushing{};
  MoveWork following{};
  int push_blocks = 1;
  int follow_blocks = 1;

  [[nodiscard]] std::size_t device_bytes() const noexcept {
    return jobs.size() + followers.size() + chunks.size() + follow_chunks.size() + peers.size() +
           echoes.size() + sums.size() + state.size();
  }
};

/// A rank's work in the making.
class DirectWorkBuilder {
 public:
  /// `signals`: of every rank. `mapped` must outlive what is made.
  DirectWorkBuilder(PeerMemory& mapped, DirectOptions const& options,
                    std::vector<SignalCard> const& signals, int rank)
      : mapped_(&mapped),
        options_(options),
        me_(rank) {
    for (SignalCard const& one : signals) {
      bases_.push_back(mapped.map(one.card));
      layouts_.push_back(SignalLayout::of(static_cast<int>(signals.size()), one.flags));
    }
  }

  /// A piece that goes from here into a place at another rank, or at this one.
  void push(ChunkMix& mix, PlacedBox const& from, int rank, Place const& place, std::uint32_t sum) {
    add(mix, from, rank, place, sum, -1, jobs_);
  }
  /// The same of a piece that arrives here: each chunk as soon as its flag, from `wait` on, is up.
  void pass_on(ChunkMix& mix, PlacedBox const& from, int rank, Place const& place,
               std::uint32_t sum, std::int64_t wait) {
    add(mix, from, rank, place, sum, wait, followers_);
  }
  /// A piece that is only read where it arrived.
  void look(ChunkMix& mix, PlacedBox const& placed, std::uint32_t sum, std::int64_t wait) {
    JobEnd const end = end_of(placed);
    JobEnd nowhere = end;
    nowhere.data = nullptr;
    Job job = make_job(end, nowhere, true, index_walk(placed.box, placed.global));
    key(job, placed);
    job.sum = sum;
    auto const number = static_cast<std::uint32_t>(followers_.size());
    add_chunks(mix, job, number, placed.box.elements(),
               chunk_elements(options_.chunk.count, end.dtype), wait, -1);
    followers_.push_back(job);
  }
  /// Tells a rank the fingerprint of what it should have got.
  void echo(std::uint32_t sum, int rank, Place const& place) {
    std::int64_t const offset =
        layouts_[static_cast<std::size_t>(rank)].expected + 8 * place.expected;
    echoes_.push_back({sum, reinterpret_cast<unsigned long long*>(at(rank, offset))});
  }

  /// Ranks by what this one has to do with them, a byte each.
  struct Partners {
    std::vector<char> const& readers;  ///< Those that it writes to,
    std::vector<char> const& writers;  ///< that write here,
    std::vector<char> const& others;   ///< and the rest that a delivery is shared with.
  };
  /// `sent`, `arrived`: pieces to and from other ranks. `signals`: this rank's memory for others.
  [[nodiscard]] DirectWork finish(std::vector<Chunk> const& chunks,
                                  std::vector<Chunk> const& follow_chunks, Partners const& partners,
                                  std::uint32_t sent, std::size_t arrived, std::byte* signals,
                                  Report* report) const {
    DirectWork out;
    std::vector<Peer> peers;
    auto const add_peers = [&, this](std::vector<char> const& which) {
      for (std::size_t r = 0; r < which.size(); ++r) {
        if (which[r] == 0) {
          continue;
        }
        int const rank = static_cast<int>(r);
        Peer peer;
        peer.rank = static_cast<std::uint32_t>(rank);
        peer.ready = reinterpret_cast<std::uint32_t*>(at(rank, layouts_[r].ready)) + me_;
        peer.done = reinterpret_cast<std::uint32_t*>(at(rank, layouts_[r].done)) + me_;
        peers.push_back(peer);
      }
    };
    add_peers(partners.writers);
    std::size_t const writer_count = peers.size();
    add_peers(partners.readers);
    std::size_t const met = peers.size();
    add_peers(partners.others);
    out.peers = upload(peers);
    out.jobs = upload(jobs_);
    out.followers = upload(followers_);
    out.chunks = upload(chunks);
    out.follow_chunks = upload(follow_chunks);
    out.echoes = upload(echoes_);
    out.sums = StreamBuffer(options_.fingerprints ? 8 * (sent + arrived) : 0, StreamView());
    out.state = upload(std::vector<std::uint32_t>(8, 0));
    auto* const state = reinterpret_cast<std::uint32_t*>(out.state.data());
    auto* const sums = reinterpret_cast<unsigned long long*>(out.sums.data());
    SignalLayout const& mine = layouts_[static_cast<std::size_t>(me_)];
    Waiting waiting;
    waiting.failed = state + 3;
    waiting.report = report;
    waiting.limit_ns = static_cast<std::uint64_t>(options_.deadline.count) * 1'000'000U;
    Meeting& meeting = out.meeting;
    meeting.epoch = state;
    meeting.tickets = state + 1;
    meeting.writers = reinterpret_cast<Peer const*>(out.peers.data());
    meeting.writer_count = static_cast<std::uint32_t>(writer_count);
    meeting.readers = meeting.writers + writer_count;
    meeting.reader_count = static_cast<std::uint32_t>(met - writer_count);
    meeting.others = meeting.writers + met;
    meeting.other_count = static_cast<std::uint32_t>(peers.size() - met);
    meeting.ready = reinterpret_cast<std::uint32_t const*>(signals + mine.ready);
    meeting.done = reinterpret_cast<std::uint32_t const*>(signals + mine.done);
    meeting.echoes = reinterpret_cast<Echo const*>(out.echoes.data());
    meeting.echo_count = static_cast<std::uint32_t>(echoes_.size());
    meeting.sums = sums;
    meeting.arrived = sums + sent;
    meeting.expected = reinterpret_cast<unsigned long long const*>(signals + mine.expected);
    meeting.expected_count = options_.fingerprints ? static_cast<std::uint32_t>(arrived) : 0U;
    meeting.waiting = waiting;
    MoveWork& pushing = out.pushing;
    pushing.jobs = reinterpret_cast<Job const*>(out.jobs.data());
    pushing.chunks = reinterpret_cast<Chunk const*>(out.chunks.data());
    pushing.count = static_cast<std::uint32_t>(chunks.size());
    pushing.sums = sums;
    pushing.ticket = state + 1;
    pushing.epoch = state;
    pushing.waiting = waiting;
    MoveWork& following = out.following;
    following = pushing;
    following.jobs = reinterpret_cast<Job const*>(out.followers.data());
    following.chunks = reinterpret_cast<Chunk const*>(out.follow_chunks.data());
    following.count = static_cast<std::uint32_t>(follow_chunks.size());
    following.sums = sums + sent;
    following.ticket = state + 2;
    following.flags = reinterpret_cast<std::uint32_t const*>(signals + mine.flags);
    int const all = multiprocessors();
    int const enough = all < 64 || copied_ > pushed_ ? all : 64;
    out.push_blocks = options_.blocks > 0 ? options_.blocks : enough;
    out.follow_blocks = options_.follow_blocks > 0 ? options_.follow_blocks : all;
    return out;
  }

 private:
  void add(ChunkMix& mix, PlacedBox const& from, int rank, Place const& place, std::uint32_t sum,
           std::int64_t wait, std::vector<Job>& list) {
    JobEnd to;
    to.data = mapped_->map(place.card);
    to.dtype = static_cast<DType>(place.dtype);
    to.walk = place.walk;
    if (to.data == nullptr) {
      fail(Errc::cuda,
           text("direct route: rank ", me_, " cannot map the memory of rank ", rank,
                " that it was to write to; it must be cudaMalloc memory"),
           rank);
    }
    bool const prints = options_.fingerprints && rank != me_;
    Job job = make_job(end_of(from), to, prints, index_walk(from.box, from.global));
    key(job, from);
    job.sum = prints ? sum : Job::no_sum;
    if (place.flag >= 0) {
      job.flags = reinterpret_cast<std::uint32_t*>(
                      at(rank, layouts_[static_cast<std::size_t>(rank)].flags)) +
                  place.flag;
    }
    (rank == me_ ? copied_ : pushed_) += from.box.elements();
    auto const number = static_cast<std::uint32_t>(list.size());
    add_chunks(mix, job, number, from.box.elements(),
               chunk_elements(options_.chunk.count, to.dtype), wait, place.flag);
    list.push_back(job);
  }
  [[nodiscard]] std::byte* at(int rank, std::int64_t offset) const {
    std::byte* const base = bases_[static_cast<std::size_t>(rank)];
    return base == nullptr ? nullptr : base + offset;
  }
  static void key(Job& job, PlacedBox const& placed) {
    job.key = placed.key;
    job.index = first_index(placed.box, placed.global);
  }
  template <class Item>
  [[nodiscard]] static StreamBuffer upload(std::vector<Item> const& items) {
    StreamBuffer buffer(items.size() * sizeof(Item), StreamView());
    if (!items.empty()) {
      check(cudaMemcpy(buffer.data(), items.data(), buffer.size(), cudaMemcpyHostToDevice),
            "cudaMemcpy of a table");
    }
    return buffer;
  }

  PeerMemory* mapped_;
  DirectOptions options_;
  int me_;
  std::vector<std::byte*> bases_;
  std::vector<SignalLayout> layouts_;
  std::vector<Job> jobs_;
  std::vector<Job> followers_;
  std::vector<Echo> echoes_;
  std::int64_t pushed_ = 0;  // elements that go to other ranks,
  std::int64_t copied_ = 0;  // and to this one
};

}  // namespace rlhf::inline v0::cuda::detail
