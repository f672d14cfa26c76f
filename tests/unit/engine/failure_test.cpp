// Whatever code of the user fails: every rank ends in time, with that error, and the run goes on
// from its last checkpoint as if nothing had been.
#include <rlhf/core/error.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/error_signal.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/engine_places.hpp"
#include "ranks/world.hpp"
#include "support/allocations.hpp"
#include "unit/checkpoint/temporary_directory.hpp"

namespace {

using places::Probe;
using places::Run;
using places::Setting;
using places::Visit;
using rlhf::Errc;
using rlhf::Layout;
using rlhf::Mesh;

/// A call in which something goes wrong.
struct Planned {
  int rank;
  std::int64_t index;
  Visit visit;
};

/// Of each place of each rank: the first call, and one in a later episode where there is one.
std::vector<Planned> planned(std::vector<Probe> const& probes) {
  std::vector<Planned> out;
  for (std::size_t rank = 0; rank < probes.size(); ++rank) {
    std::map<std::pair<std::string_view, std::string_view>, std::vector<Planned>> calls;
    for (std::size_t i = 0; i < probes[rank].visits.size(); ++i) {
      Visit const& visit = probes[rank].visits[i];
      calls[{visit.place, visit.part}].push_back(
          {static_cast<int>(rank), static_cast<std::int64_t>(i), visit});
    }
    for (auto const& place : calls) {
      std::vector<Planned> const& all = place.second;
      out.push_back(all.front());
      if (all.back().visit.episode > all.front().visit.episode) {
        std::size_t later = all.size() / 2 + out.size() % (all.size() - all.size() / 2);
        while (all[later].visit.episode == all.front().visit.episode) {
          ++later;
        }
        out.push_back(all[later]);
      }
    }
  }
  return out;
}

/// The last call in an episode before its checkpoint.
Planned last_of_episode(std::int64_t episode, Probe const& probe) {
  std::int64_t index = 0;
  while (probe.visits[static_cast<std::size_t>(index)].episode != episode ||
         probe.visits[static_cast<std::size_t>(index)].place != "finished") {
    ++index;
  }
  return {0, index, probe.visits[static_cast<std::size_t>(index)]};
}

/// What is thrown, and what errors say of it.
struct Thrown {
  void (*function)();
  Errc code;
  std::string_view message;
};
constexpr Thrown thrown[] = {
    {[] { throw rlhf::Error(Errc::cuda, "the device is lost"); }, Errc::cuda, "the device is lost"},
    {[] { throw std::runtime_error("the disk is full"); }, Errc::aborted, "the disk is full"},
    {[] { throw 7; }, Errc::aborted, "an exception of unknown type"},
};

/// Something that is thrown in a call, at once or when the others have come to where they wait.
struct Failure {
  Planned call{};
  Thrown const* what = nullptr;
  bool late = false;

  [[nodiscard]] places::Fault fault() const {
    return {call.rank, call.index, [this] {
              if (late) {
                ranks::Meeting::sleep_us(300);
              }
              what->function();
            }};
  }
  /// Whether an error says it all.
  [[nodiscard]] bool told(ranks::Outcome const& outcome, bool with_signal) const {
    Visit const& visit = call.visit;
    std::string const where = with_signal
                                  ? rlhf::text("rank ", call.rank, ", module ", visit.part,
                                               ", phase ", visit.phase, " of episode ")
                                  : rlhf::text(visit.part, ", ", visit.phase, " of episode ");
    std::string const who = with_signal
                                ? rlhf::text(", ", rlhf::to_string(what->code), ": ", what->message)
                                : rlhf::text(" on rank ", call.rank, ": ", what->message);
    return visit.place == "load_checkpoint"  // of the episode that the checkpoint is of
               ? outcome.says(where) && outcome.says(who)
               : outcome.says(rlhf::text(where, visit.told, who));
  }
};

/// Lets it happen, and checks how every rank ends.
void check_failure(Setting const& setting, Failure const& failure, bool with_signal) {
  rlhf::runtime::ErrorSignal signal;
  Run const run = places::run(setting, {failure.fault()}, with_signal ? &signal : nullptr);
  int const culprit = failure.call.rank;
  CHECK(run.end.seconds < ranks::soon_seconds);
  for (int rank = 0; rank < places::world_size; ++rank) {
    ranks::Outcome const& outcome = run.end.of[static_cast<std::size_t>(rank)];
    CHECK(outcome.failed);
    CHECK(run.probes[static_cast<std::size_t>(rank)].saw_all_end);
    CHECK_MESSAGE(failure.told(outcome, with_signal), outcome.text);
    CHECK(outcome.code == (rank == culprit || with_signal ? failure.what->code : Errc::aborted));
    CHECK((rank == culprit || outcome.rank == culprit));
  }
  CHECK_MESSAGE(failure.told(run.end.world, with_signal), run.end.world.text);
  CHECK(static_cast<bool>(signal.original()) == with_signal);
}

/// What fails, how often so far: each place is to see every exception with and without a signal.
class Tally {
 public:
  void check(Setting const& setting, Planned const& fault) {
    int const count = counts_[fault.visit.place]++;
    int const choice = (count + count / 6) % 6;
    check_failure(setting, {fault, &thrown[choice % 3], count % 4 < 2}, choice >= 3);
  }
  /// Those that saw `times` failures.
  [[nodiscard]] std::set<std::string_view> places(int times) const {
    std::set<std::string_view> out;
    for (auto const& place : counts_) {
      if (place.second >= times) {
        out.insert(place.first);
      }
    }
    return out;
  }

 private:
  std::map<std::string_view, int> counts_;
};

/// Colocated, apart, and apart with generation ahead of training.
std::vector<Setting> settings() {
  std::vector<Setting> out{
      {Mesh::range(0, 3), Layout{.tensor = 3}, Mesh::range(0, 3), Layout{.data = 3}, {}},
      {Mesh::range(0, 1), Layout{}, Mesh({2, 1}), Layout{.tensor = 2}, {.save_every = 2}},
      {Mesh({2, 0}), Layout{.tensor = 2}, Mesh::range(1, 1), Layout{}, {.episodes_ahead = 1}},
      {Mesh::range(2, 1),
       Layout{},
       Mesh::range(0, 2),
       Layout{.data = 2},
       {.episodes_ahead = 1, .save_every = 2}}};
  for (Setting& setting : out) {
    setting.options.episodes = 4;
    setting.options.evaluate_every = 2;
    setting.options.evaluate_before = true;
  }
  return out;
}

/// A run that nothing befalls.
Run undisturbed(Setting setting) {
  test::TemporaryDirectory const directory("/dev/shm");
  setting.options.checkpoints = directory.path();
  Run out = places::run(setting);
  REQUIRE_MESSAGE(!out.end.world.failed, out.end.world.text);
  return out;
}
/// Goes on with a run behind `from` episodes, to the same end.
void check_resumed(Setting const& setting, std::int64_t from, Run const& whole) {
  Run const resumed = places::run(setting);
  CHECK_MESSAGE(!resumed.end.world.failed, resumed.end.world.text);
  CHECK(resumed.began == from);
  CHECK(resumed.weights == whole.weights);
}
std::int64_t saved_before(std::int64_t episode, Setting const& setting) {
  return episode - episode % setting.options.save_every;
}

}  // namespace

TEST_CASE(
    "whatever fails on whatever rank: all ranks end in time with that error; the run goes on") {
  int const share = allocations_are_counted() ? 1 : 3;  // sanitizers make threads dear
  int number = 0;
  Tally tally;
  for (Setting setting : settings()) {
    CAPTURE(setting.options.episodes_ahead);
    CAPTURE(setting.options.save_every);
    Run const whole = undisturbed(setting);
    for (Planned const& fault : planned(whole.probes)) {
      if (number++ % share != 0) {
        continue;
      }
      CAPTURE(fault.rank);
      CAPTURE(fault.visit.place);
      CAPTURE(fault.visit.episode);
      test::TemporaryDirectory const directory("/dev/shm");
      setting.options.checkpoints = directory.path();
      tally.check(setting, fault);
      check_resumed(setting, saved_before(fault.visit.episode, setting), whole);
    }
    // What a run does only when it goes on, here behind two episodes.
    auto const stop = [&](std::string const& directory) {
      setting.options.checkpoints = directory;
      Planned const last = last_of_episode(2, whole.probes[0]);
      CHECK(places::run(setting, {{0, last.index, thrown[0].function}}).end.world.failed);
    };
    Run const resumed = [&] {
      test::TemporaryDirectory const directory("/dev/shm");
      stop(directory.path());
      return places::run(setting);
    }();
    for (Planned const& fault : planned(resumed.probes)) {
      if (fault.visit.place == "load_checkpoint") {
        CAPTURE(fault.rank);
        test::TemporaryDirectory const directory("/dev/shm");
        stop(directory.path());
        tally.check(setting, fault);
        check_resumed(setting, 2, whole);
      }
    }
  }
  CHECK(tally.places(6 / share) ==
        std::set<std::string_view>{"setup", "validate", "begun", "parameters", "make",
                                   "forward_step", "function", "made", "before_episode",
                                   "train_step", "metrics", "trained", "after_episode", "evaluate",
                                   "eval_step", "finished", "save_checkpoint", "load_checkpoint"});
}

TEST_CASE("without checkpoints, where ranks meet less often, it is the same") {
  int number = 0;
  Tally tally;
  for (Setting setting : settings()) {
    setting.options.save_every = 0;
    for (Planned const& fault : planned(undisturbed(setting).probes)) {
      if (number++ % 3 == 0 && fault.visit.episode < setting.options.episodes - 1) {
        CAPTURE(fault.rank);
        CAPTURE(fault.visit.place);
        CAPTURE(fault.visit.episode);
        tally.check(setting, fault);
      }
    }
  }
  CHECK(tally.places(1).size() == 16);  // all but saving and loading
}

TEST_CASE("two ranks fail at once: all ranks end with the error of one of them; the run goes on") {
  std::uint64_t draw = 0;
  rlhf::CounterRandom const random(11, 0);
  for (Setting setting : settings()) {
    Run const whole = undisturbed(setting);
    for (int pair = 0; pair < 12; ++pair) {
      CAPTURE(pair);
      int const first = static_cast<int>(random.below(draw++, places::world_size));
      int const second = (first + 1 + pair % 2) % places::world_size;
      auto const episode = static_cast<std::int64_t>(random.below(draw++, 4));
      auto const failure = [&](int rank) {
        auto const& visits = whole.probes[static_cast<std::size_t>(rank)].visits;
        std::size_t call = random.below(draw++, static_cast<std::uint32_t>(visits.size()));
        while (visits[call].episode != episode) {
          call = (call + 1) % visits.size();
        }
        return Failure{{rank, static_cast<std::int64_t>(call), visits[call]},
                       &thrown[random.below(draw++, 3)],
                       random.below(draw++, 2) == 0};
      };
      Failure const one = failure(first);
      Failure const other = failure(second);
      bool const with_signal = pair % 2 == 0;
      test::TemporaryDirectory const directory("/dev/shm");
      setting.options.checkpoints = directory.path();
      rlhf::runtime::ErrorSignal signal;
      Run const run =
          places::run(setting, {one.fault(), other.fault()}, with_signal ? &signal : nullptr);
      CHECK(run.end.seconds < ranks::soon_seconds);
      bool all_one = true;
      bool all_other = true;
      for (ranks::Outcome const& outcome : run.end.of) {
        bool const says_one = one.told(outcome, with_signal);
        bool const says_other = other.told(outcome, with_signal);
        CHECK_MESSAGE((says_one || says_other), outcome.text);
        all_one = all_one && says_one;
        all_other = all_other && says_other;
      }
      CHECK((!with_signal || all_one || all_other));
      check_resumed(setting, saved_before(episode, setting), whole);
    }
  }
}
