/// @file
/// A rank's place in a group of threads: how it waits for the others, and the calls that all of
/// them make together. Layer: comm, private.
#pragma once

#include <rlhf/comm/detail/local_world.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rlhf::inline v0::comm::detail {

/// Does not own its group.
template <class Late>
struct LocalMember {
  using Call = detail::Call<Late>;
  using Failure = detail::Failure<Late>;

  LocalGroup<Late>* group = nullptr;
  Milliseconds timeout{30'000};
  std::uint64_t calls = 0;
  int rank = 0;

  [[nodiscard]] int size() const noexcept { return group->size(); }
  [[nodiscard]] int world_rank(int member) const {
    return group->world_ranks[static_cast<std::size_t>(member)];
  }

  void fail_world(Errc code, int at_fault, std::string message) noexcept {
    try {
      group->world->fail(code, at_fault, std::move(message));
    } catch (...) {  // no memory for the message: the deadline of the others still holds
    }
  }

  /// Records a failure for everybody, then throws it here.
  [[noreturn]] void fail_with(Errc code, int at_fault, std::string const& message) {
    fail_world(code, at_fault, message);
    throw Error(code, message, at_fault);
  }

  /// This rank and its call, which is described on failure only: waits allocate nothing.
  template <class CallOrTransfer>
  [[nodiscard]] std::string me_in(CallOrTransfer const& what) const {
    return text(group->name(rank), " in ", describe(what));
  }

  /// What ends a wait: another's failure, a member that left, the deadline. Caller holds the lock.
  /// Returns a failure to throw, or one that is not set.
  template <class CallOrTransfer, class Missing>
  [[nodiscard]] Failure wait_once(Deadline const& deadline, CallOrTransfer const& what,
                                  Missing&& missing) {
    if (group->failure != nullptr) {
      return consequence(what);
    }
    for (int r = 0; r < size(); ++r) {
      if (group->left[static_cast<std::size_t>(r)] != 0 && missing(r)) {
        return {true, Errc::aborted, world_rank(r),
                text(me_in(what), ": waits for ", group->name(r),
                     ", whose function has already returned")};
      }
    }
    if (group->monitor.wait(deadline) || group->failure != nullptr) {
      return {};
    }
    std::string who;
    int first = -1;
    for (int r = 0; r < size(); ++r) {
      if (missing(r)) {
        Call const& last = group->calls[static_cast<std::size_t>(r)];
        who += text(first < 0 ? "" : ", ", group->name(r), " (last collective: ", describe(last),
                    " #", last.number, ")");
        first = first < 0 ? r : first;
      }
    }
    if (first < 0) {
      return {};  // it came just now
    }
    return {true, Errc::timeout, world_rank(first),
            text(me_in(what), ": no answer within ", timeout.count, " ms from ", who)};
  }

  template <class CallOrTransfer>
  [[nodiscard]] Failure consequence(CallOrTransfer const& what) const {
    Failure const& root = *group->failure;
    return {true, Errc::aborted, root.rank, text(me_in(what), ": stopped because ", root.message)};
  }

  /// Waits until every member made this call; returns what each of them passed.
  std::vector<Call> const& enter(Call call) {
    if (call.count < 0) {
      fail(Errc::invalid_argument, text("the count of ", describe(call), " must not be negative"));
    }
    call.number = ++calls;
    Failure failure;
    {
      detail::Hold const hold(group->monitor);
      if (group->failure != nullptr) {
        failure = consequence(call);
      } else {
        group->calls[static_cast<std::size_t>(rank)] = call;
        std::uint64_t const round = group->arrivals;
        if (++group->arrived == size()) {
          failure = compare_calls();
          if (!failure.set) {
            group->arrived = 0;
            ++group->arrivals;
            group->monitor.notify_all();
          }
        } else {
          Deadline const deadline = Deadline::after(timeout);
          while (group->arrivals == round && !failure.set) {
            failure = wait_once(deadline, call, [&, this](int r) {
              return group->calls[static_cast<std::size_t>(r)].number < call.number;
            });
            if (group->arrivals != round) {
              failure = {};  // everybody came in the meantime: the call goes on
            }
          }
        }
      }
    }
    if (failure.set) {
      fail_with(failure.code, failure.rank, failure.message);
    }
    return group->calls;
  }

  /// Whether all members made the same call; if not, the first that made another than most is at
  /// fault. Caller holds the lock and is the last to arrive.
  [[nodiscard]] Failure compare_calls() const {
    auto const call_of = [&, this](int r) -> Call const& {
      return group->calls[static_cast<std::size_t>(r)];
    };
    auto const first_unlike = [&, this](int usual) {
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
    auto const who = [&, this](int r) {
      return text(group->name(r), " ", describe(call_of(r)), " #", call_of(r).number);
    };
    return {true, Errc::rank_mismatch, world_rank(odd),
            text("ranks made different calls: ", who(usual), ", ", who(odd))};
  }

  /// Waits until every member is done with the others' buffers. Certain to happen: whoever entered
  /// only copies memory until it leaves.
  void leave() noexcept {
    detail::Hold const hold(group->monitor);
    std::uint64_t const round = group->departures;
    if (++group->departed == size()) {
      group->departed = 0;
      ++group->departures;
      group->monitor.notify_all();
    } else {
      while (group->departures == round) {
        group->monitor.wait();
      }
    }
  }
};

}  // namespace rlhf::inline v0::comm::detail
