#include <rlhf/runtime/metrics.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "support/allocations.hpp"

namespace {

namespace runtime = rlhf::runtime;
using runtime::Metric;
using runtime::Metrics;

Metric const* find(std::vector<Metric> const& rows, std::string const& name) {
  for (Metric const& row : rows) {
    if (row.name == name) {
      return &row;
    }
  }
  return nullptr;
}
double value_of(std::vector<Metric> const& rows, std::string const& name) {
  Metric const* const row = find(rows, name);
  return row == nullptr ? -12345.0 : row->value;
}

template <class Function>
std::string error_of(Function&& function) {
  try {
    function();
  } catch (rlhf::Error const& error) {
    return std::string(error.message());
  }
  return "no error";
}

TEST_CASE("kinds of one rank, with a prefix; get and clear") {
  Metrics metrics("policy");
  metrics.mean("loss", 1);
  metrics.mean("loss", 2);
  metrics.weighted("entropy", 4, 1);
  metrics.weighted("entropy", 1, 2);
  metrics.sum("tokens", 3);
  metrics.sum("tokens", 4);
  metrics.max("length", -3);
  metrics.max("length", -5);
  metrics.min("reward", 2);
  metrics.min("reward", 8);
  auto const rows = metrics.take();
  REQUIRE(rows.size() == 5);
  CHECK(rows[0].name == "policy/loss");
  CHECK(rows[0].value == 1.5);
  CHECK(rows[0].count == 2);
  CHECK(value_of(rows, "policy/entropy") == 2);
  CHECK(value_of(rows, "policy/tokens") == 7);
  CHECK(value_of(rows, "policy/length") == -3);
  CHECK(value_of(rows, "policy/reward") == 2);
  CHECK(metrics.empty());
  CHECK(metrics.take().empty());
}

TEST_CASE("a name keeps its kind, weights are checked") {
  Metrics metrics("policy");
  metrics.mean("loss", 1);
  CHECK(error_of([&] { metrics.sum("loss", 1); }) ==
        "the metric policy/loss is a mean and is now used as a sum; use another name");
  metrics.clear();
  CHECK_THROWS_AS(metrics.max("loss", 1), rlhf::Error);
  CHECK(error_of([&] { metrics.weighted("w", 1, -1); }) ==
        "the weight of metric w is -1, must be finite and not negative");
  CHECK_THROWS_AS(metrics.weighted("w", 1, std::numeric_limits<double>::quiet_NaN()), rlhf::Error);
  CHECK_THROWS_AS(metrics.weighted("w", 1, std::numeric_limits<double>::infinity()), rlhf::Error);
  CHECK_THROWS_AS(metrics.mean("", 1), rlhf::Error);
  CHECK(metrics.empty());
}

TEST_CASE("NaN and infinity come through and are counted") {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  double const infinity = std::numeric_limits<double>::infinity();
  auto const end = ranks::run_world(3, [&](rlhf::comm::Local& comm) {
    Metrics metrics;
    bool const bad = comm.rank() == 1;
    metrics.mean("mean", bad ? nan : 1);
    metrics.max("max", bad ? nan : 1);
    metrics.min("min", bad ? nan : 1);
    metrics.sum("sum", bad ? infinity : 1);
    metrics.max("top", bad ? infinity : 1);
    metrics.weighted("unweighted", 1, 0);
    metrics.max("good", comm.rank());
    auto const rows = metrics.reduce(comm);
    for (char const* const name : {"mean", "max", "min", "unweighted"}) {
      CHECK_MESSAGE(std::isnan(value_of(rows, name)), name);
    }
    CHECK(value_of(rows, "sum") == infinity);
    CHECK(value_of(rows, "top") == infinity);
    CHECK(value_of(rows, "good") == 2);
    for (char const* const name : {"mean", "max", "min", "sum", "top"}) {
      Metric const* const row = find(rows, name);
      CHECK_MESSAGE((row != nullptr && row->not_finite == 1 && row->count == 3), name);
    }
    Metric const* const good = find(rows, "good");
    CHECK((good != nullptr && good->not_finite == 0));
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("a mean over ranks is of all values, not of the ranks' means") {
  auto const end = ranks::run_world(2, [&](rlhf::comm::Local& comm) {
    Metrics metrics(comm.rank() == 0 ? "policy" : "reward");
    Metrics shared;
    if (comm.rank() == 0) {
      shared.mean("loss", 0);
      metrics.sum("only", 5);
    } else {
      for (int i = 0; i < 3; ++i) {
        shared.mean("loss", 4);
      }
      metrics.max("only", 6);  // another module's: not the same name
    }
    shared.merge(metrics);
    auto const rows = shared.take(comm);
    CHECK(rows.size() == 3);
    CHECK(value_of(rows, "loss") == 3);
    CHECK(value_of(rows, "policy/only") == 5);
    CHECK(value_of(rows, "reward/only") == 6);
    CHECK(shared.take(comm).empty());
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("a name of two kinds fails on every rank") {
  auto const end = ranks::run_world(3, [&](rlhf::comm::Local& comm) {
    Metrics metrics;
    metrics.sum("fine", 1);
    if (comm.rank() == 2) {
      metrics.sum("loss", 1);
    } else {
      metrics.mean("loss", 1);
    }
    CHECK(error_of([&] { static_cast<void>(metrics.reduce(comm)); }) ==
          "loss is a mean on rank 0 and a sum on rank 2; a name needs one meaning on all ranks");
    Metrics others;  // the ranks can go on
    others.sum("fine", 1);
    CHECK(value_of(others.reduce(comm), "fine") == 3);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

/// A value that some rank adds: small integers, so that every sum is exact.
struct Value {
  int name;
  int value;
  int weight;
  int rank;
};
void add(Metrics& metrics, Value const& value) {
  std::string const name(1, static_cast<char>('a' + value.name));
  switch (value.name % 5) {
    case 0:
      return metrics.mean(name, value.value);
    case 1:
      return metrics.weighted(name, value.value, value.weight);
    case 2:
      return metrics.sum(name, value.value);
    case 3:
      return metrics.max(name, value.value);
    default:
      return metrics.min(name, value.value);
  }
}

TEST_CASE("law: any split over ranks gives what one rank gives, to the bit") {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    int const ranks = 1 + static_cast<int>(random() % 6);
    std::vector<std::vector<Value>> steps(3);
    std::vector<std::vector<Metric>> expected;
    Metrics whole;
    for (auto& step : steps) {
      for (int i = static_cast<int>(random() % 60); i > 0; --i) {
        step.push_back({static_cast<int>(random() % 12), static_cast<int>(random() % 2001) - 1000,
                        static_cast<int>(random() % 9),
                        static_cast<int>(random() % static_cast<unsigned>(ranks))});
        add(whole, step.back());
      }
      expected.push_back(whole.take());
    }
    auto const end = ranks::run_world(ranks, [&](rlhf::comm::Local& comm) {
      Metrics metrics;
      for (std::size_t s = 0; s < steps.size(); ++s) {
        for (Value const& value : steps[s]) {
          if (value.rank == comm.rank()) {
            add(metrics, value);
          }
        }
        auto const rows = metrics.take(comm);
        CHECK(rows.size() == expected[s].size());
        for (Metric const& want : expected[s]) {
          Metric const* const got = find(rows, want.name);
          bool const both_nan = got != nullptr && std::isnan(got->value) && std::isnan(want.value);
          CHECK((got != nullptr && (both_nan || got->value == want.value) &&
                 got->weight == want.weight && got->count == want.count && got->kind == want.kind));
        }
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}

TEST_CASE("one set of metrics over different groups of ranks") {
  auto const end = ranks::run_world(4, [&](rlhf::comm::Local& comm) {
    auto pair = comm.split(comm.rank() / 2, comm.rank());
    Metrics metrics;
    metrics.sum("one", 1);
    CHECK(value_of(metrics.reduce(comm), "one") == 4);
    if (comm.rank() < 2) {  // only these ranks remember other lists of names now
      metrics.sum(comm.rank() == 0 ? "left" : "right", 1);
      CHECK(value_of(metrics.reduce(pair), "one") == 2);
    }
    auto const rows = metrics.reduce(comm);
    CHECK(value_of(rows, "one") == 4);
    CHECK(value_of(rows, "left") == 1);
    CHECK(value_of(rows, "right") == 1);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("steady metrics allocate nothing") {
  if (!allocations_are_counted()) {
    return;
  }
  auto const end = ranks::run_world(2, [&](rlhf::comm::Local& comm) {
    Metrics metrics("a prefix that does not fit into a short string");
    std::vector<Metric> rows;
    std::int64_t before = 0;
    for (int step = 0; step < 20; ++step) {
      if (step == 3) {
        before = allocations();
      }
      metrics.mean("loss", step);
      if (step % 2 == 0) {
        metrics.sum("a name that comes in every other step, with more letters", 1);
      }
      metrics.take(comm, rows);
    }
    CHECK(allocations() == before);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

}  // namespace
