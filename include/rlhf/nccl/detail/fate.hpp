/// @file
/// What ends together: the NCCL communicators of one world in this process. Layer: nccl, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/nccl/detail/board.hpp>
#include <rlhf/nccl/detail/release.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nccl.h>

namespace rlhf::inline v0::nccl::detail {

/// Longest wait for NCCL to give a communicator back.
inline constexpr Milliseconds release_patience{10'000};

/// One NCCL communicator, which another thread may take away at any moment to abort it, and what
/// this host sees of its ranks.
class Handle {
 public:
  Handle(std::uint64_t key, int rank, int size) noexcept : board(key, rank, size) {}

  Board board;

  void set(ncclComm_t comm) noexcept {
    std::lock_guard const hold(mutex_);
    comm_ = comm;
  }
  /// Null where it is gone, or in a call of NCCL's that does not end.
  [[nodiscard]] ncclComm_t take() noexcept {
    std::unique_lock const hold(mutex_, patience);
    return hold ? std::exchange(comm_, nullptr) : nullptr;
  }
  /// Calls `use(comm)`, during which nobody aborts it; false where it is gone.
  template <class Use>
  [[nodiscard]] bool with(Use&& use) {
    std::unique_lock const hold(mutex_, patience);
    if (!hold || comm_ == nullptr) {
      return false;
    }
    use(comm_);
    return true;
  }

 private:
  static constexpr std::chrono::milliseconds patience{release_patience.count};

  std::timed_mutex mutex_;
  ncclComm_t comm_ = nullptr;
};

/// The first failure of a world, and the communicators that end with it. Ranks that are threads of
/// one process may share one. Thread safety: any thread may call anything.
class Fate {
 public:
  struct Failure {
    Errc code = Errc::aborted;
    int rank = -1;  ///< World rank at fault.
    int native = 0;
    std::string message;
  };

  void add(std::shared_ptr<Handle> const& handle) {
    std::lock_guard const hold(mutex_);
    handles_.push_back(handle);
  }
  void remove(Handle const* handle) noexcept {
    std::lock_guard const hold(mutex_);
    for (std::shared_ptr<Handle>& one : handles_) {
      if (one.get() == handle) {
        std::swap(one, handles_.back());
        handles_.pop_back();
        return;
      }
    }
  }

  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  /// Only after `failed()`: it never changes from then on.
  [[nodiscard]] Failure const& failure() const noexcept { return failure_; }

  /// Records the first failure; later ones are consequences and are dropped.
  void fail(Errc code, int rank, std::string_view message, int native = 0) noexcept {
    std::lock_guard const hold(mutex_);
    if (failed()) {
      return;
    }
    failure_.code = code;
    failure_.rank = rank;
    failure_.native = native;
    try {
      failure_.message = message;
    } catch (...) {  // no memory: the code and the rank have to do
    }
    failed_.store(true, std::memory_order_release);
  }

  /// Aborts every communicator at once; false where NCCL left one behind. Bounded.
  bool abort_all() noexcept {
    Release releases[most];
    std::size_t count = 0;
    bool clean = true;
    Deadline const deadline = Deadline::after(release_patience);
    {
      std::lock_guard const hold(mutex_);
      for (std::shared_ptr<Handle> const& handle : handles_) {
        if (count == most) {  // never seen; a few more wait for a few of these
          clean = finish(releases, count, deadline) && clean;
          count = 0;
        }
        handle->board.set(Phase::aborted);
        ncclComm_t const comm = handle->take();
        if (comm != nullptr) {
          releases[count++] = Release::aborting(comm);
        }
      }
    }
    clean = finish(releases, count, deadline) && clean;
    if (!clean) {
      lost_.store(true);
    }
    return clean;
  }
  /// Whether NCCL kept a communicator, so that work on the device may never end.
  [[nodiscard]] bool lost() const noexcept { return lost_.load(); }

 private:
  static constexpr std::size_t most = 256;

  static bool finish(Release* releases, std::size_t count, Deadline const& deadline) noexcept {
    bool clean = true;
    for (std::size_t i = 0; i < count; ++i) {
      clean = releases[i].finish(deadline) && clean;
    }
    return clean;
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<Handle>> handles_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> lost_{false};
  Failure failure_;
};

}  // namespace rlhf::inline v0::nccl::detail
