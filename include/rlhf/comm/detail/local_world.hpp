/// @file
/// What the threads of one `comm::Local` world share: who failed, who left, which groups exist.
/// Layer: comm, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/detail/monitor.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::comm::detail {

enum class Operation : std::uint8_t {
  none,
  broadcast,
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  barrier,
  split,
};

[[nodiscard]] constexpr std::string_view to_string(Operation operation) noexcept {
  constexpr std::string_view names[] = {"no call",        "broadcast",  "all_reduce", "all_gather",
                                        "reduce_scatter", "all_to_all", "barrier",    "split"};
  return names[static_cast<std::size_t>(operation)];
}

// Everything that holds a vector is a template, and its elements too: a file that makes no world
// instantiates none of it. `Late` is void.

/// What one rank said when it entered a collective.
template <class Late>
struct Call {
  Operation operation = Operation::none;
  DType dtype = DType::u8;
  Reduce reduce = Reduce::sum;
  int root = 0;  ///< Root of a broadcast; color of a split.
  int key = 0;
  std::int64_t count = 0;
  std::uint64_t number = 0;  ///< How many collectives this rank has entered on this group.
  void const* in = nullptr;
  void* out = nullptr;

  [[nodiscard]] bool same_as(Call const& other) const noexcept {
    return operation == other.operation && dtype == other.dtype && reduce == other.reduce &&
           count == other.count && (root == other.root || operation == Operation::split);
  }
};

template <class Late>
[[nodiscard]] std::string describe(Call<Late> const& call) {
  if (call.operation == Operation::barrier || call.operation == Operation::split ||
      call.operation == Operation::none) {
    return std::string(to_string(call.operation));
  }
  std::string out =
      text(to_string(call.operation), "(", call.count, " x ", rlhf::to_string(call.dtype));
  if (call.operation == Operation::broadcast) {
    out += text(", root ", call.root);
  } else if (call.operation == Operation::all_reduce ||
             call.operation == Operation::reduce_scatter) {
    out += text(", ", comm::to_string(call.reduce));
  }
  return out + ")";
}

/// The first failure of a world. Once set it never changes.
template <class Late>
struct Failure {
  bool set = false;
  Errc code = Errc::aborted;
  int rank = -1;  ///< World rank at fault.
  std::string message;
};

/// A message that waits for its receiver. Lives on the sender's side until it is taken.
template <class Late>
struct Post {
  enum class State : std::uint8_t { waiting, copying, done };
  void const* data = nullptr;
  std::int64_t count = 0;
  DType dtype = DType::u8;
  int peer = 0;
  State state = State::waiting;
  std::vector<rlhf::detail::late<Region, Late>> const* regions = nullptr;  // instead of data
};

/// Messages from one rank to another, oldest first.
template <class Late>
struct Mailbox {
  std::vector<Post<Late>*> posts;
  std::size_t head = 0;

  [[nodiscard]] bool empty() const noexcept { return head == posts.size(); }
  [[nodiscard]] Post<Late>* front() const noexcept { return posts[head]; }
  void pop() noexcept {
    if (++head == posts.size()) {
      posts.clear();
      head = 0;
    }
  }
  /// Takes back a post that nobody took.
  void withdraw(Post<Late> const* post) noexcept {
    std::size_t kept = 0;
    for (Post<Late>* const other : posts) {
      if (other != post) {
        posts[kept++] = other;
      }
    }
    posts.resize(kept);
    head = head < kept ? head : kept;
  }
};

template <class Late>
struct LocalWorldState;

/// Ranks that call collectives together. Everything below `monitor` is guarded by it.
template <class Late>
struct LocalGroup {
  LocalGroup(LocalWorldState<Late>* world_state, std::vector<rlhf::detail::late<int, Late>> members)
      : world(world_state),
        world_ranks(std::move(members)),
        calls(world_ranks.size()),
        left(world_ranks.size(), 0),
        mailboxes(world_ranks.size() * world_ranks.size()) {}

  LocalWorldState<Late>* world;
  std::vector<rlhf::detail::late<int, Late>> world_ranks;
  int references = 0;  // guarded by the world's monitor

  Monitor monitor;
  Failure<Late> const* failure = nullptr;
  std::vector<Call<Late>> calls;                             // the last call of each member
  std::vector<rlhf::detail::late<std::uint8_t, Late>> left;  // members whose function has returned
  std::vector<Mailbox<Late>> mailboxes;                      // from * size + to
  std::vector<LocalGroup*> splits;  // result of the split under way, one a member
  int arrived = 0;
  int departed = 0;
  std::uint64_t arrivals = 0;
  std::uint64_t departures = 0;

  [[nodiscard]] int size() const noexcept { return static_cast<int>(world_ranks.size()); }
  [[nodiscard]] Mailbox<Late>& mailbox(int from, int to) noexcept {
    return mailboxes[static_cast<std::size_t>(from) * world_ranks.size() +
                     static_cast<std::size_t>(to)];
  }
  [[nodiscard]] std::string name(int rank) const {
    std::string out = text("rank ", rank, "/", size());
    int const in_world = world_ranks[static_cast<std::size_t>(rank)];
    return in_world == rank ? out : text(out, " (world rank ", in_world, ")");
  }
};

/// Shared by all groups that were split from one world. Locks are taken world first, then group.
template <class Late>
struct LocalWorldState {
  explicit LocalWorldState(int ranks) : left(static_cast<std::size_t>(ranks), 0) {}

  Monitor monitor;
  std::vector<LocalGroup<Late>*> groups;
  std::vector<rlhf::detail::late<std::uint8_t, Late>> left;
  Failure<Late> failure;
  int references = 0;

  /// Records the first failure and wakes everybody. Later ones are consequences and are dropped.
  void fail(Errc code, int rank, std::string message) {
    Hold const hold(monitor);
    if (failure.set) {
      return;
    }
    failure = Failure<Late>{true, code, rank, std::move(message)};
    monitor.notify_all();
    for (LocalGroup<Late>* const group : groups) {
      Hold const hold_group(group->monitor);
      group->failure = &failure;
      group->monitor.notify_all();
    }
  }

  /// Says that a rank will make no more calls.
  void leave(int world_rank) {
    Hold const hold(monitor);
    left[static_cast<std::size_t>(world_rank)] = 1;
    monitor.notify_all();
    for (LocalGroup<Late>* const group : groups) {
      Hold const hold_group(group->monitor);
      for (std::size_t i = 0; i < group->world_ranks.size(); ++i) {
        if (group->world_ranks[i] == world_rank) {
          group->left[i] = 1;
        }
      }
      group->monitor.notify_all();
    }
  }

  /// Ranks that have not left, as text. Caller holds the lock.
  [[nodiscard]] std::string remaining() const {
    std::string out;
    for (std::size_t r = 0; r < left.size(); ++r) {
      if (left[r] == 0) {
        out += text(out.empty() ? "" : ", ", r);
      }
    }
    return out;
  }

  /// A new group with one reference a member.
  [[nodiscard]] LocalGroup<Late>* make_group(std::vector<rlhf::detail::late<int, Late>> members) {
    // Counted by its references.
    auto* const group = new LocalGroup<Late>(this, std::move(members));  // NOLINT
    group->references = group->size();
    Hold const hold(monitor);
    ++references;
    group->failure = failure.set ? &failure : nullptr;
    for (std::size_t i = 0; i < group->world_ranks.size(); ++i) {
      group->left[i] = left[static_cast<std::size_t>(group->world_ranks[i])];
    }
    groups.push_back(group);
    return group;
  }

  /// Gives one reference back; the last one of the world deletes it.
  static void release(LocalWorldState* world, LocalGroup<Late>* group) noexcept {
    bool last_of_group = false;
    bool last_of_world = false;
    {
      Hold const hold(world->monitor);
      if (group != nullptr && --group->references == 0) {
        last_of_group = true;
        std::vector<LocalGroup<Late>*>& groups = world->groups;
        std::size_t at = 0;
        while (groups[at] != group) {
          ++at;
        }
        groups[at] = groups.back();  // their order does not matter
        groups.pop_back();
        last_of_world = --world->references == 0;
      } else if (group == nullptr) {
        last_of_world = --world->references == 0;
      }
    }
    if (last_of_group) {
      delete group;  // NOLINT
    }
    if (last_of_world) {
      delete world;  // NOLINT
    }
  }
};

}  // namespace rlhf::inline v0::comm::detail
