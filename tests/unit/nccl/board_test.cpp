// What ranks of one host see of each other, without NCCL and without a device.
#include <rlhf/nccl/detail/board.hpp>
#include <rlhf/nccl/detail/process.hpp>

#include <cstdint>
#include <optional>
#include <utility>

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using rlhf::nccl::detail::Board;
using rlhf::nccl::detail::Phase;

std::uint64_t fresh_key() {
  static std::uint64_t number = 0;
  return static_cast<std::uint64_t>(getpid()) * 1'000'003 + ++number;
}

/// A child that waits until it is killed; `prepare` runs in it first.
template <class Prepare>
pid_t start_child(Prepare prepare) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t const pid = fork();
  if (pid == 0) {
    prepare();
    char const ready = 1;
    if (write(ends[1], &ready, 1) == 1) {
      for (;;) {
        pause();
      }
    }
    _exit(1);
  }
  char ready = 0;
  CHECK(read(ends[0], &ready, 1) == 1);
  close(ends[0]);
  close(ends[1]);
  return pid;
}

}  // namespace

TEST_CASE("a process lives until it ends, and a zombie is dead") {
  using rlhf::nccl::detail::process_lives;
  using rlhf::nccl::detail::process_start;
  CHECK(process_start(getpid()) != 0);
  CHECK(process_lives(getpid(), process_start(getpid())));
  CHECK_FALSE(process_lives(getpid(), process_start(getpid()) + 1));  // another of that number
  pid_t const child = start_child([] {});
  std::uint64_t const start = process_start(child);
  CHECK(process_lives(child, start));
  kill(child, SIGKILL);
  siginfo_t info{};
  CHECK(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK_FALSE(process_lives(child, start));  // a zombie
  waitpid(child, nullptr, 0);
  CHECK_FALSE(process_lives(child, start));
}

TEST_CASE("ranks see each other's phase and calls") {
  std::uint64_t const key = fresh_key();
  Board first(key, 0, 3);
  CHECK(first.phase(0) == Phase::joined);
  CHECK(first.phase(1) == Phase::none);
  Board second(key, 1, 3);
  Board stranger(key + 1, 2, 3);
  CHECK(first.phase(1) == Phase::joined);
  CHECK(first.phase(2) == Phase::none);
  CHECK(first.pid(1) == getpid());
  second.set_calls(17);
  CHECK(first.calls(1) == 17);
  CHECK_FALSE(first.gone(1));
  second.set(Phase::aborted);
  CHECK(first.phase(1) == Phase::aborted);
  CHECK_FALSE(first.gone(1));
}

TEST_CASE("once its name is away, a board is shared by those who have it alone") {
  std::uint64_t const key = fresh_key();
  Board first(key, 0, 2);
  Board second(key, 1, 2);
  first.take_name_away();
  second.take_name_away();
  second.set_calls(3);
  CHECK(first.calls(1) == 3);
  Board const later(key, 1, 2);  // of the next world with the same id
  CHECK(later.phase(0) == Phase::none);
  CHECK(first.calls(1) == 3);
}

TEST_CASE("a process that is killed is gone, one that left before is not") {
  std::uint64_t const key = fresh_key();
  Board board(key, 0, 2);
  pid_t const killed = start_child([&] { new Board(key, 1, 2); });
  CHECK(board.phase(1) == Phase::joined);
  CHECK(board.pid(1) == killed);
  CHECK_FALSE(board.gone(1));
  kill(killed, SIGKILL);
  waitpid(killed, nullptr, 0);
  CHECK(board.gone(1));
  {
    Board const again(key, 1, 2);
    CHECK_FALSE(board.gone(1));
  }
  std::uint64_t const other = fresh_key();
  Board peer(other, 0, 2);
  pid_t const left = start_child([&] { (new Board(other, 1, 2))->set(Phase::left); });
  kill(left, SIGKILL);
  waitpid(left, nullptr, 0);
  CHECK(peer.phase(1) == Phase::left);
  CHECK_FALSE(peer.gone(1));
}

TEST_CASE("lines of dead processes are swept when a rank joins") {
  std::uint64_t const key = fresh_key();
  pid_t const killed = start_child([&] { new Board(key, 1, 2); });
  kill(killed, SIGKILL);
  waitpid(killed, nullptr, 0);
  Board const board(key, 0, 2);
  CHECK(board.phase(1) == Phase::none);
}

TEST_CASE("without memory a board shows nothing and takes everything") {
  Board none;
  none.set(Phase::joined);
  none.set_calls(1);
  none.take_name_away();
  CHECK(none.phase(0) == Phase::none);
  CHECK(none.calls(5) == 0);
  CHECK_FALSE(none.gone(3));
  Board moved(std::move(none));
  CHECK(moved.pid(0) == 0);
}
