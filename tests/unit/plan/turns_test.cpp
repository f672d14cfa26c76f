// The order in which ranks deal with buckets.
#include <rlhf/core/text.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/model.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/plan/turns.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace plan = rlhf::plan;
using rlhf::Layout;

namespace {

/// 24 layers of four matrices, an embedding before them and a head behind: stages are uneven.
plan::ModelList layers() {
  plan::ModelList out;
  out.layers = 24;
  auto const add = [&](std::string const& name, rlhf::Shape const& shape, int layer) {
    out.parameters.emplace_back();
    out.parameters.back().name = name;
    out.parameters.back().shape = shape;
    out.parameters.back().layer = layer;
  };
  add("embed", {960, 480}, -1);
  for (int layer = 0; layer < out.layers; ++layer) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      add(rlhf::text("layers.", layer, ".", matrix), {480, 480}, layer);
    }
  }
  add("head", {960, 480}, -1);
  out.parameters.back().behind_layers = true;
  return out;
}

plan::Plan colocated(Layout const& source, Layout const& destination) {
  plan::ModelList const model = layers();
  plan::Side from;
  from.layout = source;
  plan::Side to;
  to.layout = destination;
  for (int rank = 0; rank < source.ranks(); ++rank) {
    from.world_ranks.push_back(rank);
  }
  for (int rank = 0; rank < destination.ranks(); ++rank) {
    to.world_ranks.push_back(rank);
  }
  plan::Options options;
  options.bucket_bytes = std::int64_t{16} << 10;
  return plan::build(plan::place(model, from), plan::place(model, to), options);
}

}  // namespace

TEST_CASE("exchanges between all ranks take hardly more turns than the busiest rank has buckets") {
  for (int const ranks : {2, 3, 4, 6, 8}) {
    plan::Plan const made = colocated({.fsdp = ranks}, {.pipeline = ranks});
    auto const flows = plan::flows_of(made);
    auto const turns = plan::turns_of(made, flows);
    std::vector<std::int64_t> sends(static_cast<std::size_t>(ranks));
    std::vector<std::int64_t> receives(sends.size());
    std::int32_t last = 0;
    for (std::size_t f = 0; f < flows.size(); ++f) {
      std::int64_t const buckets = turns.first[f + 1] - turns.first[f];
      sends[static_cast<std::size_t>(flows[f].source)] += buckets;
      for (int const to : made.paths[static_cast<std::size_t>(flows[f].path)].receivers) {
        receives[static_cast<std::size_t>(to)] += buckets;
      }
      for (std::int64_t round = 0; round < buckets; ++round) {
        last = std::max(last, turns.of(f, round));
      }
    }
    std::int64_t const least = std::max(*std::max_element(sends.begin(), sends.end()),
                                        *std::max_element(receives.begin(), receives.end()));
    CAPTURE(ranks);
    CHECK(flows.size() == static_cast<std::size_t>(ranks * (ranks - 1)));
    CHECK(last + 1 >= least);
    CHECK((last + 1) * 100 <= least * 103);
  }
}

TEST_CASE("in one turn no rank sends twice or receives twice, and schedules follow turns") {
  plan::Plan const made = colocated({.fsdp = 4}, {.pipeline = 4});
  auto const flows = plan::flows_of(made);
  auto const turns = plan::turns_of(made, flows);
  std::set<std::pair<std::int32_t, int>> sends;
  std::set<std::pair<std::int32_t, int>> receives;
  for (std::size_t f = 0; f < flows.size(); ++f) {
    for (std::int64_t round = 0; round < turns.first[f + 1] - turns.first[f]; ++round) {
      CHECK(sends.emplace(turns.of(f, round), flows[f].source).second);
      for (int const to : made.paths[static_cast<std::size_t>(flows[f].path)].receivers) {
        CHECK(receives.emplace(turns.of(f, round), to).second);
      }
    }
  }
  for (int rank = 0; rank < 4; ++rank) {
    std::int32_t before = 0;
    auto const mine = plan::schedule(made, rank);
    for (auto const& bucket : mine.buckets) {
      CHECK(bucket.turn >= before);
      before = bucket.turn;
    }
    CHECK(before > 0);
  }
}

TEST_CASE("buckets beyond the full ones take the last turn side by side") {
  // Two types: each leaves a bucket of its own that is not full, and there is one turn too few.
  plan::ModelList model = layers();
  for (std::size_t i = 0; i < model.parameters.size(); ++i) {
    model.parameters[i].dtype = i % 2 == 0 ? rlhf::DType::f32 : rlhf::DType::bf16;
  }
  plan::Side from;
  from.layout = {.pipeline = 2};
  from.world_ranks = {0, 1};
  plan::Side to;
  to.layout = {.tensor = 2};
  to.world_ranks = {0, 1};
  int crowded = 0;  // turns in which several flows have buckets left over
  for (std::int64_t bucket_kib = 100; bucket_kib < 3000; bucket_kib += 50) {
    plan::Options options;
    options.bucket_bytes = bucket_kib << 10;
    plan::Plan const made = plan::build(plan::place(model, from), plan::place(model, to), options);
    for (int rank = 0; rank < 2; ++rank) {
      auto const mine = plan::schedule(made, rank);
      std::map<std::int32_t, std::int32_t> first;  // round of a flow in the turn
      std::set<std::int32_t> left_over;
      std::int32_t turn = -1;
      std::int32_t level = 0;
      for (auto const& bucket : mine.buckets) {
        if (bucket.turn != turn) {
          turn = bucket.turn;
          first.clear();
          left_over.clear();
          level = 0;
        }
        first.emplace(bucket.flow, bucket.round);
        CHECK(bucket.round - first[bucket.flow] >= level);
        level = bucket.round - first[bucket.flow];
        if (level > 0 && left_over.insert(bucket.flow).second) {
          crowded += left_over.size() == 2 ? 1 : 0;
        }
      }
    }
  }
  CHECK(crowded >= 2);
}
