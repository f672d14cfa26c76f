/// @file
/// Makes worlds of `comm::Local` and runs functions on all their ranks. Layer: comm.
#pragma once

#include <rlhf/comm/local.hpp>
#include <rlhf/core/config.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::comm {

/// Settings of a world of threads.
struct LocalOptions {
  Milliseconds timeout{30'000};  ///< Longest wait of any call.
  /// Whether `run_local` says on stderr which ranks have not returned so long after a failure.
  bool warn = true;
};

/// A world of `ranks` communicators for threads that the caller owns.
///
/// `communicator(r)` may be taken once a rank; call `leave(r)` when rank r's thread ends and
/// `fail(r, why)` when it ends badly, so that nobody waits for it. `run_local` does all of that.
/// Thread safety: all members may be called from any thread.
template <class Late = void>
class LocalWorld {
 public:
  explicit LocalWorld(int ranks, LocalOptions options = {}) : options_(options), ranks_(ranks) {
    expects(ranks > 0, "a world needs at least one rank");
    world_ = new detail::LocalWorldState<Late>(ranks);  // NOLINT: counted by references
    world_->references = 1;
    std::vector<rlhf::detail::late<int, Late>> members(static_cast<std::size_t>(ranks));
    for (int r = 0; r < ranks; ++r) {
      members[static_cast<std::size_t>(r)] = r;
    }
    group_ = world_->make_group(std::move(members));
    taken_.assign(static_cast<std::size_t>(ranks), std::uint8_t{0});
  }
  LocalWorld(LocalWorld const&) = delete;
  LocalWorld& operator=(LocalWorld const&) = delete;
  LocalWorld(LocalWorld&&) = delete;
  LocalWorld& operator=(LocalWorld&&) = delete;
  ~LocalWorld() {
    for (std::uint8_t const taken : taken_) {
      if (taken == 0) {
        detail::LocalWorldState<Late>::release(world_, group_);
      }
    }
    detail::LocalWorldState<Late>::release(world_, nullptr);
  }

  [[nodiscard]] int size() const noexcept { return ranks_; }

  /// The communicator of one rank; once a rank.
  [[nodiscard]] BasicLocal<Late> communicator(int rank) {
    expects(rank >= 0 && rank < ranks_, "a rank must be below the size of its world");
    detail::Hold const hold(world_->monitor);
    std::uint8_t& taken = taken_[static_cast<std::size_t>(rank)];
    expects(taken == 0, "the communicator of this rank has been taken already");
    taken = 1;
    return {group_, rank, options_.timeout};
  }

  void leave(int rank) { world_->leave(rank); }
  void fail(int rank, Errc code, std::string message) {
    world_->fail(code, rank, std::move(message));
  }
  /// Waits until every rank has left; after a failure for `patience` only. Empty, or a sentence
  /// that names the ranks that have not.
  [[nodiscard]] std::string wait_for_ranks(Milliseconds patience) const {
    detail::Hold const hold(world_->monitor);
    while (!world_->failure.set && !world_->remaining().empty()) {
      world_->monitor.wait();
    }
    Deadline const deadline = Deadline::after(patience);
    while (!world_->remaining().empty()) {
      if (!world_->monitor.wait(deadline) && !world_->remaining().empty()) {
        return text("rank ", world_->remaining(), " of ", ranks_, " has not returned ",
                    patience.count,
                    " ms after a failure; a thread cannot be ended from outside, so ",
                    "the program waits for it. The failure: ", world_->failure.message);
      }
    }
    return {};
  }
  /// Throws the first failure of the world, if there was one.
  void rethrow() const {
    detail::Hold const hold(world_->monitor);
    if (world_->failure.set) {
      throw Error(world_->failure.code, world_->failure.message, world_->failure.rank);
    }
  }

 private:
  detail::LocalWorldState<Late>* world_ = nullptr;
  detail::LocalGroup<Late>* group_ = nullptr;
  std::vector<rlhf::detail::late<std::uint8_t, Late>> taken_;
  LocalOptions options_;
  int ranks_;
};

namespace detail {

template <class Function>
struct RankThread {
  LocalWorld<>* world;
  Function* function;
  int rank;
  pthread_t thread;

  static void* start(void* self_pointer) noexcept {
    auto& self = *static_cast<RankThread*>(self_pointer);
    auto const failed = [&](Errc code, int culprit, std::string_view what) {
      self.world->fail(culprit, code,
                       text("rank ", self.rank, "/", self.world->size(), " failed: ", what));
    };
    try {
      (*self.function)(self.world->communicator(self.rank));
    } catch (Error const& error) {
      failed(
          error.code(), error.rank() < 0 ? self.rank : error.rank(),
          text(error.message(), " (at ", error.location().file, ":", error.location().line, ")"));
    } catch (std::exception const& error) {
      failed(Errc::aborted, self.rank, error.what());
    } catch (...) {
      failed(Errc::aborted, self.rank, "an exception of unknown type");
    }
    self.world->leave(self.rank);
    return nullptr;
  }
};

}  // namespace detail

/// Runs `function(Local)` on `ranks` threads, one a rank, and returns when all have ended.
///
/// When a rank throws, the others' pending and later calls fail; after all have ended, the first
/// failure is thrown here as an `Error` that names the rank. A rank that does not return, because
/// it is stuck in code of its own, is named on stderr (`LocalOptions::warn`), since that must wait.
template <class Function>
  requires std::is_invocable_v<Function&, Local>
void run_local(int ranks, Function function, LocalOptions options = {}) {
  LocalWorld<> world(ranks, options);
  std::vector<detail::RankThread<Function>> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    auto& thread =
        threads.emplace_back(detail::RankThread<Function>{&world, &function, rank, pthread_t{}});
    int const status =
        pthread_create(&thread.thread, nullptr, &detail::RankThread<Function>::start, &thread);
    if (status != 0) {
      world.fail(rank, Errc::io, text("the system refused thread ", rank, " of ", ranks));
      threads.pop_back();
      for (int absent = rank; absent < ranks; ++absent) {
        world.leave(absent);
      }
      break;
    }
  }
  std::string const stuck = world.wait_for_ranks(options.timeout);
  if (!stuck.empty() && options.warn) {
    std::fprintf(stderr, "rlhf: %s\n", stuck.c_str());
  }
  for (auto& thread : threads) {
    pthread_join(thread.thread, nullptr);
  }
  world.rethrow();
}

}  // namespace rlhf::inline v0::comm
