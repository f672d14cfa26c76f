// Predictions: forwarding is in them, coarse steps come close to single buckets, and the automatic
// route is one that is not slower than the others.
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/model.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "cases.hpp"

namespace plan = rlhf::plan;
using plan::Route;

namespace {

constexpr Route routes[] = {Route::point_to_point, Route::broadcast, Route::hierarchical};

/// Matrices, experts and an embedding in a few layers.
plan::ModelList random_model(cases::Dice& dice) {
  plan::ModelList out;
  out.layers = dice.pick({4, 8, 12});
  out.experts = dice.pick({0, 8});
  std::int64_t const width = dice.pick({1024, 2048, 4096});
  auto const add = [&](int layer, int expert, rlhf::Shape const& shape, int dimension) {
    plan::ModelParameter one;
    one.name = rlhf::text("p", out.parameters.size());
    one.shape = shape;
    one.layer = layer;
    one.expert = expert;
    one.tensor_dimension = dimension;
    out.parameters.push_back(one);
  };
  add(-1, -1, {dice.pick({32000, 50000}), width}, 0);
  for (int layer = 0; layer < out.layers; ++layer) {
    add(layer, -1, {width}, -1);
    add(layer, -1, {width, width}, dice.between(0, 1));
    for (int expert = 0; expert < out.experts; ++expert) {
      add(layer, expert, {width, width / 2}, 0);
    }
  }
  return out;
}

struct Pair {
  plan::Placement source;
  plan::Placement destination;
  plan::Topology topology;
};

Pair random_pair(cases::Dice& dice) {
  plan::ModelList const model = random_model(dice);
  plan::Side source;
  plan::Side destination;
  source.layout = cases::random_layout(dice, 24);
  destination.layout = cases::random_layout(dice, 24);
  int const first = dice.one_in(3) ? 0 : source.layout.ranks();
  for (int rank = 0; rank < destination.layout.ranks(); ++rank) {
    destination.world_ranks.push_back(first + rank);
  }
  int const world = source.layout.ranks() + destination.layout.ranks();
  return {plan::place(model, source), plan::place(model, destination),
          plan::Topology::of_hosts(world, dice.pick({2, 4, 8}))};
}

double exact(plan::Plan const& made, plan::Topology const& topology) {
  return plan::predict(made, plan::flows_of(made), made.bucket_bytes, topology, INT64_MAX).seconds;
}

}  // namespace

TEST_CASE("automatic: never slower than the best of the routes by the time of single buckets") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed);
    Pair const pair = random_pair(dice);
    double const chosen = exact(
        plan::build(pair.source, pair.destination, {.route = Route::automatic}, pair.topology),
        pair.topology);
    for (Route const route : routes) {
      plan::Plan const made =
          plan::build(pair.source, pair.destination, {.route = route}, pair.topology);
      CHECK(chosen <= exact(made, pair.topology) * 1.0001);
    }
  }
}

TEST_CASE("coarse steps: within a fifth of single buckets for most, never twice or half") {
  int plans = 0;
  int close = 0;
  double worst = 1;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    cases::Dice dice(seed + 5000);
    Pair const pair = random_pair(dice);
    for (Route const route : routes) {
      plan::Plan const made = plan::build(pair.source, pair.destination,
                                          {.route = route, .bucket_bytes = 1 << 20}, pair.topology);
      if (made.moves.empty()) {
        continue;
      }
      auto const flows = plan::flows_of(made);
      std::int64_t buckets = 0;
      for (plan::Flow const& flow : flows) {
        buckets += plan::full_buckets(flow.bytes, made.bucket_bytes);
      }
      double const single = exact(made, pair.topology);
      double const coarse =
          plan::predict(made, flows, made.bucket_bytes, pair.topology, buckets / 8).seconds;
      double const ratio = std::max(coarse / single, single / coarse);
      worst = std::max(worst, ratio);
      close += ratio <= 1.2 ? 1 : 0;
      ++plans;
    }
  }
  MESSAGE(close, " of ", plans, " within a fifth, worst ", worst);
  CHECK(plans > 300);
  CHECK(close >= plans * 8 / 10);
  CHECK(worst < 2);
}

TEST_CASE("what is passed on waits until it has arrived") {
  // Across the slow link in two buckets, and on: three slow buckets' time less one, and a fast one.
  plan::Plan made;
  made.world = 3;
  made.bucket_bytes = 1000;
  made.paths = {plan::Path{plan::Method::send, {1}, {{1, 2}}, {1, 2}}};
  made.rank_sets = {{0}, {1, 2}};
  made.destination_ranks = 1;
  plan::Topology topology;
  topology.domains = {0, 1, 1};
  topology.slow_bytes_per_second = 1000;
  topology.fast_bytes_per_second = 10000;
  topology.call_seconds = 0;
  std::vector<plan::Flow> const flows = {{0, 0, 2000}};
  plan::Prediction const cost = plan::predict(made, flows, 1000, topology);
  CHECK(cost.seconds == doctest::Approx(2.1));
  CHECK(cost.slowest == 2);
  CHECK(cost.ranks[1].received_slow == 2000);
  CHECK(cost.ranks[1].sent == 2000);
  CHECK(cost.bytes_slow_link == 2000);
  // Two buckets as one step: the same.
  CHECK(plan::predict(made, flows, 1000, topology, 1).seconds == doctest::Approx(2.1));
}

TEST_CASE("links are pairs of ranks, whatever number of flows they carry") {
  plan::Plan made;
  made.world = 3;
  made.bucket_bytes = 1000;
  made.paths = {plan::Path{plan::Method::broadcast, {1, 2}, {}, {1, 2}},
                plan::Path{plan::Method::send, {1}, {}, {1}}};
  made.rank_sets = {{0}, {1, 2}};
  made.destination_ranks = 1;
  std::vector<plan::Flow> const flows = {{0, 0, 64}, {0, 1, 64}};
  CHECK(plan::predict(made, flows, 1000, {}).link_max_over_mean == doctest::Approx(128.0 / 96));
}
