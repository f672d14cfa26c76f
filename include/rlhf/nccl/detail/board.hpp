/// @file
/// What the ranks of one communicator on one host can see of each other without talking. Layer:
/// nccl, private.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/nccl/detail/process.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rlhf::inline v0::nccl::detail {

/// How far a rank is.
enum class Phase : std::uint32_t {
  none,     ///< Has not joined, or runs on another host.
  joined,   ///< Uses the communicator.
  left,     ///< Finalized or destroyed it.
  aborted,  ///< Gave it up because of a failure.
};

/// One rank's line, written by that rank alone. Zero bytes are a line of nobody.
struct alignas(64) BoardLine {
  std::atomic<std::uint64_t> start;
  std::atomic<std::uint64_t> calls;
  std::atomic<std::uint32_t> phase;
  std::atomic<std::int32_t> pid;
};
static_assert(sizeof(BoardLine) == 64 && std::atomic<std::uint64_t>::is_always_lock_free);

/// A file in shared memory with one line a rank, for diagnosis alone: without it everything works,
/// only with errors that name nobody. The file has no name once all have mapped it.
class Board {
 public:
  Board() noexcept = default;
  /// Joins as `rank` of `size`. `key` is equal on all ranks of the communicator and on no others.
  Board(std::uint64_t key, int rank, int size) noexcept : rank_(rank), size_(size) {
    std::uint64_t const name = Fingerprint{}
                                   .add(key)
                                   .add(process_namespace())
                                   .add(static_cast<std::uint64_t>(size))
                                   .value();
    std::snprintf(path_, sizeof path_, "/dev/shm/rlhf-%u-%016llx", geteuid(),
                  static_cast<unsigned long long>(name));
    int const file = open(path_, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
      return;
    }
    struct stat info {};
    void* memory = MAP_FAILED;
    // Allocated, not only sized: writing to memory that a full /dev/shm lacks would be a signal.
    if (fstat(file, &info) == 0 && info.st_uid == geteuid() &&
        posix_fallocate(file, 0, static_cast<off_t>(bytes())) == 0) {
      memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    close(file);
    if (memory == MAP_FAILED) {
      return;
    }
    lines_ = static_cast<BoardLine*>(memory);
    // What an earlier run left behind that did not come as far as taking the name away.
    for (int r = 0; r < size_; ++r) {
      int const pid = lines_[r].pid.load();
      if (r == rank_ || (pid != 0 && !process_lives(pid, lines_[r].start.load()))) {
        lines_[r].phase.store(static_cast<std::uint32_t>(Phase::none));
        lines_[r].pid.store(0);
        lines_[r].calls.store(0);
      }
    }
    lines_[rank_].start.store(process_start(getpid()));
    lines_[rank_].pid.store(getpid());
    set(Phase::joined);
  }
  Board(Board&& other) noexcept
      : lines_(std::exchange(other.lines_, nullptr)),
        rank_(other.rank_),
        size_(other.size_) {
    for (std::size_t i = 0; i < sizeof path_; ++i) {
      path_[i] = std::exchange(other.path_[i], '\0');
    }
  }
  Board& operator=(Board&&) = delete;
  Board(Board const&) = delete;
  Board& operator=(Board const&) = delete;
  ~Board() {
    take_name_away();
    if (lines_ != nullptr) {
      munmap(lines_, bytes());
    }
  }

  /// Call once every rank of this host has joined.
  void take_name_away() noexcept {
    if (path_[0] != '\0') {
      unlink(path_);
      path_[0] = '\0';
    }
  }

  void set(Phase phase) noexcept {
    if (lines_ != nullptr) {
      lines_[rank_].phase.store(static_cast<std::uint32_t>(phase), std::memory_order_release);
    }
  }
  void set_calls(std::uint64_t calls) noexcept {
    if (lines_ != nullptr) {
      lines_[rank_].calls.store(calls, std::memory_order_relaxed);
    }
  }

  [[nodiscard]] Phase phase(int rank) const noexcept {
    return lines_ == nullptr
               ? Phase::none
               : static_cast<Phase>(lines_[rank].phase.load(std::memory_order_acquire));
  }
  [[nodiscard]] std::uint64_t calls(int rank) const noexcept {
    return lines_ == nullptr ? 0 : lines_[rank].calls.load(std::memory_order_relaxed);
  }
  [[nodiscard]] int pid(int rank) const noexcept {
    return lines_ == nullptr ? 0 : lines_[rank].pid.load();
  }
  /// Whether a rank joined and its process ended since. Cost: a system call.
  [[nodiscard]] bool gone(int rank) const noexcept {
    return phase(rank) == Phase::joined && !process_lives(pid(rank), lines_[rank].start.load());
  }

 private:
  [[nodiscard]] std::size_t bytes() const noexcept {
    return sizeof(BoardLine) * static_cast<std::size_t>(size_);
  }

  BoardLine* lines_ = nullptr;
  int rank_ = 0;
  int size_ = 0;
  char path_[64] = {};
};

}  // namespace rlhf::inline v0::nccl::detail
