// What the runtime layer writes as JSON: metrics by line, traces for viewers.
#include <rlhf/adapters/metrics_jsonl.hpp>
#include <rlhf/adapters/trace_json.hpp>
#include <rlhf/runtime/metrics.hpp>
#include <rlhf/runtime/trace.hpp>
#include <rlhf/runtime/trace_gather.hpp>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "ranks/world.hpp"
#include "unit/checkpoint/temporary_directory.hpp"
#include "unit/runtime/still_clock.hpp"

namespace {

namespace adapters = rlhf::adapters;
namespace runtime = rlhf::runtime;
using nlohmann::json;

std::string content_of(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_CASE("metrics: a line a step, every number to the bit, NaN and infinity as words") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "metrics.jsonl";
  double const third = 1.0 / 3;
  {
    adapters::MetricsJsonl file(path);
    runtime::Metrics metrics("policy");
    metrics.mean("loss \"quoted\"", third);
    metrics.sum("whole", 3);
    file.write(0, metrics.take());
    metrics.max("top", std::numeric_limits<double>::infinity());
    metrics.min("low", -std::numeric_limits<double>::infinity());
    metrics.mean("nan", std::numeric_limits<double>::quiet_NaN());
    file.write(1, metrics.take());
  }
  std::ofstream(path, std::ios::app) << R"({"step":2,"ti)";  // torn
  {
    adapters::MetricsJsonl file(path);
    file.write(2, {});
    CHECK_THROWS_AS(file.write(3, {{.name = "step"}}), rlhf::Error);
  }
  std::vector<std::string> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  REQUIRE(lines.size() == 4);
  json const first = json::parse(lines[0]);
  CHECK(first["step"] == 0);
  CHECK(first["time"].get<double>() > 1.7e9);
  CHECK(first["policy/loss \"quoted\""].get<double>() == third);
  CHECK(first["policy/whole"].get<double>() == 3);
  json const second = json::parse(lines[1]);
  CHECK(second["policy/top"] == "Infinity");
  CHECK(second["policy/low"] == "-Infinity");
  CHECK(second["policy/nan"] == "NaN");
  CHECK(json::parse(lines[3])["step"] == 2);
}

TEST_CASE("metrics: a file that cannot be opened is named") {
  CHECK_THROWS_WITH_AS(adapters::MetricsJsonl("/nowhere/at/all.jsonl"),
                       doctest::Contains("/nowhere/at/all.jsonl"), rlhf::Error);
}

/// Opens scopes at random.
void walk(std::mt19937& random, runtime::BasicTrace<StillClock>& trace, std::int32_t lane,
          int depth) {
  for (int i = 0; i < 3; ++i) {
    StillClock::time += static_cast<std::int64_t>(random() % 5000);
    if (depth < 4 && random() % 2 == 0) {
      auto const scope =
          trace.scope("depth \"" + std::to_string(depth) + "\"", depth == 0 ? "" : "work", lane);
      StillClock::time += static_cast<std::int64_t>(random() % 3);  // some of no length
      walk(random, trace, lane, depth + 1);
    }
  }
  trace.counter("depth", depth);
  trace.instant("turn", "", lane);
}

/// Whether the spans of each lane nest, as viewers need it.
bool nests(json const& events) {
  std::map<std::pair<int, int>, std::vector<std::pair<double, double>>> lanes;
  for (json const& event : events) {
    if (event["ph"] == "X") {
      double const begin = event["ts"].get<double>();
      lanes[{event["pid"].get<int>(), event["tid"].get<int>()}].emplace_back(
          begin, begin + event["dur"].get<double>());
    }
  }
  for (auto const& lane : lanes) {
    for (auto const& a : lane.second) {
      for (auto const& b : lane.second) {
        constexpr double close = 1e-4;  // a tenth of a nanosecond: sums of decimal fractions
        bool const apart = a.second <= b.first + close || b.second <= a.first + close;
        bool const inside = (a.first >= b.first - close && a.second <= b.second + close) ||
                            (b.first >= a.first - close && b.second <= a.second + close);
        if (!apart && !inside) {
          return false;
        }
      }
    }
  }
  return !lanes.empty();
}

TEST_CASE("traces: valid JSON of all ranks, spans nest, nothing is lost") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "trace.json";
  std::size_t spans = 0;
  auto const end = ranks::run_world(3, [&](rlhf::comm::Local& comm) {
    std::mt19937 random(static_cast<unsigned>(comm.rank()));
    StillClock::time = 123'456'789'012;
    StillClock::which = 0;
    runtime::BasicTrace<StillClock> trace(comm.rank() == 2 ? 4 : 1000);
    trace.name_lane(1, "side \xff");  // not UTF-8
    walk(random, trace, 0, 0);
    walk(random, trace, 1, 0);
    trace.counter("loss", std::numeric_limits<double>::quiet_NaN());
    auto const all = runtime::gather(comm, trace);
    if (comm.rank() == 0) {
      for (auto const& rank : all) {
        for (auto const& event : rank.events) {
          spans += event.kind == runtime::TraceKind::span ? 1 : 0;
        }
      }
      CHECK(all[2].dropped > 0);
      adapters::write_trace(path, all);
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  json const file = json::parse(content_of(path));
  json const& events = file["traceEvents"];
  std::map<std::string, std::size_t> kinds;
  double first = 1e9;
  for (json const& event : events) {
    ++kinds[event["ph"].get<std::string>()];
    if (event.contains("ts")) {
      first = event["ts"].get<double>() < first ? event["ts"].get<double>() : first;
    }
  }
  CHECK(kinds["X"] == spans);
  CHECK(kinds["M"] == 3 * 4);
  CHECK(kinds["C"] > 0);
  CHECK(kinds["i"] > 0);
  CHECK(first == 0);
  CHECK(nests(events));
  CHECK(file["otherData"]["rank 2"]["dropped"].get<int>() > 0);
  CHECK(adapters::trace_json({}).find("\"traceEvents\":[\n]") != std::string::npos);
}

}  // namespace
