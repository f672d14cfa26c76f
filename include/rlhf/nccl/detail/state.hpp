/// @file
/// Everything a `nccl::Communicator` is, at an address that stays: waits with deadlines, failures
/// that name a rank. Layer: nccl, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/detail/backoff.hpp>
#include <rlhf/nccl/detail/board.hpp>
#include <rlhf/nccl/detail/fate.hpp>
#include <rlhf/nccl/detail/operation.hpp>
#include <rlhf/nccl/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nccl.h>

namespace rlhf::inline v0::nccl::detail {

/// How long a process may be gone, or a rank may have aborted, before a wait that does not end says
/// so. What such a rank sent before may still be on its way.
inline constexpr Milliseconds grace{1'000};
/// How often a wait looks for ranks that are gone.
inline constexpr std::int64_t watch_every_ns = 20'000'000;

class State {
 public:
  State(std::shared_ptr<Fate> fate, std::uint64_t key, int rank, int size, int device,
        Milliseconds timeout)
      : fate_(std::move(fate)),
        handle_(std::make_shared<Handle>(key, rank, size)),
        key_(key),
        timeout_(timeout),
        rank_(rank),
        size_(size),
        device_(device) {
    fate_->add(handle_);
  }
  State(State const&) = delete;
  State& operator=(State const&) = delete;
  State(State&&) = delete;
  State& operator=(State&&) = delete;
  ~State() { static_cast<void>(release()); }

  /// Aborts what is not finalized. False where NCCL kept something, so that work on the device may
  /// never end. Bounded.
  bool release() noexcept {
    fate_->remove(handle_.get());
    if (!finalized_) {
      board().set(fate_->failed() ? Phase::aborted : Phase::left);
    }
    return Release::aborting(handle_->take()).finish(Deadline::after(release_patience)) &&
           !fate_->lost();
  }

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] int device() const noexcept { return device_; }
  [[nodiscard]] Milliseconds timeout() const noexcept { return timeout_; }
  void set_timeout(Milliseconds timeout) noexcept { timeout_ = timeout; }
  [[nodiscard]] std::uint64_t key() const noexcept { return key_; }
  [[nodiscard]] std::shared_ptr<Fate> const& fate() const noexcept { return fate_; }
  [[nodiscard]] Handle& handle() noexcept { return *handle_; }
  [[nodiscard]] std::shared_ptr<Handle> const& shared_handle() const noexcept { return handle_; }
  [[nodiscard]] Board& board() const noexcept { return handle_->board; }
  [[nodiscard]] std::vector<int>& world_ranks() noexcept { return world_ranks_; }
  /// One more call that all members make; its number.
  std::uint64_t count_call() noexcept {
    board().set_calls(++calls_);
    return calls_;
  }
  [[nodiscard]] bool finalized() const noexcept { return finalized_; }

  /// To be called once NCCL says that all ranks have joined: those of this host are known now.
  void all_have_joined() {
    board().take_name_away();
    for (int r = 0; r < size_; ++r) {
      if (r != rank_ && board().phase(r) != Phase::none) {
        neighbours_.push_back(r);
      }
    }
  }

  /// Errors: aborted where the world has failed here or on a rank of this host, invalid_argument
  /// after `finalize`. Cost: a few loads.
  void expect_usable(std::span<Operation const> ops) {
    expects(!finalized_, "this communicator has been finalized; make a new one");
    if (fate_->failed()) {
      throw_stopped(ops);
    }
    for (int const r : neighbours_) {
      if (board().phase(r) == Phase::aborted) {
        fail_world(Errc::aborted, world_rank(r), text(me_in(ops), ": ", name(r), " ", what_of(r)),
                   0);
      }
    }
  }

  /// Calls `use(comm)`, which returns an `ncclResult_t`, and waits until NCCL has done what it
  /// started: enqueued the work, or changed the communicator. Not until the device is done.
  template <class Use>
  void call(std::span<Operation const> ops, Milliseconds patience, Use&& use) {
    ncclResult_t result = ncclSuccess;
    if (!handle_->with([&](ncclComm_t comm) { result = use(comm); })) {
      throw_stopped(ops);
    }
    if (result != ncclSuccess && result != ncclInProgress) {
      fail_nccl(ops, result);
    }
    poll(ops, patience, [&, this] { return progress(ops) == ncclSuccess; });
  }

  /// NCCL's asynchronous state: success or in progress; everything else is thrown.
  ncclResult_t progress(std::span<Operation const> ops) {
    ncclResult_t asynchronous = ncclSuccess;
    ncclResult_t result = ncclSuccess;
    if (!handle_->with(
            [&](ncclComm_t comm) { result = ncclCommGetAsyncError(comm, &asynchronous); })) {
      throw_stopped(ops);
    }
    result = result == ncclSuccess ? asynchronous : result;
    if (result != ncclSuccess && result != ncclInProgress) {
      fail_nccl(ops, result);
    }
    return result;
  }

  /// Waits for the stream, at most `timeout()`; the communicator's device must be current.
  void wait(std::span<Operation const> ops, cuda::StreamView stream) {
    bool done = false;
    auto const ready = [&, this] {
      try {
        done = stream.done();
      } catch (Error const& error) {
        fail_world(Errc::cuda, -1, text(me_in(ops), ": ", error.message()), error.native_code());
      }
      if (!done) {
        progress(ops);
      }
      return done;
    };
    poll(ops, timeout_, ready);
    if (fate_->failed()) {
      throw_stopped(ops);  // an abort ends the work on the stream, too
    }
  }

  /// Waits until `ready()`, another rank's failure or the deadline.
  template <class Ready>
  void poll(std::span<Operation const> ops, Milliseconds patience, Ready&& ready) {
    if (ready()) {
      return;
    }
    std::int64_t const begin = steady_nanoseconds();
    std::int64_t const end = begin + patience.count * 1'000'000;
    std::int64_t watched = begin;
    std::int64_t missed = 0;  // since when somebody is gone
    Backoff backoff;
    for (;;) {
      backoff.pause();
      if (ready()) {
        return;
      }
      if (fate_->failed()) {
        throw_stopped(ops);
      }
      std::int64_t const now = steady_nanoseconds();
      if (now - watched >= watch_every_ns) {
        watched = now;
        int const lost = somebody_lost();
        missed = lost < 0 ? 0 : (missed == 0 ? now : missed);
        if (lost >= 0 && now - missed >= grace.count * 1'000'000) {
          fail_world(Errc::aborted, world_rank(lost),
                     text(me_in(ops), ": ", name(lost), " ", what_of(lost)), 0);
        }
      }
      if (now >= end) {
        fail_timeout(ops, patience);
      }
    }
  }

  [[noreturn]] void fail_nccl(std::span<Operation const> ops, ncclResult_t result) {
    fail_world(Errc::nccl, -1, text(me_in(ops), " failed: ", nccl::describe(result)),
               static_cast<int>(result));
  }

  /// Records the failure for everybody here, aborts, and throws it.
  [[noreturn]] void fail_world(Errc code, int rank, std::string const& message, int native) {
    fate_->fail(code, rank, message, native);
    fate_->abort_all();
    throw Error(code, message, rank, native);
  }

  [[noreturn]] void throw_stopped(std::span<Operation const> ops) const {
    if (!fate_->failed()) {
      throw Error(Errc::aborted, text(me_in(ops), ": this communicator has no NCCL communicator"));
    }
    Fate::Failure const& root = fate_->failure();
    throw Error(Errc::aborted, text(me_in(ops), ": stopped because ", root.message), root.rank);
  }

  [[nodiscard]] int world_rank(int rank) const noexcept {
    return world_ranks_.empty() ? rank : world_ranks_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] std::string name(int rank) const {
    std::string out = text("rank ", rank, "/", size_);
    return world_rank(rank) == rank ? out : text(out, " (world rank ", world_rank(rank), ")");
  }
  /// This rank, its call and the number of that call.
  [[nodiscard]] std::string me_in(std::span<Operation const> ops) const {
    return text(name(rank_), " in ", describe(ops), " #", calls_);
  }

  /// Gives NCCL's communicator back after `ncclCommFinalize` has succeeded.
  void end(std::span<Operation const> ops, Milliseconds patience) {
    Milliseconds const least{5'000};
    bool const clean = Release::destroying(handle_->take())
                           .finish(Deadline::after(patience > least ? patience : least));
    finalized_ = true;
    board().set(Phase::left);
    fate_->remove(handle_.get());
    if (!clean) {
      throw Error(Errc::timeout,
                  text(me_in(ops),
                       ": NCCL did not give the communicator back in time; is a "
                       "captured graph that uses it still alive?"),
                  world_rank(rank_));
    }
  }

 private:
  /// A member whose process is gone, or that aborted; -1 where nobody is known to.
  [[nodiscard]] int somebody_lost() const noexcept {
    for (int r = 0; r < size_; ++r) {  // before all have joined, nobody is a neighbour yet
      if (r != rank_ && (board().phase(r) == Phase::aborted || board().gone(r))) {
        return r;
      }
    }
    return -1;
  }
  [[nodiscard]] std::string what_of(int rank) const {
    if (board().gone(rank)) {
      return text("is gone: its process ", board().pid(rank), " has ended");
    }
    switch (board().phase(rank)) {
      case Phase::aborted:
        return "has aborted";
      case Phase::left:
        return "has left";
      case Phase::none:
        return "is not known here: it has not joined or runs on another host";
      case Phase::joined:
        break;
    }
    return text("has made ", board().calls(rank), " of ", calls_, " calls");
  }

  /// How likely a member is the one at fault; 0 for one that is as far as this rank.
  [[nodiscard]] int suspicion(int rank) const noexcept {
    switch (board().phase(rank)) {
      case Phase::aborted:
        return 5;
      case Phase::left:
        return 3;
      case Phase::none:
        return 1;
      case Phase::joined:
        break;
    }
    return board().gone(rank) ? 6 : (board().calls(rank) < calls_ ? 4 : 0);
  }

  /// Whether this rank waits for that one: the partners of sends and receives, else all.
  [[nodiscard]] static bool waits_for(std::span<Operation const> ops, int rank) noexcept {
    for (Operation const& op : ops) {
      if ((op.kind != Kind::send && op.kind != Kind::recv) || op.peer == rank) {
        return true;
      }
    }
    return false;
  }

  [[noreturn]] void fail_timeout(std::span<Operation const> ops, Milliseconds patience) {
    std::string who;
    std::string all;
    int worst = 0;
    int culprit = -1;
    int listed = 0;
    for (int r = 0; r < size_; ++r) {
      if (r == rank_ || !waits_for(ops, r)) {
        continue;
      }
      int const suspect = suspicion(r);
      if (suspect > 0 && ++listed <= 8) {
        who += text(who.empty() ? "" : ", ", name(r), " (", what_of(r), ")");
      }
      all += text(all.empty() ? "" : ", ", r);
      if (suspect > worst) {
        worst = suspect;
        culprit = r;
      }
    }
    // A rank of which nothing is known is no culprit unless it is the only one waited for.
    bool const named = worst > 1 || (size_ == 2 && culprit >= 0);
    fail_world(
        Errc::timeout, named ? world_rank(culprit) : -1,
        text(me_in(ops), ": not done within ", patience.count, " ms; waited for ",
             who.empty() ? text("ranks ", all, ", which have all come as far as this one") : who),
        0);
  }

  std::shared_ptr<Fate> fate_;
  std::shared_ptr<Handle> handle_;
  std::vector<int> world_ranks_;  // empty for the world itself
  std::vector<int> neighbours_;   // other members on this host
  std::uint64_t key_;
  std::uint64_t calls_ = 0;
  Milliseconds timeout_;
  int rank_;
  int size_;
  int device_;
  bool finalized_ = false;
};

}  // namespace rlhf::inline v0::nccl::detail
