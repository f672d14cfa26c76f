#include <rlhf/runtime/error_signal.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "unit/checkpoint/temporary_directory.hpp"
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace runtime = rlhf::runtime;
using ranks::Meeting;
using rlhf::Errc;
using rlhf::Milliseconds;
using rlhf::comm::Local;
using runtime::ErrorSignal;

template <class Function>
ranks::Outcome outcome_of(Function&& function) {
  try {
    function();
  } catch (rlhf::Error const& error) {
    return ranks::outcome_of(error);
  }
  return {};
}

TEST_CASE("the first failure stays") {
  ErrorSignal signal;
  CHECK(!signal.failed());
  signal.check();
  CHECK(signal.raise({Errc::io, 3, "policy", "save", "the disk is full", 28, 3}));
  CHECK(!signal.raise({Errc::timeout, 1, "reward", "score", "late", 0, 1}));
  ranks::Outcome const found = outcome_of([&] { signal.check(); });
  CHECK(found.code == Errc::io);
  CHECK(found.rank == 3);
  CHECK(found.says("failure of rank 3, module policy, phase save, input/output: the disk is full"));
  signal.reset();
  CHECK(!signal.failed());
  signal.check();
}

TEST_CASE("a failure is found again in the words of an abort") {
  runtime::Failure const failure{Errc::rank_mismatch, 12, "value model", "train", "a: b, c", 0, 12};
  runtime::Failure found;
  REQUIRE(runtime::detail::find_failure(
      "rank 1/4 in barrier: stopped because rank 12/16 aborted: failure of " + failure.text(),
      found));
  CHECK(found.text() == failure.text());
  CHECK(found.code == failure.code);
  CHECK(found.rank == 12);
  for (char const* const words :
       {"", "failure of ", "failure of rank", "failure of rank x, module a, phase b, io: c",
        "failure of rank 1, module a, phase b",
        "failure of rank 1234567890, module a, phase b, c: d",
        "rank 1, module a, phase b, io: c"}) {
    CHECK(!runtime::detail::find_failure(words, found));
  }
}

TEST_CASE("results pass through, own exceptions get rank, module and phase and keep their type") {
  ErrorSignal signal;
  auto const end = ranks::run_world(1, [&](Local& comm) {
    int value = 4;
    int& same = signal.run(comm, "policy", "train", [&]() -> int& { return value; });
    CHECK(&same == &value);
    CHECK(signal.run(comm, "policy", "train", [] { return std::make_unique<int>(3); }) != nullptr);
    ranks::Outcome const found = outcome_of(
        [&] { signal.run(comm, "policy", "train", [] { throw std::out_of_range("row 7"); }); });
    CHECK(found.says("failure of rank 0, module policy, phase train, aborted: row 7"));
  });
  CHECK(end.world.says("rank 0/1 aborted: failure of rank 0, module policy, phase train"));
  CHECK_THROWS_AS(std::rethrow_exception(signal.original()), std::out_of_range);
}

TEST_CASE("a wrapper inside a wrapper adds its module and phase once") {
  ErrorSignal signal;
  auto const end = ranks::run_world(1, [&](Local& comm) {
    ranks::Outcome const found = outcome_of([&] {
      signal.run(comm, "engine", "episode", [&] {
        signal.run(comm, "policy", "train",
                   [] { rlhf::fail(Errc::invalid_argument, "no rows", 5); });
      });
    });
    CHECK(
        found.says("failure of rank 0, module policy, phase train, invalid argument: no rows (at"));
    CHECK(!found.says("engine"));
    CHECK(found.code == Errc::invalid_argument);
    CHECK(found.rank == 5);  // whom the error named
  });
  CHECK(end.world.says("failure of rank 0, module policy"));
}

/// What a rank does in a step of the law below.
enum class Step : std::uint8_t { barrier, reduce, compute };

TEST_CASE("law: a failure on any rank, at any step, ends every rank with that error") {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    int const world = 2 + static_cast<int>(random() % 5);
    int const bad = static_cast<int>(random() % static_cast<unsigned>(world));
    bool const shared = random() % 3 != 0;  // else a signal each, as between processes
    bool const foreign = random() % 2 == 0;
    std::vector<Step> steps(8);
    for (Step& step : steps) {
      step = static_cast<Step>(random() % 3);
    }
    steps.back() = Step::barrier;
    std::size_t const at = random() % 8;
    ErrorSignal one;
    std::vector<ErrorSignal> each(static_cast<std::size_t>(world));
    std::vector<ranks::Outcome> outcomes(static_cast<std::size_t>(world));
    auto const end = ranks::run_world(world, [&](Local& comm) {
      auto const rank = static_cast<std::size_t>(comm.rank());
      ErrorSignal& signal = shared ? one : each[rank];
      outcomes[rank] = outcome_of([&] {
        for (std::size_t s = 0; s < steps.size(); ++s) {
          signal.run(comm, "policy", "step " + std::to_string(s), [&] {
            if (s == at && comm.rank() == bad) {
              if (foreign) {
                throw std::runtime_error("it broke");
              }
              rlhf::fail(Errc::corrupted, "it broke");
            }
            float value = 1;
            if (steps[s] == Step::barrier) {
              comm.barrier();
            } else if (steps[s] == Step::reduce) {
              comm.all_reduce(&value, &value, 1, rlhf::DType::f32, rlhf::comm::Reduce::sum);
            }
          });
        }
      });
    });
    CHECK(end.seconds < ranks::soon_seconds);
    std::string const want = "failure of rank " + std::to_string(bad) +
                             ", module policy, phase step " + std::to_string(at) +
                             (foreign ? ", aborted" : ", corrupted data") + ": it broke";
    for (ranks::Outcome const& outcome : outcomes) {
      CHECK_MESSAGE(outcome.says(want), outcome.text);
      CHECK(outcome.code == (foreign ? Errc::aborted : Errc::corrupted));
      CHECK(outcome.rank == bad);
    }
  }
}

TEST_CASE("a rank that does not come is a timeout of the one that waited, and names both") {
  ErrorSignal signal;
  std::vector<ranks::Outcome> outcomes(2);
  Meeting meeting;
  auto const end = ranks::run_world(2, Milliseconds{200}, [&](Local& comm) {
    auto const rank = static_cast<std::size_t>(comm.rank());
    outcomes[rank] = outcome_of([&] {
      if (rank == 1) {
        signal.wait(rlhf::Deadline::after(Milliseconds{20'000}));
      } else {
        signal.run(comm, "generator", "sync", [&] { comm.barrier(); });
      }
    });
    meeting.arrive(2);
  });
  for (ranks::Outcome const& outcome : outcomes) {
    CHECK_MESSAGE(outcome.says("failure of rank 0, module generator, phase sync, timeout"),
                  outcome.text);
    CHECK(outcome.code == Errc::timeout);
    CHECK(outcome.rank == 1);
  }
  CHECK(end.seconds < ranks::soon_seconds);
}

TEST_CASE("an abort that nobody explains is passed on after the patience") {
  ErrorSignal signal(Milliseconds{20});
  std::atomic<int> seen{0};
  auto const end = ranks::run_world(2, [&](Local& comm) {
    if (comm.rank() == 1) {
      comm.abort("user pressed a key");
      return;
    }
    ranks::Outcome const found =
        outcome_of([&] { signal.run(comm, "policy", "train", [&] { comm.barrier(); }); });
    CHECK(found.code == Errc::aborted);
    CHECK(found.rank == 1);
    CHECK(found.says("user pressed a key"));
    ++seen;
  });
  CHECK(seen == 1);
  CHECK(end.seconds < ranks::soon_seconds);
}

TEST_CASE("a failure without an exception stops ranks that wait") {
  ErrorSignal signal;
  auto const end = ranks::run_world(3, [&](Local& comm) {
    if (comm.rank() == 2) {
      signal.raise(comm, "monitor", "watch", Errc::corrupted, "the loss is NaN");
    }
    ranks::Outcome const found =
        outcome_of([&] { signal.run(comm, "policy", "train", [&] { comm.barrier(); }); });
    CHECK_MESSAGE(found.says("failure of rank 2, module monitor, phase watch"), found.text);
  });
  CHECK(end.seconds < ranks::soon_seconds);
}

/// A communicator that does not say why it was aborted, as between processes.
struct Quiet {
  Local& comm;
  [[nodiscard]] int rank() const noexcept { return comm.rank(); }
  [[nodiscard]] int size() const noexcept { return comm.size(); }
  [[nodiscard]] int world_rank(int rank) const { return comm.world_rank(rank); }
  void abort(std::string_view) noexcept { comm.abort("?"); }
};

TEST_CASE("law: with a file, ranks without a common signal find the first failure, too") {
  for (int bad = 0; bad < 4; ++bad) {
    test::TemporaryDirectory const directory;
    std::string const file = directory / "failure";
    std::vector<ranks::Outcome> outcomes(4);
    auto const end = ranks::run_world(4, [&](Local& local) {
      Quiet comm{local};
      ErrorSignal signal(Milliseconds{20'000}, file);
      auto const rank = static_cast<std::size_t>(local.rank());
      outcomes[rank] = outcome_of([&] {
        signal.run(comm, "reward", "score", [&] {
          if (local.rank() == bad) {
            throw rlhf::Error(Errc::cuda, "first line\nsecond", 7, 719);
          }
          local.barrier();
        });
      });
    });
    CHECK(end.seconds < ranks::soon_seconds);
    for (ranks::Outcome const& outcome : outcomes) {
      CHECK_MESSAGE(outcome.says("failure of rank " + std::to_string(bad) +
                                 ", module reward, phase score, cuda: first line\nsecond (at"),
                    outcome.text);
      CHECK(outcome.code == Errc::cuda);
      CHECK(outcome.rank == 7);
    }
    ErrorSignal late(Milliseconds{0}, file);  // a rank that starts when all is over
    CHECK(late.failed());
    CHECK(late.failure().native_code == 719);
    CHECK(!late.raise({Errc::io, 9, "a", "b", "c", 0, 9}));
    late.reset();
    CHECK(!late.failed());
  }
}

TEST_CASE(
    "of two processes that fail by themselves, one file holds the first; none is in the way") {
  test::TemporaryDirectory const directory;
  ErrorSignal one(Milliseconds{0}, directory / "failure");
  ErrorSignal two(Milliseconds{0}, directory / "failure");
  CHECK(one.raise({Errc::io, 1, "policy", "save", "full", 0, 1}));
  CHECK(!two.raise({Errc::io, 2, "policy", "save", "also", 0, 2}));
  CHECK(two.failure().text() == one.failure().text());
  ErrorSignal nowhere(Milliseconds{0}, "/nowhere/at/all");
  CHECK(nowhere.raise({Errc::io, 3, "policy", "save", "full", 0, 3}));
  CHECK(nowhere.failure().rank == 3);
}

/// A rank that is a process, whose communicator brings nothing along.
struct Process {
  int number;
  [[nodiscard]] int rank() const noexcept { return number; }
  [[nodiscard]] int size() const noexcept { return 3; }
  [[nodiscard]] int world_rank(int rank) const { return rank; }
  void abort(std::string_view) noexcept {}
};

TEST_CASE("processes that were aborted find the failure of the one that failed") {
  test::TemporaryDirectory const directory;
  std::vector<pid_t> children;
  for (int rank = 0; rank < 3; ++rank) {
    pid_t const child = ::fork();
    if (child == 0) {
      Process comm{rank};
      ErrorSignal signal(Milliseconds{20'000}, directory / "failure");
      ranks::Outcome const found = outcome_of([&] {
        signal.run(comm, "policy", "save", [&] {
          if (rank == 1) {
            Meeting::sleep_ms(50);
            rlhf::fail(Errc::io, "the disk is full");
          }
          rlhf::fail(Errc::aborted, "rank 1 is gone", 1);
        });
      });
      bool const right = found.code == Errc::io && found.rank == 1 &&
                         found.says("rank 1, module policy, phase save") &&
                         found.says("the disk is full");
      ::_exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t const child : children) {
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
}

}  // namespace
