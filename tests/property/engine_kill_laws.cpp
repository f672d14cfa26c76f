// Processes that run a whole engine are killed, at random moments and in whatever call of the
// user's code, and started again: the run that comes to its end ends as one that nobody killed.
#include <rlhf/checkpoint/store.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/engine_places.hpp"
#include "ranks/world.hpp"
#include "support/allocations.hpp"
#include "unit/checkpoint/temporary_directory.hpp"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using cases::Dice;
using places::Fault;
using places::Run;
using places::Setting;
using rlhf::Layout;
using rlhf::Mesh;

void tell(int to, void const* bytes, std::size_t size) {
  if (::write(to, bytes, size) != static_cast<ssize_t>(size)) {
    ::_exit(3);
  }
}

/// What became of a process.
struct End {
  bool killed = false;
  bool finished = false;
  std::optional<std::int64_t> began{};  ///< Behind how many episodes, if it came that far.
  std::vector<std::int64_t> weights{};
};

/// Runs the engine in a process of its own, which is killed after a while unless that is < 0. The
/// ranks are threads of the child; the parent has none when it forks.
End run_in_process(Setting setting, std::vector<Fault> const& faults, int kill_after_us) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  pid_t const child = ::fork();
  if (child == 0) {
    ::alarm(100);  // ends what hangs
    setting.begun = [&](std::int64_t episodes) { tell(ends[1], &episodes, sizeof episodes); };
    Run const run = places::run(setting, faults);
    if (run.end.world.failed) {
      std::string const line = run.end.world.text + "\n";
      tell(STDERR_FILENO, line.data(), line.size());
      ::_exit(2);
    }
    tell(ends[1], run.weights.data(), run.weights.size() * sizeof run.weights[0]);
    ::_exit(0);
  }
  ::close(ends[1]);
  if (kill_after_us >= 0) {
    ranks::Meeting::sleep_us(kill_after_us);
    ::kill(child, SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  End end;
  std::int64_t number = 0;
  while (::read(ends[0], &number, sizeof number) == sizeof number) {
    if (!end.began) {
      end.began = number;
    } else {
      end.weights.push_back(number);
    }
  }
  ::close(ends[0]);
  end.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  end.finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return end;
}

Setting some_setting(Dice& dice) {
  Setting setting =
      dice.one_in(3)
          ? Setting{Mesh::range(0, 3),
                    Layout{.tensor = 3},
                    Mesh::range(0, 3),
                    Layout{.data = 3},
                    {}}
          : dice.pick(
                {Setting{Mesh({2, 0}), Layout{.tensor = 2}, Mesh::range(1, 1), Layout{}, {}},
                 Setting{Mesh::range(2, 1), Layout{}, Mesh::range(0, 2), Layout{.data = 2}, {}}});
  setting.options.episodes = dice.between(3, 6);
  setting.options.episodes_ahead = setting.generator.size() < 3 ? dice.between(0, 2) : 0;
  setting.options.save_every = dice.between(1, 2);
  setting.options.keep = dice.between(1, 2);
  setting.options.evaluate_every = dice.between(0, 2);
  return setting;
}

/// Kills the process in some call of some rank, at once or when the others had time to go on.
Fault some_place(Dice& dice, Run const& whole) {
  int const rank = dice.between(0, places::world_size - 1);
  auto const calls = static_cast<int>(whole.probes[static_cast<std::size_t>(rank)].visits.size());
  int const pause_us = dice.one_in(2) ? 0 : dice.between(0, 2'000);
  return {rank, dice.between(0, calls - 1), [pause_us] {
            ranks::Meeting::sleep_us(pause_us);
            ::kill(::getpid(), SIGKILL);
          }};
}

/// Processes that were killed.
struct Kills {
  int in_calls = 0;
  int at_times = 0;
  int behind_saves = 0;  ///< Of both, those that had written a checkpoint themselves.
};

/// Starts a run again and again until it comes to its end.
End killed_and_resumed(Setting const& setting, Run const& whole, Dice& dice, Kills& kills) {
  int const most = 6;
  int const whole_us = static_cast<int>(1e6 * whole.end.seconds);
  rlhf::checkpoint::Store const store(setting.options.checkpoints, setting.options.keep);
  End end;
  for (int attempt = 0; !end.finished; ++attempt) {
    CAPTURE(attempt);
    REQUIRE(attempt <= most);
    std::int64_t const done = store.latest().value_or(0);
    bool const in_call = attempt < most && dice.one_in(2);
    std::vector<Fault> faults;
    if (in_call) {
      faults.push_back(some_place(dice, whole));
    }
    end = run_in_process(setting, faults,
                         attempt < most && !in_call ? dice.between(0, whole_us) : -1);
    REQUIRE((end.killed || end.finished));
    CHECK(end.began.value_or(done) == done);
    std::int64_t const now = store.latest().value_or(0);
    CHECK(now >= done);
    kills.in_calls += end.killed && in_call ? 1 : 0;
    kills.at_times += end.killed && !in_call ? 1 : 0;
    kills.behind_saves += end.killed && now > done ? 1 : 0;
  }
  CHECK(store.latest() == setting.options.episodes);
  return end;
}

}  // namespace

TEST_CASE("a run that is killed, any number of times and anywhere, ends as one that was not") {
  int const share = allocations_are_counted() ? 1 : 3;  // sanitizers make processes dear
  Kills kills;
  for (int seed = 0; seed < 24 / share; ++seed) {
    CAPTURE(seed);
    Dice dice(static_cast<std::uint64_t>(4000 + seed));
    Setting setting = some_setting(dice);
    test::TemporaryDirectory const apart("/dev/shm");
    setting.options.checkpoints = apart.path();
    Run const whole = places::run(setting);
    REQUIRE_MESSAGE(!whole.end.world.failed, whole.end.world.text);

    test::TemporaryDirectory const directory("/dev/shm");
    setting.options.checkpoints = directory.path();
    CHECK(killed_and_resumed(setting, whole, dice, kills).weights == whole.weights);
  }
  CHECK(kills.in_calls > 15 / share);
  MESSAGE(kills.in_calls, " processes killed in calls, ", kills.at_times, " at random times, ",
          kills.behind_saves, " of them behind a checkpoint of their own");
}
