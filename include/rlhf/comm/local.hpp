/// @file
/// Ranks as threads of one process, host memory: laptops, tests, CI. Layer: comm.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/detail/local_world.hpp>
#include <rlhf/comm/detail/reduce.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/tensor/pack.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
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
  struct Stream {};
  using RegionOf = rlhf::detail::late<Region, Late>;

  BasicLocal() noexcept = default;
  BasicLocal(BasicLocal&& other) noexcept
      : queue_(std::move(other.queue_)),
        group_(std::exchange(other.group_, nullptr)),
        timeout_(other.timeout_),
        calls_(other.calls_),
        rank_(other.rank_),
        depth_(other.depth_) {
    other.depth_ = 0;
  }
  BasicLocal& operator=(BasicLocal&& other) noexcept {
    BasicLocal moved(std::move(other));
    std::swap(group_, moved.group_);  // moved gives back what was here
    std::swap(queue_, moved.queue_);
    timeout_ = moved.timeout_;
    calls_ = moved.calls_;
    rank_ = moved.rank_;
    depth_ = moved.depth_;
    return *this;
  }
  BasicLocal(BasicLocal const&) = delete;
  BasicLocal& operator=(BasicLocal const&) = delete;
  ~BasicLocal() {
    if (group_ != nullptr) {
      detail::LocalWorldState<Late>::release(group_->world, group_);
    }
  }

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return group_ == nullptr ? 0 : group_->size(); }
  [[nodiscard]] int world_rank(int rank) const {
    expect_member(rank, "a member");
    return group_->world_ranks.at(static_cast<std::size_t>(rank));
  }
  [[nodiscard]] Milliseconds timeout() const noexcept { return timeout_; }
  void set_timeout(Milliseconds timeout) noexcept { timeout_ = timeout; }

  void broadcast(void* data, std::int64_t count, DType dtype, int root, Stream = {}) {
    expect_member(root, "the root of a broadcast");
    auto const& peers = enter({.operation = detail::Operation::broadcast,
                               .dtype = dtype,
                               .root = root,
                               .count = count,
                               .in = data,
                               .out = data});
    if (rank_ != root) {
      copy(data, peers[static_cast<std::size_t>(root)].in, count * size_of(dtype));
    }
    leave();
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
    detail::reduce_range(dtype, inputs(peers), outputs(peers), split_evenly(count, size(), rank_),
                         op);
    leave();
  }

  void all_gather(void const* in, void* out, std::int64_t count, DType dtype, Stream = {}) {
    auto const& peers = enter({.operation = detail::Operation::all_gather,
                               .dtype = dtype,
                               .count = count,
                               .in = in,
                               .out = out});
    std::int64_t const bytes = count * size_of(dtype);
    for (int peer = 0; peer < size(); ++peer) {
      copy(static_cast<std::byte*>(out) + peer * bytes, peers[static_cast<std::size_t>(peer)].in,
           bytes);
    }
    leave();
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
    std::int64_t const begin = rank_ * count;
    void* const outputs[] = {static_cast<std::byte*>(out) - begin * size_of(dtype)};
    detail::reduce_range(dtype, inputs(peers), outputs, IndexRange{begin, begin + count}, op);
    leave();
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
      copy(static_cast<std::byte*>(out) + peer * bytes,
           static_cast<std::byte const*>(peers[static_cast<std::size_t>(peer)].in) + rank_ * bytes,
           bytes);
    }
    leave();
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
      exchange();
    }
  }
  void group_cancel() noexcept {
    depth_ = 0;
    queue_.clear();
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
    if (!members.empty() && members.front() == rank_) {
      std::vector<rlhf::detail::late<int, Late>> world_ranks;
      world_ranks.reserve(members.size());
      for (int const member : members) {
        world_ranks.push_back(world_rank(member));
      }
      Group* const made = group_->world->make_group(std::move(world_ranks));
      detail::Hold const hold(group_->monitor);
      group_->splits.resize(group_->world_ranks.size());
      for (int const member : members) {
        group_->splits[static_cast<std::size_t>(member)] = made;
      }
    }
    leave();  // from here until the next split everybody's result stands
    if (color == no_color) {
      return {};
    }
    int place = 0;
    while (members[static_cast<std::size_t>(place)] != rank_) {
      ++place;
    }
    detail::Hold const hold(group_->monitor);
    return {group_->splits[static_cast<std::size_t>(rank_)], place, timeout_};
  }

  /// Makes every pending and later call of every rank of the world fail with `aborted`.
  void abort(std::string_view reason) noexcept {
    if (group_ != nullptr) {
      fail_world(Errc::aborted, world_rank(rank_), text(group_->name(rank_), " aborted: ", reason));
    }
  }

 private:
  template <class>
  friend class LocalWorld;

  using Group = detail::LocalGroup<Late>;
  using Call = detail::Call<Late>;
  using Failure = detail::Failure<Late>;
  using Mailbox = detail::Mailbox<Late>;
  using Post = detail::Post<Late>;

  enum class Direction : std::uint8_t { send, recv };
  struct Transfer {
    void* data = nullptr;
    std::int64_t count = 0;
    DType dtype{};
    int peer = 0;
    Direction direction{};
    Post post{};
    bool done = false;
    std::vector<RegionOf> const* regions = nullptr;  // instead of data
  };

  BasicLocal(Group* group, int rank, Milliseconds timeout) noexcept
      : group_(group),
        timeout_(timeout),
        rank_(rank) {}

  void enqueue(Transfer const& transfer) {
    if (transfer.count < 0) {
      fail(Errc::invalid_argument,
           text("the count of ", describe(transfer), " must not be negative"));
    }
    queue_.push_back(transfer);
    if (depth_ == 0) {
      exchange();
    }
  }

  void expect_member(int rank, char const* role) const {
    expects(group_ != nullptr, "this communicator is empty: the rank was split off with no_color");
    if (rank < 0 || rank >= size()) {
      fail(Errc::invalid_argument, text(role, " must be a rank below ", size(), ", got ", rank));
    }
  }

  static void copy(void* to, void const* from, std::int64_t bytes) noexcept {
    if (to != from && bytes != 0) {
      std::memcpy(to, from, static_cast<std::size_t>(bytes));
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

  void fail_world(Errc code, int rank, std::string message) noexcept {
    try {
      group_->world->fail(code, rank, std::move(message));
    } catch (...) {  // no memory for the message: the deadline of the others still holds
    }
  }

  /// Records a failure for everybody, then throws it here.
  [[noreturn]] void fail_with(Errc code, int rank, std::string const& message) {
    fail_world(code, rank, message);
    throw Error(code, message, rank);
  }

  /// This rank and its call, which is described on failure only: waits allocate nothing.
  template <class CallOrTransfer>
  [[nodiscard]] std::string me_in(CallOrTransfer const& what) const {
    return text(group_->name(rank_), " in ", describe(what));
  }

  /// What ends a wait: another's failure, a member that left, the deadline. Caller holds the lock.
  /// Returns a failure to throw, or one that is not set.
  template <class CallOrTransfer, class Missing>
  [[nodiscard]] Failure wait_once(Deadline const& deadline, CallOrTransfer const& what,
                                  Missing&& missing) {
    if (group_->failure != nullptr) {
      return consequence(what);
    }
    for (int r = 0; r < size(); ++r) {
      if (group_->left[static_cast<std::size_t>(r)] != 0 && missing(r)) {
        return {true, Errc::aborted, world_rank(r),
                text(me_in(what), ": waits for ", group_->name(r),
                     ", whose function has already returned")};
      }
    }
    if (group_->monitor.wait(deadline) || group_->failure != nullptr) {
      return {};
    }
    std::string who;
    int first = -1;
    for (int r = 0; r < size(); ++r) {
      if (missing(r)) {
        Call const& last = group_->calls[static_cast<std::size_t>(r)];
        who += text(first < 0 ? "" : ", ", group_->name(r), " (last collective: ", describe(last),
                    " #", last.number, ")");
        first = first < 0 ? r : first;
      }
    }
    if (first < 0) {
      return {};  // it came just now
    }
    return {true, Errc::timeout, world_rank(first),
            text(me_in(what), ": no answer within ", timeout_.count, " ms from ", who)};
  }

  template <class CallOrTransfer>
  [[nodiscard]] Failure consequence(CallOrTransfer const& what) const {
    Failure const& root = *group_->failure;
    return {true, Errc::aborted, root.rank, text(me_in(what), ": stopped because ", root.message)};
  }

  /// Waits until every member made this call; returns what each of them passed.
  std::vector<Call> const& enter(Call call) {
    expects(group_ != nullptr, "this communicator is empty: the rank was split off with no_color");
    expects(depth_ == 0, "a collective cannot be called between group_start and group_end");
    if (call.count < 0) {
      fail(Errc::invalid_argument, text("the count of ", describe(call), " must not be negative"));
    }
    call.number = ++calls_;
    Failure failure;
    {
      detail::Hold const hold(group_->monitor);
      if (group_->failure != nullptr) {
        failure = consequence(call);
      } else {
        group_->calls[static_cast<std::size_t>(rank_)] = call;
        std::uint64_t const round = group_->arrivals;
        if (++group_->arrived == size()) {
          failure = compare_calls();
          if (!failure.set) {
            group_->arrived = 0;
            ++group_->arrivals;
            group_->monitor.notify_all();
          }
        } else {
          Deadline const deadline = Deadline::after(timeout_);
          while (group_->arrivals == round && !failure.set) {
            failure = wait_once(deadline, call, [&](int r) {
              return group_->calls[static_cast<std::size_t>(r)].number < call.number;
            });
            if (group_->arrivals != round) {
              failure = {};  // everybody came in the meantime: the call goes on
            }
          }
        }
      }
    }
    if (failure.set) {
      fail_with(failure.code, failure.rank, failure.message);
    }
    return group_->calls;
  }

  /// Whether all members made the same call; if not, the first that made another than most is at
  /// fault. Caller holds the lock and is the last to arrive.
  [[nodiscard]] Failure compare_calls() const {
    auto const call_of = [&](int r) -> Call const& {
      return group_->calls[static_cast<std::size_t>(r)];
    };
    auto const first_unlike = [&](int usual) {
      int r = 0;
      while (r < size() && call_of(r).same_as(call_of(usual))) {
        ++r;
      }
      return r;
    };
    if (first_unlike(0) == size()) {
      return {};
    }
    int usual = 0;
    int most = 0;
    for (int candidate = 0; candidate < size(); ++candidate) {
      int alike = 0;
      for (int r = 0; r < size(); ++r) {
        alike += call_of(r).same_as(call_of(candidate)) ? 1 : 0;
      }
      if (alike > most) {
        most = alike;
        usual = candidate;
      }
    }
    int const odd = first_unlike(usual);
    auto const who = [&](int r) {
      return text(group_->name(r), " ", describe(call_of(r)), " #", call_of(r).number);
    };
    return {true, Errc::rank_mismatch, world_rank(odd),
            text("ranks made different calls: ", who(usual), ", ", who(odd))};
  }

  /// Waits until every member is done with the others' buffers. Certain to happen: whoever entered
  /// only copies memory until it leaves.
  void leave() noexcept {
    detail::Hold const hold(group_->monitor);
    std::uint64_t const round = group_->departures;
    if (++group_->departed == size()) {
      group_->departed = 0;
      ++group_->departures;
      group_->monitor.notify_all();
    } else {
      while (group_->departures == round) {
        group_->monitor.wait();
      }
    }
  }

  /// Makes all queued sends and receives, together.
  void exchange() {
    Failure failure;
    {
      detail::Hold const hold(group_->monitor);
      failure = post_and_receive();
      withdraw();
    }
    queue_.clear();
    if (failure.set) {
      fail_with(failure.code, failure.rank, failure.message);
    }
  }

  /// Caller holds the lock.
  [[nodiscard]] Failure post_and_receive() {
    for (Transfer& transfer : queue_) {
      if (transfer.direction == Direction::send) {
        transfer.post = {transfer.data, transfer.count,       transfer.dtype,
                         transfer.peer, Post::State::waiting, transfer.regions};
        group_->mailbox(rank_, transfer.peer).posts.push_back(&transfer.post);
      }
    }
    group_->monitor.notify_all();
    Deadline const deadline = Deadline::after(timeout_);
    for (;;) {
      Failure failure;
      if (receive_ready(failure) && !failure.set) {
        continue;  // time passed while copying: look again before waiting
      }
      if (failure.set) {
        return failure;
      }
      Transfer const* const open = first_open();
      if (open == nullptr) {
        return {};
      }
      failure = wait_once(deadline, *open, [&](int r) { return waits_for(r); });
      if (failure.set && first_open() != nullptr) {
        return failure;
      }
    }
  }

  /// Moves a message's elements from where they lie to where they belong. Without the lock.
  static void deliver(Transfer const& want, Post const& post) {
    HostPacker<Stream> const packer;
    if (post.regions != nullptr && want.regions != nullptr) {
      packer.copy(*post.regions, *want.regions);
    } else if (post.regions != nullptr) {
      packer.pack(*post.regions, static_cast<std::byte*>(want.data));
    } else if (want.regions != nullptr) {
      packer.unpack(*want.regions, static_cast<std::byte const*>(post.data));
    } else {
      copy(want.data, post.data, want.count * size_of(want.dtype));
    }
  }

  /// Takes every message that has arrived for an open receive. True when one was taken.
  bool receive_ready(Failure& failure) {
    bool taken = false;
    for (std::size_t i = 0; i < queue_.size(); ++i) {
      Transfer& want = queue_[i];
      if (want.direction != Direction::recv || want.done || earlier_open_recv(i)) {
        continue;
      }
      Mailbox& mailbox = group_->mailbox(want.peer, rank_);
      if (mailbox.empty() || group_->failure != nullptr) {
        continue;
      }
      Post& post = *mailbox.front();
      if (post.count != want.count || post.dtype != want.dtype) {
        failure = {
            true, Errc::rank_mismatch, world_rank(want.peer),
            text(group_->name(want.peer), " sent ", post.count, " x ", rlhf::to_string(post.dtype),
                 ", ", me_in(want), " expects another size or type")};
        return taken;
      }
      mailbox.pop();
      post.state = Post::State::copying;
      group_->monitor.unlock();
      deliver(want, post);
      group_->monitor.lock();
      post.state = Post::State::done;
      want.done = true;
      taken = true;
      group_->monitor.notify_all();
    }
    return taken;
  }

  [[nodiscard]] bool earlier_open_recv(std::size_t index) const noexcept {
    for (std::size_t i = 0; i < index; ++i) {
      if (queue_[i].direction == Direction::recv && !queue_[i].done &&
          queue_[i].peer == queue_[index].peer) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] static bool is_open(Transfer const& transfer) noexcept {
    return transfer.direction == Direction::recv ? !transfer.done
                                                 : transfer.post.state != Post::State::done;
  }
  [[nodiscard]] Transfer const* first_open() const noexcept {
    for (Transfer const& transfer : queue_) {
      if (is_open(transfer)) {
        return &transfer;
      }
    }
    return nullptr;
  }
  [[nodiscard]] bool waits_for(int peer) const noexcept {
    for (Transfer const& transfer : queue_) {
      if (transfer.peer == peer && is_open(transfer)) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] static std::string describe(Transfer const& transfer) {
    return text(transfer.direction == Direction::send ? "send(" : "recv(", transfer.count, " x ",
                rlhf::to_string(transfer.dtype),
                transfer.direction == Direction::send ? ", to rank " : ", from rank ",
                transfer.peer, ")");
  }
  [[nodiscard]] static std::string describe(Call const& call) { return detail::describe(call); }

  /// Takes back what nobody read, and waits for whoever is reading. Caller holds the lock.
  void withdraw() noexcept {
    for (Transfer& transfer : queue_) {
      if (transfer.direction != Direction::send) {
        continue;
      }
      while (transfer.post.state == Post::State::copying) {
        group_->monitor.wait();
      }
      if (transfer.post.state == Post::State::waiting) {
        Mailbox& mailbox = group_->mailbox(rank_, transfer.peer);
        mailbox.withdraw(&transfer.post);
      }
    }
  }

  std::vector<Transfer> queue_;
  std::vector<rlhf::detail::late<void const*, Late>> inputs_;
  std::vector<rlhf::detail::late<void*, Late>> outputs_;
  Group* group_ = nullptr;
  Milliseconds timeout_{30'000};
  std::uint64_t calls_ = 0;
  int rank_ = 0;
  int depth_ = 0;
};

using Local = BasicLocal<>;

}  // namespace rlhf::inline v0::comm
