/// @file
/// Ranks as threads of one process, host memory: laptops, tests, CI. Layer: comm.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/detail/local_member.hpp>
#include <rlhf/comm/detail/local_messages.hpp>
#include <rlhf/comm/detail/local_world.hpp>
#include <rlhf/comm/detail/reduce.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::comm {

/// A rank of a world of threads. Models `Communicator`.
///
/// Collectives copy straight from the callers' buffers, one copy a byte, no staging. Every wait has
/// the deadline `timeout()`; a rank that throws, returns early, stalls or makes another call than
/// the rest turns the waiting ranks' calls into `Error`s whose `rank()` is that world rank. After
/// the first failure every later call of every rank of the world throws `Errc::aborted`; make a new
/// world to go on.
///
/// Make worlds with `LocalWorld`, or run a function on every rank with `run_local`.
/// Thread safety: one caller per object; different ranks are different objects.
///
/// Use it as `Local`. It is a template so that its vectors cost nothing where nobody uses it.
template <class Late = void>
class BasicLocal {
 public:
  /// Host memory has no streams: calls are complete on return.
  using Stream = detail::LocalStream;
  using RegionOf = rlhf::detail::late<Region, Late>;

  BasicLocal() noexcept = default;
  BasicLocal(BasicLocal&& other) noexcept
      : messages_(std::move(other.messages_)),
        member_(std::exchange(other.member_, {})),
        depth_(std::exchange(other.depth_, 0)) {}
  BasicLocal& operator=(BasicLocal&& other) noexcept {
    BasicLocal moved(std::move(other));
    std::swap(member_, moved.member_);  // moved gives back what was here
    std::swap(messages_, moved.messages_);
    depth_ = moved.depth_;
    return *this;
  }
  BasicLocal(BasicLocal const&) = delete;
  BasicLocal& operator=(BasicLocal const&) = delete;
  ~BasicLocal() {
    if (member_.group != nullptr) {
      detail::LocalWorldState<Late>::release(member_.group->world, member_.group);
    }
  }

  [[nodiscard]] int rank() const noexcept { return member_.rank; }
  [[nodiscard]] int size() const noexcept {
    return member_.group == nullptr ? 0 : member_.group->size();
  }
  [[nodiscard]] int world_rank(int rank) const {
    expect_member(rank, "a member");
    return member_.group->world_ranks.at(static_cast<std::size_t>(rank));
  }
  [[nodiscard]] Milliseconds timeout() const noexcept { return member_.timeout; }
  void set_timeout(Milliseconds timeout) noexcept { member_.timeout = timeout; }

  void broadcast(void* data, std::int64_t count, DType dtype, int root, Stream = {}) {
    expect_member(root, "the root of a broadcast");
    auto const& peers = enter({.operation = detail::Operation::broadcast,
                               .dtype = dtype,
                               .root = root,
                               .count = count,
                               .in = data,
                               .out = data});
    if (member_.rank != root) {
      detail::copy_bytes(data, peers[static_cast<std::size_t>(root)].in, count * size_of(dtype));
    }
    member_.leave();
  }

  void all_reduce(void const* in, void* out, std::int64_t count, DType dtype, Reduce op,
                  Stream = {}) {
    auto const& peers = enter({.operation = detail::Operation::all_reduce,
                               .dtype = dtype,
                               .reduce = op,
                               .count = count,
                               .in = in,
                               .out = out});
    // Every rank reduces its part of the elements, for all ranks.
    detail::reduce_range(dtype, inputs(peers), outputs(peers),
                         split_evenly(count, size(), member_.rank), op);
    member_.leave();
  }

  void all_gather(void const* in, void* out, std::int64_t count, DType dtype, Stream = {}) {
    auto const& peers = enter({.operation = detail::Operation::all_gather,
                               .dtype = dtype,
                               .count = count,
                               .in = in,
                               .out = out});
    std::int64_t const bytes = count * size_of(dtype);
    for (int peer = 0; peer < size(); ++peer) {
      detail::copy_bytes(static_cast<std::byte*>(out) + peer * bytes,
                         peers[static_cast<std::size_t>(peer)].in, bytes);
    }
    member_.leave();
  }

  void reduce_scatter(void const* in, void* out, std::int64_t count, DType dtype, Reduce op,
                      Stream = {}) {
    auto const& peers = enter({.operation = detail::Operation::reduce_scatter,
                               .dtype = dtype,
                               .reduce = op,
                               .count = count,
                               .in = in,
                               .out = out});
    // reduce_range writes where it reads, so the output starts one block per rank earlier.
    std::int64_t const begin = member_.rank * count;
    void* const outputs[] = {static_cast<std::byte*>(out) - begin * size_of(dtype)};
    detail::reduce_range(dtype, inputs(peers), outputs, IndexRange{begin, begin + count}, op);
    member_.leave();
  }

  void all_to_all(void const* in, void* out, std::int64_t count, DType dtype, Stream = {}) {
    expects(in != out || count == 0, "all_to_all cannot work in place");
    auto const& peers = enter({.operation = detail::Operation::all_to_all,
                               .dtype = dtype,
                               .count = count,
                               .in = in,
                               .out = out});
    std::int64_t const bytes = count * size_of(dtype);
    for (int peer = 0; peer < size(); ++peer) {
      detail::copy_bytes(static_cast<std::byte*>(out) + peer * bytes,
                         static_cast<std::byte const*>(peers[static_cast<std::size_t>(peer)].in) +
                             member_.rank * bytes,
                         bytes);
    }
    member_.leave();
  }

  void barrier(Stream = {}) { enter({.operation = detail::Operation::barrier}); }

  void send(void const* data, std::int64_t count, DType dtype, int peer, Stream = {}) {
    expect_member(peer, "the receiver of a send");
    enqueue({const_cast<void*>(data), count, dtype, peer, Direction::send, {}});
  }
  void recv(void* data, std::int64_t count, DType dtype, int peer, Stream = {}) {
    expect_member(peer, "the sender of a recv");
    enqueue({data, count, dtype, peer, Direction::recv, {}});
  }
  /// Like `send` and `recv` of `bytes` bytes, but from and into these regions as they lie: ranks
  /// are threads of one process, so elements move once, without packing. Either end may be plain
  /// memory, in which the regions' elements follow each other as their `wire` types; two lists of
  /// regions must have the same elements pairwise. They must live until the group has ended.
  void send_regions(std::vector<RegionOf> const& regions, std::int64_t bytes, int peer,
                    Stream = {}) {
    expect_member(peer, "the receiver of a send");
    enqueue({nullptr, bytes, DType::u8, peer, Direction::send, {}, false, &regions});
  }
  void recv_regions(std::vector<RegionOf> const& regions, std::int64_t bytes, int peer,
                    Stream = {}) {
    expect_member(peer, "the sender of a recv");
    enqueue({nullptr, bytes, DType::u8, peer, Direction::recv, {}, false, &regions});
  }
  void group_start() noexcept { ++depth_; }
  void group_end(Stream = {}) {
    expects(depth_ > 0, "group_end needs a group_start before it");
    if (--depth_ == 0) {
      messages_.exchange(member_);
    }
  }
  void group_cancel() noexcept {
    depth_ = 0;
    messages_.clear();
  }

  /// Collective. Members of one color form a group ordered by (key, rank); `no_color` gets an empty
  /// communicator. The timeout is inherited.
  [[nodiscard]] BasicLocal split(int color, int key) {
    auto const& peers = enter({.operation = detail::Operation::split, .root = color, .key = key});
    std::vector<rlhf::detail::late<int, Late>> members;  // of my color, by (key, rank)
    for (int r = 0; color != no_color && r < size(); ++r) {
      if (peers[static_cast<std::size_t>(r)].root == color) {
        members.push_back(r);
      }
    }
    // Insertion keeps equal keys in rank order.
    for (std::size_t i = 1; i < members.size(); ++i) {
      int const member = members[i];
      std::size_t at = i;
      for (; at > 0 && peers[static_cast<std::size_t>(members[at - 1])].key >
                           peers[static_cast<std::size_t>(member)].key;
           --at) {
        members[at] = members[at - 1];
      }
      members[at] = member;
    }
    if (!members.empty() && members.front() == member_.rank) {
      std::vector<rlhf::detail::late<int, Late>> world_ranks;
      world_ranks.reserve(members.size());
      for (int const member : members) {
        world_ranks.push_back(world_rank(member));
      }
      Group* const made = member_.group->world->make_group(std::move(world_ranks));
      detail::Hold const hold(member_.group->monitor);
      member_.group->splits.resize(member_.group->world_ranks.size());
      for (int const member : members) {
        member_.group->splits[static_cast<std::size_t>(member)] = made;
      }
    }
    member_.leave();  // from here until the next split everybody's result stands
    if (color == no_color) {
      return {};
    }
    int place = 0;
    while (members[static_cast<std::size_t>(place)] != member_.rank) {
      ++place;
    }
    detail::Hold const hold(member_.group->monitor);
    return {member_.group->splits[static_cast<std::size_t>(member_.rank)], place, member_.timeout};
  }

  /// Makes every pending and later call of every rank of the world fail with `aborted`.
  void abort(std::string_view reason) noexcept {
    if (member_.group != nullptr) {
      member_.fail_world(Errc::aborted, world_rank(member_.rank),
                         text(member_.group->name(member_.rank), " aborted: ", reason));
    }
  }

 private:
  template <class>
  friend class LocalWorld;

  using Group = detail::LocalGroup<Late>;
  using Call = detail::Call<Late>;
  using Transfer = detail::LocalTransfer<Late>;
  using Direction = detail::Direction;

  BasicLocal(Group* group, int rank, Milliseconds timeout) noexcept
      : member_{.group = group, .timeout = timeout, .rank = rank} {}

  void enqueue(Transfer const& transfer) {
    if (transfer.count < 0) {
      fail(Errc::invalid_argument,
           text("the count of ", describe(transfer), " must not be negative"));
    }
    messages_.push(transfer);
    if (depth_ == 0) {
      messages_.exchange(member_);
    }
  }

  std::vector<Call> const& enter(Call const& call) {
    expects(member_.group != nullptr,
            "this communicator is empty: the rank was split off with no_color");
    expects(depth_ == 0, "a collective cannot be called between group_start and group_end");
    return member_.enter(call);
  }

  void expect_member(int rank, char const* role) const {
    expects(member_.group != nullptr,
            "this communicator is empty: the rank was split off with no_color");
    if (rank < 0 || rank >= size()) {
      fail(Errc::invalid_argument, text(role, " must be a rank below ", size(), ", got ", rank));
    }
  }

  /// Pointers of all ranks, kept in members so that steady calls allocate nothing.
  std::vector<rlhf::detail::late<void const*, Late>> const& inputs(std::vector<Call> const& peers) {
    inputs_.clear();
    for (Call const& call : peers) {
      inputs_.push_back(call.in);
    }
    return inputs_;
  }
  std::vector<rlhf::detail::late<void*, Late>> const& outputs(std::vector<Call> const& peers) {
    outputs_.clear();
    for (Call const& call : peers) {
      outputs_.push_back(call.out);
    }
    return outputs_;
  }

  std::vector<rlhf::detail::late<void const*, Late>> inputs_;
  std::vector<rlhf::detail::late<void*, Late>> outputs_;
  detail::LocalMessages<Late> messages_;
  detail::LocalMember<Late> member_;
  int depth_ = 0;
};

using Local = BasicLocal<>;

}  // namespace rlhf::inline v0::comm
