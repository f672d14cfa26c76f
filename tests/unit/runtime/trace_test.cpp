#include <rlhf/runtime/trace.hpp>
#include <rlhf/runtime/trace_gather.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "unit/runtime/still_clock.hpp"

namespace {

namespace runtime = rlhf::runtime;
using Trace = runtime::BasicTrace<StillClock>;

TEST_CASE("spans, instants and counters; the buffer never grows") {
  Trace trace(3);
  auto const* const buffer = trace.events().data();
  {
    auto const outer = trace.scope("outer", "policy", 2);
    StillClock::time += 5;
    trace.instant("now");
    StillClock::time += 5;
    trace.counter("tokens", 7.5);
  }
  trace.instant("too much");
  CHECK(trace.events().data() == buffer);
  CHECK(trace.size() == 3);
  CHECK(trace.dropped() == 1);
  runtime::TraceEvent const outer = trace.events()[2];
  CHECK(trace.name(outer.name) == "outer");
  CHECK(trace.name(outer.category) == "policy");
  CHECK(outer.lane == 2);
  CHECK(outer.end - outer.begin == 10);
  CHECK(trace.events()[1].value == 7.5);
  trace.clear();
  CHECK(trace.size() == 0);
  CHECK(trace.dropped() == 0);
  CHECK_THROWS_AS(trace.span("s", "", 0, 5, 4), rlhf::Error);

  Trace off(0);
  off.instant("nothing");
  CHECK(off.dropped() == 0);
  CHECK(!off.enabled());
}

TEST_CASE("traces of all ranks arrive on rank 0, names of their own") {
  auto const end = ranks::run_world(4, [&](rlhf::comm::Local& comm) {
    int const rank = comm.rank();
    Trace trace;
    StillClock::time = 1000;
    StillClock::which = 0;
    trace.name_lane(1, "lane of rank " + std::to_string(rank));
    for (int i = 0; i < rank; ++i) {  // rank 0 has none
      trace.span("span " + std::to_string(rank), "c", 1, 10 * i, 10 * i + 5);
    }
    auto const all = runtime::gather(comm, trace);
    if (rank != 0) {
      CHECK(all.empty());
      return;
    }
    CHECK(all.size() == 4);
    for (std::size_t r = 0; r < all.size(); ++r) {
      CHECK(all[r].rank == static_cast<int>(r));
      CHECK(all[r].clock.offset == 0);
      CHECK(all[r].clock.precision == 0);
      CHECK(all[r].events.size() == r);
      for (std::size_t i = 0; i < all[r].events.size(); ++i) {
        runtime::TraceEvent const& event = all[r].events[i];
        CHECK(all[r].names[static_cast<std::size_t>(event.name)] == "span " + std::to_string(r));
        CHECK(event.begin == static_cast<std::int64_t>(10 * i));
      }
      CHECK(all[r].lanes.size() == 2);
      CHECK(all[r].names[static_cast<std::size_t>(all[r].lane_names[1])] ==
            "lane of rank " + std::to_string(r));
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

/// The real clock, set differently on each machine.
struct SkewedClock final {
  [[nodiscard]] static std::int64_t now() noexcept {
    return rlhf::steady_nanoseconds() + 1'000'000'000'000 * machine;
  }
  [[nodiscard]] static std::uint64_t id() noexcept { return static_cast<std::uint64_t>(machine); }
  static inline thread_local std::int64_t machine = 0;
};

TEST_CASE("law: clocks of different machines are aligned as closely as is said") {
  auto const end = ranks::run_world(5, [&](rlhf::comm::Local& comm) {
    SkewedClock::machine = (comm.rank() * 2) % 3;  // 0 2 1 0 2
    auto const clock = runtime::align_clock<SkewedClock>(comm);
    std::int64_t const wrong = clock.offset - 1'000'000'000'000 * SkewedClock::machine;
    CHECK(wrong <= clock.precision);
    CHECK(-wrong <= clock.precision);
    CHECK(clock.precision < 1'000'000'000'000 / 4);
    CHECK((clock.precision == 0) == (SkewedClock::machine == 0));

    runtime::BasicTrace<SkewedClock> trace;
    trace.instant("here");
    comm.barrier();
    auto const all = runtime::gather(comm, trace);
    for (auto const& one : all) {  // all happened within the last seconds of rank 0's clock
      CHECK(one.events.size() == 1);
      CHECK(one.events[0].begin <= SkewedClock::now() + one.clock.precision);
      CHECK(one.events[0].begin > SkewedClock::now() - 100'000'000'000);
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

}  // namespace
