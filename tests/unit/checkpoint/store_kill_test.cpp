// Processes that save checkpoints are killed: at random moments, and at every system call.
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/stage_outputs.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/rng.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <signal.h>
#include <support/allocations.hpp>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <unit/checkpoint/temporary_directory.hpp>
#include <unit/data/rollout.hpp>

namespace checkpoint = rlhf::checkpoint;

namespace {

constexpr int files = 3;

/// What file `file` of a step holds; `attempt` tells saves of the same step apart.
std::string content(std::int64_t step, std::int64_t attempt, int file) {
  std::string out = rlhf::text(step, " ", attempt, " ", file, "\n");
  return out + std::string(static_cast<std::size_t>(5000 + 3000 * file),
                           static_cast<char>('a' + step % 26));
}
void save(checkpoint::Store const& store, std::int64_t step, std::int64_t attempt) {
  store.begin(step);
  for (int file = 0; file < files; ++file) {
    store.write(step, rlhf::text("rank-", file),
                checkpoint::as_bytes(content(step, attempt, file)));
  }
  store.commit(step, files);
}
/// Which attempt a complete step is of; -1 when its files are not those of one attempt.
std::int64_t attempt_of(checkpoint::Store const& store, std::int64_t step) {
  std::string const first(checkpoint::as_text(store.read(step, "rank-0")));
  std::int64_t const attempt = std::stoll(first.substr(first.find(' ') + 1));
  for (int file = 0; file < files; ++file) {
    if (checkpoint::as_text(store.read(step, rlhf::text("rank-", file))) !=
        content(step, attempt, file)) {
      return -1;
    }
  }
  return store.manifest(step).files.size() == files ? attempt : -1;
}

struct Report {
  std::int64_t step;
  std::int64_t attempt;
};

/// Saves one step after the other, sometimes one twice, and reports each after its commit.
[[noreturn]] void save_for_ever(std::string const& root, std::int64_t first, int pipe) {
  try {
    checkpoint::Store const store(root, 2);
    for (std::int64_t step = first;; ++step) {
      for (std::int64_t attempt = 0; attempt < (step % 3 == 0 ? 2 : 1); ++attempt) {
        save(store, step, attempt);
        Report const report{step, attempt};
        if (::write(pipe, &report, sizeof report) != sizeof report) {
          ::_exit(3);
        }
      }
    }
  } catch (...) {
    ::_exit(2);
  }
}

void sleep_microseconds(std::uint32_t microseconds) {
  timespec const time{0, static_cast<long>(microseconds) * 1000};
  ::nanosleep(&time, nullptr);
}

}  // namespace

TEST_CASE("killed at random moments: the newest committed checkpoint is there, whole") {
  struct Place {
    char const* parent;
    std::uint64_t rounds;
    std::uint32_t longest_us;
  };
  // 500 processes in all, fewer under sanitizers, where each costs much more. In memory a save
  // takes a fraction of a millisecond, on a disk it may be a good part of a second.
  std::uint64_t const share = allocations_are_counted() ? 1 : 5;
  for (Place const& place :
       {Place{"/dev/shm", 480 / share, 3'000}, Place{"", 20 / share, 100'000}}) {
    test::TemporaryDirectory const directory(place.parent);
    checkpoint::Store const store(directory.path(), 2);
    rlhf::CounterRandom const random(20240229, place.rounds);
    Report last{-1, 0};
    int commits = 0;
    for (std::uint64_t round = 0; round < place.rounds; ++round) {
      int ends[2];
      REQUIRE(::pipe(ends) == 0);
      std::int64_t const first = store.latest().value_or(-1) + 1;
      pid_t const child = ::fork();
      if (child == 0) {
        ::close(ends[0]);
        save_for_ever(directory.path(), first, ends[1]);
      }
      ::close(ends[1]);
      sleep_microseconds(500 + random.below(round, place.longest_us));
      ::kill(child, SIGKILL);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      CHECK(WIFSIGNALED(status));  // it did not end by itself, so nothing it called failed
      Report report{};
      while (::read(ends[0], &report, sizeof report) == sizeof report) {
        last = report;
        ++commits;
      }
      ::close(ends[0]);

      REQUIRE(store.latest().value_or(-1) >= last.step);
      for (std::int64_t const step : store.steps()) {
        std::int64_t const attempt = attempt_of(store, step);
        CHECK(attempt >= 0);
        CHECK((step != last.step || attempt >= last.attempt));
      }
    }
    std::int64_t const next = store.latest().value_or(-1) + 1;
    save(store, next, 0);
    CHECK(store.steps().size() == (next == 0 ? 1U : 2U));
    MESSAGE(commits, " commits in ", place.rounds, " processes below ", directory.path());
  }
}

TEST_CASE("replicas in processes of their own, one of them killed: all of their files or none") {
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::Store const store(directory.path(), 2);
  save(store, 0, 0);
  rlhf::CounterRandom const random(7, 7);
  int refused = 0;
  for (std::int64_t step = 1; step <= 40; ++step) {
    std::int64_t const before = store.latest().value_or(-1);
    store.begin(step);
    pid_t writers[files];
    for (int file = 0; file < files; ++file) {
      writers[file] = ::fork();
      if (writers[file] == 0) {
        try {
          store.write(step, rlhf::text("rank-", file),
                      checkpoint::as_bytes(content(step, 0, file)));
        } catch (...) {
          ::_exit(2);
        }
        ::_exit(0);
      }
    }
    std::uint64_t const draw = static_cast<std::uint64_t>(step);
    sleep_microseconds(random.below(2 * draw, 400));
    ::kill(writers[random.below(2 * draw + 1, files)], SIGKILL);
    for (pid_t const writer : writers) {
      int status = 0;
      REQUIRE(::waitpid(writer, &status, 0) == writer);
    }
    try {
      store.commit(step, files);  // even without asking whether all of them came to their end
      CHECK(attempt_of(store, step) == 0);
    } catch (rlhf::Error const& error) {
      CHECK(error.code() == rlhf::Errc::corrupted);
      CHECK(store.latest() == before);
      CHECK(attempt_of(store, before) == 0);
      ++refused;
    }
  }
  MESSAGE(refused, " of 40 sets were refused");
}

namespace {

/// Runs `work` in a child that is killed at the `stop`th stop before or after a system call.
/// False once the child ends before that; -1 where processes cannot be traced.
template <class Work>
int killed_at(int stop, Work work) {
  pid_t const child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
      ::_exit(77);
    }
    ::raise(SIGSTOP);
    try {
      work();
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  for (int i = 0; WIFSTOPPED(status); ++i) {
    if (i == stop) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return 1;
    }
    if (::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return -1;
    }
    ::waitpid(child, &status, 0);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    return -1;
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return 0;
}

}  // namespace

TEST_CASE("killed at every system call of a save: an old or the new checkpoint, whole") {
  struct Case {
    std::int64_t saved;
    int keep;
  };
  // A new step, also where nothing else is kept; one that replaces the newest; going back.
  // Between a call's end and the next one's begin nothing happens, so every other stop will do.
  // Sanitizers make calls of their own, hundreds of them; there every ninth stop has to.
  int const stride = allocations_are_counted() ? 2 : 9;
  for (Case const& now : {Case{7, 1}, Case{6, 2}, Case{3, 1}}) {
    std::int64_t const saved = now.saved;
    bool seen_old = false;
    bool seen_new = false;
    int stop = 0;
    for (int killed = 1; killed != 0; stop += stride) {
      test::TemporaryDirectory const directory("/dev/shm");
      checkpoint::Store const store(directory.path(), now.keep);
      save(checkpoint::Store(directory.path(), 2), 5, 0);
      save(checkpoint::Store(directory.path(), 2), 6, 0);
      store.begin(2);
      store.begin(7);
      store.write(7, "old-attempt", {});
      killed = killed_at(stop, [&] { save(store, saved, 1); });
      if (killed < 0) {
        MESSAGE("skipped: processes cannot be traced here");
        return;
      }
      REQUIRE(store.latest());
      for (std::int64_t const step : store.steps()) {
        CHECK(attempt_of(store, step) >= 0);
      }
      bool const is_new = store.latest() == saved && attempt_of(store, saved) == 1;
      CHECK((is_new || store.latest() == 6));
      CHECK((is_new || attempt_of(store, 6) == 0));
      // Two runs may make different numbers of system calls, so the stops need not be in order.
      seen_old = seen_old || !is_new;
      seen_new = seen_new || is_new;
      // The next run saves as if nothing had happened.
      save(store, 8, 0);
      CHECK(store.latest() == 8);
      CHECK(store.steps().size() == static_cast<std::size_t>(now.keep));
    }
    CHECK(seen_old);
    CHECK(seen_new);
    CHECK(stop > 100);
  }
}

TEST_CASE("killed at every system call of replacing a file: the old one or the new one") {
  test::TemporaryDirectory const directory("/dev/shm");
  std::string const path = directory / "file";
  std::string const before(5000, 'a');
  std::string const after(9000, 'b');
  int seen_new = 0;
  int stop = 0;
  for (int killed = 1; killed != 0; ++stop) {
    checkpoint::write_atomically(path, checkpoint::as_bytes(before));
    killed =
        killed_at(stop, [&] { checkpoint::write_atomically(path, checkpoint::as_bytes(after)); });
    if (killed < 0) {
      MESSAGE("skipped: processes cannot be traced here");
      return;
    }
    std::vector<std::byte> const bytes = checkpoint::read_file(path);
    std::string_view const found = checkpoint::as_text(bytes);
    CHECK((found == before || found == after));
    seen_new += found == after ? 1 : 0;
  }
  CHECK(seen_new > 1);
  CHECK(stop > seen_new + 5);
}

TEST_CASE("killed at every system call of saving a stage: its old outputs or the new ones") {
  for (bool const replaces : {false, true}) {
    int seen_new = 0;
    int stop = 0;
    for (int killed = 1; killed != 0; ++stop) {
      test::TemporaryDirectory const directory("/dev/shm");
      checkpoint::StageOutputs const outputs(directory / "stages");
      checkpoint::Stage const stage{.model = "policy", .episode = 3, .consumed = 96};
      if (replaces) {
        outputs.save(stage, test::rollout({{1, 2}, {3}}, 4));
      }
      killed = killed_at(stop, [&] { outputs.save(stage, test::rollout({{5, 6, 7}}, 8)); });
      if (killed < 0) {
        MESSAGE("skipped: processes cannot be traced here");
        return;
      }
      test::Rollout found;
      bool const there = static_cast<bool>(outputs.load(stage, found));
      bool const is_new = there && found == test::rollout({{5, 6, 7}}, 8);
      CHECK((is_new || (there == replaces)));
      CHECK((is_new || !there || found == test::rollout({{1, 2}, {3}}, 4)));
      seen_new += is_new ? 1 : 0;
    }
    CHECK(seen_new > 1);
    CHECK(stop > seen_new + 5);
  }
}
