#include <rlhf/runtime/phase.hpp>
#include <rlhf/runtime/timers.hpp>
#include <rlhf/runtime/timing_summary.hpp>
#include <rlhf/runtime/trace.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "support/allocations.hpp"
#include "unit/runtime/still_clock.hpp"

namespace {

namespace runtime = rlhf::runtime;
using Timers = runtime::BasicTimers<StillClock>;
using Trace = runtime::BasicTrace<StillClock>;

std::string paths_of(Timers const& timers) {
  std::string all;
  timers.visit([&](std::string_view path, runtime::Timing const&) {
    all += path;
    all += ' ';
  });
  return all;
}

TEST_CASE("scopes nest into paths and count themselves") {
  Timers timers;
  {
    auto const episode = timers.scope("episode");
    for (int i = 1; i <= 3; ++i) {
      auto const train = timers.scope("train");
      StillClock::time += 10 * i;
    }
    StillClock::time += 5;
  }
  auto const save = [&] {
    auto const outside = timers.scope("train");
    StillClock::time += 7;
  };
  save();
  CHECK(paths_of(timers) == "episode episode/train train ");
  runtime::Timing const train = timers.at("episode/train");
  CHECK(train.count == 3);
  CHECK(train.total == 60);
  CHECK(train.least == 10);
  CHECK(train.most == 30);
  CHECK(train.mean() == 20);
  CHECK(timers.at("episode") == runtime::Timing{1, 65, 65, 65, 0});
  CHECK(timers.at("train").total == 7);
  CHECK(timers.at("train/none") == runtime::Timing{});
}

TEST_CASE("a running timer is read without being stopped or counted") {
  Timers timers;
  {
    auto const scope = timers.scope("step");
    StillClock::time += 4;
    for (int i = 0; i < 3; ++i) {
      CHECK(timers.at("step") == runtime::Timing{0, 4, 0, 0, 4});
    }
    CHECK(timers.at("step").mean() == 0);
    StillClock::time += 2;
  }
  CHECK(timers.at("step") == runtime::Timing{1, 6, 6, 6, 0});
}

TEST_CASE("what is taken in turns adds up, also across a running scope") {
  Timers timers;
  std::vector<runtime::NamedTiming> rows;
  {
    auto const scope = timers.scope("run");
    StillClock::time += 100;
    timers.take(rows);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].path == "run");
    CHECK(rows[0].timing == runtime::Timing{0, 100, 0, 0, 100});
    StillClock::time += 11;
  }
  auto const rest = timers.take();
  REQUIRE(rest.size() == 1);
  CHECK(rest[0].timing == runtime::Timing{1, 11, 111, 111, 0});  // one interval of 111
  CHECK(timers.take().empty());
}

TEST_CASE("intervals from elsewhere, and levels in a name") {
  Timers timers;
  {
    auto const scope = timers.scope("sync");
    timers.add("device/pack", 30);
    timers.add("device/pack", 10);
  }
  CHECK(paths_of(timers) == "sync sync/device/pack ");  // not sync/device: nothing measured it
  CHECK(timers.at("sync/device/pack") == runtime::Timing{2, 40, 10, 30, 0});
  CHECK_THROWS_AS(timers.add("", 1), rlhf::Error);
  CHECK_THROWS_AS(timers.add("a//b", 1), rlhf::Error);
  CHECK_THROWS_AS(timers.add("a/", 1), rlhf::Error);
  CHECK_THROWS_AS(timers.add("a", -1), rlhf::Error);
}

/// Opens and closes scopes at random; adds up what each path should measure.
class Walk {
 public:
  Walk(unsigned seed, Timers& timers, Trace& trace)
      : random_(seed),
        timers_(timers),
        trace_(trace) {}

  void run(std::string const& path, int depth) {
    int const children = depth == 0 ? 4 : static_cast<int>(random_() % 4);
    for (int i = 0; i < children; ++i) {
      pass();
      if (depth < 5) {
        std::string const name(1, static_cast<char>('a' + random_() % 3));
        std::string const below = path.empty() ? name : path + "/" + name;
        std::int64_t const begin = StillClock::time;
        {
          runtime::BasicPhase<StillClock> const phase(&timers_, &trace_, name, "law");
          run(below, depth + 1);
        }
        total[below] += StillClock::time - begin;
        ++count[below];
      }
    }
    pass();
  }

  std::map<std::string, std::int64_t> total;
  std::map<std::string, std::int64_t> count;

 private:
  void pass() { StillClock::time += static_cast<std::int64_t>(random_() % 100); }

  std::mt19937 random_;
  Timers& timers_;
  Trace& trace_;
};

TEST_CASE("law: timers, trace and what really happened agree; children fit into their parents") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    Timers timers;
    Trace trace(100'000);
    Walk walk(seed, timers, trace);
    walk.run("", 0);
    std::map<std::string, std::int64_t> children;
    std::map<std::string, std::int64_t> by_name;
    for (auto const& entry : walk.total) {
      runtime::Timing const timing = timers.at(entry.first);
      CHECK(timing.total == entry.second);
      CHECK(timing.count == walk.count[entry.first]);
      std::size_t const slash = entry.first.rfind('/');
      if (slash != std::string::npos) {
        children[entry.first.substr(0, slash)] += timing.total;
      }
      by_name[entry.first.substr(slash == std::string::npos ? 0 : slash + 1)] += timing.total;
    }
    for (auto const& entry : children) {
      CHECK(entry.second <= timers.at(entry.first).total);
    }
    std::map<std::string, std::int64_t> traced;
    for (runtime::TraceEvent const& event : trace.events()) {
      traced[std::string(trace.name(event.name))] += event.end - event.begin;
    }
    CHECK(traced == by_name);
    CHECK(trace.dropped() == 0);
  }
}

TEST_CASE("steady scopes allocate nothing") {
  if (!allocations_are_counted()) {
    return;
  }
  runtime::Timers timers;
  runtime::Trace trace(64);
  std::vector<runtime::NamedTiming> rows;
  std::int64_t before = 0;
  for (int step = 0; step < 100; ++step) {
    if (step == 2) {
      before = allocations();
    }
    {
      runtime::Phase const episode(&timers, &trace, "episode", "engine");
      auto const inner = timers.scope("a name that is longer than a short string is allowed to be");
      auto const span = trace.scope("train", "policy");
      trace.counter("tokens", step);
    }
    timers.take(rows);
    CHECK(rows.size() == 2);
  }
  CHECK(allocations() == before);
  CHECK(trace.size() == 64);
  CHECK(trace.dropped() == 300 - 64);
}

TEST_CASE("a summary over ranks with different timers") {
  constexpr int ranks = 21;
  std::string table;
  auto const end = ranks::run_world(ranks, [&](rlhf::comm::Local& comm) {
    Timers timers;
    int const rank = comm.rank();
    timers.add("step", 1000 * (rank + 1));
    if (rank % 2 == 1) {
      timers.add("step/odd", rank);
      timers.add("step/odd", rank);
    }
    auto const rows = runtime::summarize(comm, timers);
    CHECK(rows.size() == 2);
    if (rows.size() != 2) {
      return;
    }
    CHECK(rows[0].path == "step");
    CHECK(rows[0].ranks == 21);
    CHECK(rows[0].count == 21);
    CHECK(rows[0].least == 1000);
    CHECK(rows[0].mean == 11'000);
    CHECK(rows[0].p95 == 20'000);  // the 20th of 21
    CHECK(rows[0].most == 21'000);
    CHECK(rows[0].slowest == 20);
    CHECK(rows[1].path == "step/odd");
    CHECK(rows[1].ranks == 10);
    CHECK(rows[1].count == 20);
    CHECK(rows[1].least == 2);
    CHECK(rows[1].most == 38);
    CHECK(rows[1].slowest == 19);
    if (rank == 0) {
      table = runtime::to_string(rows);
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(table ==
        "timer [s]  ranks  count       min      mean       p95       max  slowest\n"
        "step          21     21  0.000001  0.000011  0.000020  0.000021  rank 20\n"
        "  odd         10     20  0.000000  0.000000  0.000000  0.000000  rank 19\n");
}

}  // namespace
