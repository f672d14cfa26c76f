/// @file
/// Sends and receives of one rank of a group of threads, made together. Layer: comm, private.
#pragma once

#include <rlhf/comm/detail/local_member.hpp>
#include <rlhf/comm/detail/local_world.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/pack.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace rlhf::inline v0::comm::detail {

/// Host memory has no streams.
struct LocalStream {};

inline void copy_bytes(void* to, void const* from, std::int64_t bytes) noexcept {
  if (to != from && bytes != 0) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
}

enum class Direction : std::uint8_t { send, recv };

template <class Late>
struct LocalTransfer {
  void* data = nullptr;
  std::int64_t count = 0;
  DType dtype{};
  int peer = 0;
  Direction direction{};
  Post<Late> post{};
  bool done = false;
  std::vector<rlhf::detail::late<Region, Late>> const* regions = nullptr;  // instead of data
};

template <class Late>
[[nodiscard]] std::string describe(LocalTransfer<Late> const& transfer) {
  return text(transfer.direction == Direction::send ? "send(" : "recv(", transfer.count, " x ",
              rlhf::to_string(transfer.dtype),
              transfer.direction == Direction::send ? ", to rank " : ", from rank ", transfer.peer,
              ")");
}

template <class Late>
class LocalMessages {
  using Member = LocalMember<Late>;
  using Transfer = LocalTransfer<Late>;
  using Failure = detail::Failure<Late>;
  using Mailbox = detail::Mailbox<Late>;
  using Post = detail::Post<Late>;

 public:
  void push(Transfer const& transfer) { queue_.push_back(transfer); }
  void clear() noexcept { queue_.clear(); }

  /// Makes all queued sends and receives, together.
  void exchange(Member& member) {
    Failure failure;
    {
      detail::Hold const hold(member.group->monitor);
      failure = post_and_receive(member);
      withdraw(member);
    }
    queue_.clear();
    if (failure.set) {
      member.fail_with(failure.code, failure.rank, failure.message);
    }
  }

 private:
  /// Caller holds the lock.
  [[nodiscard]] Failure post_and_receive(Member& member) {
    for (Transfer& transfer : queue_) {
      if (transfer.direction == Direction::send) {
        transfer.post = {transfer.data, transfer.count,       transfer.dtype,
                         transfer.peer, Post::State::waiting, transfer.regions};
        member.group->mailbox(member.rank, transfer.peer).posts.push_back(&transfer.post);
      }
    }
    member.group->monitor.notify_all();
    Deadline const deadline = Deadline::after(member.timeout);
    for (;;) {
      Failure failure;
      if (receive_ready(member, failure) && !failure.set) {
        continue;  // time passed while copying: look again before waiting
      }
      if (failure.set) {
        return failure;
      }
      Transfer const* const open = first_open();
      if (open == nullptr) {
        return {};
      }
      failure = member.wait_once(deadline, *open, [&, this](int r) { return waits_for(r); });
      if (failure.set && first_open() != nullptr) {
        return failure;
      }
    }
  }

  /// Moves a message's elements from where they lie to where they belong. Without the lock.
  static void deliver(Transfer const& want, Post const& post) {
    HostPacker<LocalStream> const packer;
    if (post.regions != nullptr && want.regions != nullptr) {
      packer.copy(*post.regions, *want.regions);
    } else if (post.regions != nullptr) {
      packer.pack(*post.regions, static_cast<std::byte*>(want.data));
    } else if (want.regions != nullptr) {
      packer.unpack(*want.regions, static_cast<std::byte const*>(post.data));
    } else {
      copy_bytes(want.data, post.data, want.count * size_of(want.dtype));
    }
  }

  /// Takes every message that has arrived for an open receive. True when one was taken.
  bool receive_ready(Member& member, Failure& failure) {
    bool taken = false;
    for (std::size_t i = 0; i < queue_.size(); ++i) {
      Transfer& want = queue_[i];
      if (want.direction != Direction::recv || want.done || earlier_open_recv(i)) {
        continue;
      }
      Mailbox& mailbox = member.group->mailbox(want.peer, member.rank);
      if (mailbox.empty() || member.group->failure != nullptr) {
        continue;
      }
      Post& post = *mailbox.front();
      if (post.count != want.count || post.dtype != want.dtype) {
        failure = {true, Errc::rank_mismatch, member.world_rank(want.peer),
                   text(member.group->name(want.peer), " sent ", post.count, " x ",
                        rlhf::to_string(post.dtype), ", ", member.me_in(want),
                        " expects another size or type")};
        return taken;
      }
      mailbox.pop();
      post.state = Post::State::copying;
      member.group->monitor.unlock();
      deliver(want, post);
      member.group->monitor.lock();
      post.state = Post::State::done;
      want.done = true;
      taken = true;
      member.group->monitor.notify_all();
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

  /// Takes back what nobody read, and waits for whoever is reading. Caller holds the lock.
  void withdraw(Member& member) noexcept {
    for (Transfer& transfer : queue_) {
      if (transfer.direction != Direction::send) {
        continue;
      }
      while (transfer.post.state == Post::State::copying) {
        member.group->monitor.wait();
      }
      if (transfer.post.state == Post::State::waiting) {
        Mailbox& mailbox = member.group->mailbox(member.rank, transfer.peer);
        mailbox.withdraw(&transfer.post);
      }
    }
  }

  std::vector<Transfer> queue_;
};

}  // namespace rlhf::inline v0::comm::detail
