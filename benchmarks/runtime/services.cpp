// What the services cost a step: timers, trace and metrics beside the same written by hand, which
// reads the clock as often and adds to variables that it knows.
//
// A step is an episode's phase with three phases in it, all timed and traced, and three metrics.
// Prints a JSON line: nanoseconds a step either way (median and 95th percentile over the rounds,
// which alternate), the ratio, and what the services add to a step of a millisecond. Fails where
// counts or sums differ.
#include <rlhf/core/clock.hpp>
#include <rlhf/runtime/metrics.hpp>
#include <rlhf/runtime/phase.hpp>
#include <rlhf/runtime/timers.hpp>
#include <rlhf/runtime/trace.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

namespace runtime = rlhf::runtime;

constexpr int steps = 2'000;
constexpr int rounds = 101;

struct Services {
  runtime::Timers timers;
  runtime::Trace trace{std::size_t{8} * steps};
  runtime::Metrics metrics{"policy"};

  void step(int number) {
    runtime::Phase const episode(&timers, &trace, "episode", "engine");
    {
      runtime::Phase const phase(&timers, &trace, "rollout", "generator");
      metrics.sum("tokens", number);
    }
    {
      runtime::Phase const phase(&timers, &trace, "train", "policy");
      metrics.mean("loss", number);
    }
    runtime::Phase const phase(&timers, &trace, "sync", "link");
    metrics.max("length", number);
  }
  void clear() { trace.clear(); }
};

/// Interval of one thing: what a program would write that has four of them.
struct Measured {
  std::int64_t count = 0;
  std::int64_t total = 0;
  std::int64_t least = 0;
  std::int64_t most = 0;
  void add(std::int64_t time) {
    total += time;
    least = count == 0 || time < least ? time : least;
    most = time > most ? time : most;
    ++count;
  }
};
struct Event {
  std::int64_t begin;
  std::int64_t end;
  int what;
};
struct ByHand {
  Measured measured[4];
  std::vector<Event> events;
  double tokens = 0;
  double loss = 0;
  std::int64_t losses = 0;
  double length = 0;

  ByHand() { events.reserve(std::size_t{8} * steps); }
  void end(int what, std::int64_t begin) {
    std::int64_t const now = rlhf::steady_nanoseconds();
    measured[what].add(now - begin);
    events.push_back({begin, now, what});
  }
  void step(int number) {
    std::int64_t const episode = rlhf::steady_nanoseconds();
    std::int64_t phase = rlhf::steady_nanoseconds();
    tokens += number;
    end(1, phase);
    phase = rlhf::steady_nanoseconds();
    loss += number;
    ++losses;
    end(2, phase);
    phase = rlhf::steady_nanoseconds();
    length = std::max(length, static_cast<double>(number));
    end(3, phase);
    end(0, episode);
  }
  void clear() { events.clear(); }
};

template <class T>
[[gnu::noinline]] double nanoseconds_a_step(T& what) {
  what.clear();
  std::int64_t const begin = rlhf::steady_nanoseconds();
  for (int i = 0; i < steps; ++i) {
    what.step(i);
  }
  return static_cast<double>(rlhf::steady_nanoseconds() - begin) / steps;
}
double percentile(std::vector<double> values, double at) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

}  // namespace

int main() {
  Services services;
  ByHand by_hand;
  std::vector<double> services_ns;
  std::vector<double> by_hand_ns;
  for (int round = 0; round < rounds; ++round) {  // the first round warms up
    double const a = nanoseconds_a_step(services);
    double const b = nanoseconds_a_step(by_hand);
    if (round > 0) {
      services_ns.push_back(a);
      by_hand_ns.push_back(b);
    }
  }
  auto const rows = services.metrics.take();
  bool const equal = rows.size() == 3 && rows[0].value == by_hand.tokens &&
                     rows[1].value == by_hand.loss / static_cast<double>(by_hand.losses) &&
                     rows[2].value == by_hand.length &&
                     services.timers.at("episode/train").count == by_hand.measured[2].count &&
                     services.timers.at("episode").count == std::int64_t{rounds} * steps &&
                     services.trace.size() == by_hand.events.size() &&
                     services.trace.dropped() == 0;
  double const services_median = percentile(services_ns, 0.5);
  double const by_hand_median = percentile(by_hand_ns, 0.5);
  std::printf(
      "{\"benchmark\":\"runtime/services\",\"phases\":4,\"metrics\":3,\"steps\":%d,\"rounds\":%d,"
      "\"library_ns\":%.1f,\"library_p95_ns\":%.1f,\"by_hand_ns\":%.1f,\"by_hand_p95_ns\":%.1f,"
      "\"ratio\":%.3f,\"percent_of_1_ms\":%.4f,\"equal_results\":%s}\n",
      steps, rounds - 1, services_median, percentile(services_ns, 0.95), by_hand_median,
      percentile(by_hand_ns, 0.95), services_median / by_hand_median, services_median / 1e4,
      equal ? "true" : "false");
  return equal ? EXIT_SUCCESS : EXIT_FAILURE;
}
