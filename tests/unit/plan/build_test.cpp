#include <rlhf/parallel/shard.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/proof.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/whole_plan.hpp"

using rlhf::Box;
using rlhf::DType;
using rlhf::Errc;
using rlhf::Error;
using rlhf::Holding;
using rlhf::Layout;
using rlhf::Shape;
namespace plan = rlhf::plan;
namespace shard = rlhf::shard;
using plan::Description;
using plan::Options;
using plan::Plan;
using plan::Route;
using plan::SourceChoice;
using whole::Whole;

namespace {

struct Weight {
  std::string name;
  Shape global;
  rlhf::Shard rule = shard::rows();
  DType dtype = DType::f32;
};

/// A module whose ranks lie at `first`, `first` + 1, ... and hold all weights.
Description module_at(int first, Layout const& layout, std::vector<Weight> const& weights) {
  Description out{layout, {}};
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    plan::RankDescription held{first + rank, {}};
    for (Weight const& weight : weights) {
      Shape local = weight.global;
      for (int i = 0; i < weight.rule.count; ++i) {
        local[weight.rule.cuts[i].dimension] /= layout.size(weight.rule.cuts[i].axis);
      }
      held.parameters.push_back(
          {weight.name, weight.dtype, weight.rule.holding(local, layout, layout.coordinate(rank))});
    }
    out.ranks.push_back(held);
  }
  return out;
}

Error refusal(Description const& source, Description const& destination, Options const& options) {
  try {
    static_cast<void>(plan::build(source, destination, options));
  } catch (Error const& error) {
    return error;
  }
  return {Errc::io, "nothing was thrown"};
}

bool says(Error const& error, std::string const& part) {
  return std::string(error.what()).find(part) != std::string::npos;
}

/// The plan, proved, and spread out over all ranks.
Whole build(Description const& source, Description const& destination, Options const& options) {
  Plan const made = plan::build(source, destination, options);
  CHECK(plan::find_fault(made, source, destination) == "");
  Whole all = whole::spread(made);
  CHECK(whole::element_fault(all, source, destination) == "");
  return all;
}

constexpr Options straight{Route::point_to_point, SourceChoice::balanced, 1024, 2};

}  // namespace

TEST_CASE("a copy between two modules of one rank is one flow of whole tensors") {
  std::vector<Weight> const weights{{"a", {4, 8}}, {"b", {16}}};
  Whole const made = build(module_at(0, {}, weights), module_at(1, {}, weights), straight);
  CHECK(made.flows.size() == 1);
  CHECK(made.flows[0].source == 0);
  CHECK(made.flows[0].destinations == std::vector<int>{1});
  CHECK(made.flows[0].bytes == 192);
  CHECK(made.buckets.size() == 1);
  CHECK(made.buckets[0].pieces ==
        std::vector<plan::Piece>{{0, Box::whole({4, 8})}, {1, Box::whole({16})}});
  CHECK(made.bytes_needed == 192);
  CHECK(made.bytes_moved == 192);
  CHECK(made.bytes_on_links == 192);
  CHECK(made.bytes_local == 0);
}

TEST_CASE("what a rank has it copies; nothing is sent when everybody has all") {
  std::vector<Weight> const weights{{"a", {4, 8}}};
  Layout const layout{.tensor = 2};
  Whole const made = build(module_at(0, layout, weights), module_at(0, layout, weights), straight);
  CHECK(made.flows.empty());
  CHECK(made.buckets.empty());
  CHECK(made.local_copies.size() == 2);
  CHECK(made.bytes_local == 128);
  CHECK(made.bytes_moved == 0);
}

TEST_CASE("only the overlap of boxes moves: rows to columns") {
  Description const source = module_at(0, {.tensor = 2}, {{"w", {4, 4}, shard::rows()}});
  Description const destination = module_at(2, {.tensor = 2}, {{"w", {4, 4}, shard::columns()}});
  Whole const made = build(source, destination, straight);
  std::set<std::string> moves;
  for (plan::Bucket const& bucket : made.buckets) {
    whole::WholeFlow const& flow = made.flows[static_cast<std::size_t>(bucket.flow)];
    for (plan::Piece const& piece : bucket.pieces) {
      moves.insert(rlhf::text(flow.source, " to ", flow.destinations.at(0), " ",
                              rlhf::to_string(piece.box)));
    }
  }
  CHECK(moves == std::set<std::string>{"0 to 2 [0:2, 0:2]", "0 to 3 [0:2, 2:4]",
                                       "1 to 2 [2:4, 0:2]", "1 to 3 [2:4, 2:4]"});
  CHECK(made.bytes_moved == 64);
}

TEST_CASE("balanced: two copies of a source share the work") {
  std::vector<Weight> weights;
  for (int i = 0; i < 8; ++i) {
    weights.push_back({"w" + std::to_string(i), {8 + i, 4}, shard::replicated()});
  }
  Whole const made = build(module_at(0, {.data = 2}, weights), module_at(2, {}, weights), straight);
  std::int64_t sent[2] = {};
  for (whole::WholeFlow const& flow : made.flows) {
    sent[flow.source] += flow.bytes;
  }
  CHECK(sent[0] + sent[1] == made.bytes_needed);
  CHECK(std::abs(sent[0] - sent[1]) <= 15 * 16);  // within the largest weight
}

TEST_CASE("paired: destination replica r takes from source replica r modulo their number") {
  std::vector<Weight> const weights{{"w", {8, 4}}};
  Options const paired{Route::point_to_point, SourceChoice::paired, 1024, 2};
  Whole const made = build(module_at(0, {.tensor = 2, .data = 2}, weights),
                           module_at(4, {.tensor = 2, .data = 3}, weights), paired);
  std::set<std::pair<int, int>> pairs;
  for (whole::WholeFlow const& flow : made.flows) {
    for (int const to : flow.destinations) {
      pairs.emplace(flow.source, to);
    }
  }
  CHECK(pairs == std::set<std::pair<int, int>>{{0, 4}, {1, 5}, {2, 6}, {3, 7}, {0, 8}, {1, 9}});
}

TEST_CASE("broadcast: ranks that need the same bytes get them together") {
  std::vector<Weight> const weights{{"w", {8, 4}}};
  Options const options{Route::broadcast, SourceChoice::paired, 1024, 2};
  Whole const made = build(module_at(0, {.tensor = 2}, weights),
                           module_at(2, {.tensor = 2, .data = 3}, weights), options);
  CHECK(made.flows.size() == 2);
  for (whole::WholeFlow const& flow : made.flows) {
    CHECK(flow.method == plan::Method::broadcast);
    CHECK(flow.receivers.size() == 3);
    CHECK(flow.receivers == flow.destinations);
  }
  CHECK(made.bytes_moved == 3 * 128);
}

TEST_CASE("two stages: each byte crosses to the destination once a replica") {
  std::vector<Weight> const weights{{"cut", {8, 4}}, {"whole", {6}, shard::replicated()}};
  Options const options{Route::two_stage, SourceChoice::paired, 1024, 2};
  Whole const made = build(module_at(0, {.tensor = 1}, weights),
                           module_at(1, {.tensor = 4, .data = 2}, weights), options);
  std::int64_t first = 0;
  for (whole::WholeFlow const& flow : made.flows) {
    CHECK(flow.receivers.size() == 2);  // a relay in each replica
    first += flow.bytes * static_cast<std::int64_t>(flow.receivers.size());
  }
  CHECK(first == 2 * (128 + 24));
  CHECK(made.bytes_moved == 2 * (128 + 4 * 24));
}

TEST_CASE("a piece larger than a bucket is cut along its rows, and inside of them to fill it") {
  std::vector<Weight> const weights{{"w", {3, 100}, shard::replicated(), DType::f32}};
  Options const options{Route::point_to_point, SourceChoice::balanced, 256, 2};
  Whole const made = build(module_at(0, {}, weights), module_at(1, {}, weights), options);
  std::int64_t bytes = 0;
  for (plan::Bucket const& bucket : made.buckets) {
    CHECK(bucket.bytes <= 256);
    CHECK(bucket.bytes > 0);
    bytes += bucket.bytes;
  }
  CHECK(bytes == 1200);
  CHECK(made.buckets.size() == 5);  // rows of 400 bytes: full ones, and what is left
}

TEST_CASE("names: unused ones are listed, missing ones refused with name and rank") {
  Description const source = module_at(0, {}, {{"a", {4}}, {"lora", {4}}});
  Whole const made = build(source, module_at(1, {}, {{"a", {4}}}), straight);
  CHECK(made.unused == std::vector<std::string>{"lora"});
  Error const missing = refusal(source, module_at(5, {}, {{"a", {4}}, {"head", {4}}}), straight);
  CHECK(missing.code() == Errc::incompatible_policy);
  CHECK(missing.rank() == 5);
  CHECK(says(missing, "head"));
  CHECK(says(missing, "rank 5"));
  CHECK(says(missing, "no parameter of that name"));
}

TEST_CASE("another shape or type is refused with both, the parameter and the rank") {
  Description const destination = module_at(1, {}, {{"a", {4, 6}}});
  Error const shape = refusal(module_at(0, {}, {{"a", {6, 4}}}), destination, straight);
  CHECK(shape.code() == Errc::incompatible_policy);
  CHECK(shape.rank() == 0);
  CHECK(says(shape, "parameter a"));
  CHECK(says(shape, "(4, 6)"));
  CHECK(says(shape, "(6, 4)"));
  CHECK(says(shape, "source rank 0"));
  Error const type =
      refusal(module_at(0, {}, {{"a", {4, 6}, shard::rows(), DType::i32}}), destination, straight);
  CHECK(says(type, "f32"));
  CHECK(says(type, "i32"));
  CHECK(says(type, "parameter a"));
  // Between ranks of one side, too.
  Description split = module_at(1, {.data = 2}, {{"a", {4, 6}}});
  split.ranks[1].parameters[0].dtype = DType::f16;
  Error const inside = refusal(module_at(0, {}, {{"a", {4, 6}}}), split, straight);
  CHECK(inside.rank() == 2);
  CHECK(says(inside, "destination rank 2"));
}

TEST_CASE("elements that no source rank holds are named") {
  Description source = module_at(0, {.tensor = 2}, {{"w", {8, 4}}});
  source.ranks[1].parameters[0].holding.boxes.clear();
  Error const error = refusal(source, module_at(2, {}, {{"w", {8, 4}}}), straight);
  CHECK(error.code() == Errc::incompatible_policy);
  CHECK(says(error, "parameter w"));
  CHECK(says(error, "[4:8, 0:4]"));
  CHECK(error.rank() == 2);
}

TEST_CASE("two stages need multiples, and the sentence says which") {
  std::vector<Weight> const weights{{"w", {24, 4}}};
  Options const options{Route::two_stage, SourceChoice::paired, 1024, 2};
  Error const tensor =
      refusal(module_at(0, {.tensor = 2}, weights), module_at(2, {.tensor = 3}, weights), options);
  CHECK(tensor.code() == Errc::incompatible_policy);
  CHECK(says(tensor, "destination tensor size that is a multiple"));
  CHECK(says(tensor, "source 2, destination 3"));
  Error const larger =
      refusal(module_at(0, {.tensor = 4}, weights), module_at(4, {.tensor = 2}, weights), options);
  CHECK(says(larger, "source 4, destination 2"));
  Error const pipeline =
      refusal(module_at(0, {}, weights), module_at(1, {.pipeline = 2}, weights), options);
  CHECK(says(pipeline, "source pipeline size that is a multiple"));
  CHECK(plan::two_stage_fault({.tensor = 2, .pipeline = 4}, {.tensor = 4, .pipeline = 2}) ==
        plan::PairFault::none);
}

TEST_CASE("options and descriptions that cannot be are refused") {
  std::vector<Weight> const weights{{"w", {8, 4}}};
  Description const one = module_at(0, {}, weights);
  Description const two = module_at(1, {}, weights);
  CHECK(says(refusal(one, two, {Route::broadcast, SourceChoice::paired, 255, 2}), "256"));
  CHECK(says(refusal(one, two, {Route::broadcast, SourceChoice::paired, 256, 0}), "slot"));
  CHECK(says(refusal(one, two, {Route::broadcast, SourceChoice::paired, 256, 3}), "even"));
  Description fewer = module_at(0, {.tensor = 2}, weights);
  fewer.ranks.pop_back();
  CHECK(says(refusal(fewer, two, straight), "one entry for each rank"));
}

TEST_CASE("a destination of nothing needs nothing") {
  Whole const made = build(module_at(0, {}, {{"a", {4}}}), module_at(1, {}, {}), straight);
  CHECK(made.buckets.empty());
  CHECK(made.bytes_needed == 0);
}

TEST_CASE("empty parameters are planned and move nothing") {
  std::vector<Weight> const weights{{"none", {0, 4}, shard::replicated()}, {"w", {8}}};
  Whole const made = build(module_at(0, {}, weights), module_at(1, {}, weights), straight);
  CHECK(made.parameters.size() == 2);
  CHECK(made.bytes_moved == 32);
}

TEST_CASE("plans print their totals and flows") {
  std::vector<Weight> const weights{{"w", {8, 4}}};
  Options const options{Route::two_stage, SourceChoice::paired, 1024, 2};
  std::string const printed = plan::to_string(
      plan::build(module_at(0, {}, weights), module_at(1, {.tensor = 2}, weights), options));
  CHECK(
      printed.find(
          "1 parameters of 1 kinds, 128 bytes needed, 0 already there, 128 moved, 192 on links") !=
      std::string::npos);
  CHECK(printed.find("0 -> [1], then 1 -> 2: 64 bytes") != std::string::npos);
}

TEST_CASE("a plan's fingerprint sees every part of it that ranks must agree on") {
  std::vector<Weight> const weights{{"a", {8, 4}}, {"b", {16}}};
  Options const options{Route::two_stage, SourceChoice::paired, 256, 2};
  // A relay, a forward and a rank that is on both sides.
  Plan const original = plan::build(module_at(0, {}, weights),
                                    module_at(0, {.tensor = 2, .data = 2}, weights), options);
  REQUIRE(!original.copies.empty());
  REQUIRE(!original.moves.empty());
  REQUIRE(original.paths.back().forwards.size() == 1);
  std::vector<std::function<void(Plan&)>> const changes{
      [](Plan& p) { p.parameters[0] = "c"; },
      [](Plan& p) { p.unused.push_back("d"); },
      [](Plan& p) { p.kinds[0].source_dtype = DType::bf16; },
      [](Plan& p) { p.kinds[0].destination_dtype = DType::bf16; },
      [](Plan& p) {
        p.kinds[0].global = {4, 8};
      },
      [](Plan& p) { p.kinds[0].parameters.clear(); },
      [](Plan& p) { p.kinds.pop_back(); },
      [](Plan& p) {
        p.paths[0].method =
            p.paths[0].method == plan::Method::send ? plan::Method::broadcast : plan::Method::send;
      },
      [](Plan& p) { p.paths[0].receivers.push_back(3); },
      [](Plan& p) { p.paths[0].destinations.pop_back(); },
      [](Plan& p) { p.paths.back().forwards[0].to = 9; },
      [](Plan& p) { p.paths.back().forwards[0].from = 9; },
      [](Plan& p) { p.paths.back().forwards.clear(); },
      [](Plan& p) { p.rank_sets[0].push_back(8); },
      [](Plan& p) { p.rank_sets.pop_back(); },
      [](Plan& p) { p.moves[0].kind += 1; },
      [](Plan& p) { p.moves[0].box.start[0] += 1; },
      [](Plan& p) { p.moves[0].box.extent[0] += 1; },
      [](Plan& p) { p.moves[0].begin += 1; },
      [](Plan& p) { p.moves[0].end += 1; },
      [](Plan& p) { p.moves[0].sources += 1; },
      [](Plan& p) { p.moves[0].paths[0] += 1; },
      [](Plan& p) { p.moves[0].first.back() += 1; },
      [](Plan& p) { p.moves.pop_back(); },
      [](Plan& p) { p.copies.pop_back(); },
      [](Plan& p) { p.copies[0].ranks += 1; },
      [](Plan& p) { p.copies[0].box.start[0] += 1; },
      [](Plan& p) { p.route = Route::broadcast; },
      [](Plan& p) { p.bucket_bytes = 512; },
      [](Plan& p) { p.slots = 6; },
      [](Plan& p) { p.world += 1; },
      [](Plan& p) { p.source_ranks += 1; },
      [](Plan& p) { p.destination_ranks += 1; },
  };
  std::set<std::uint64_t> prints{plan::fingerprint(original)};
  for (auto const& change : changes) {
    Plan changed = original;
    change(changed);
    prints.insert(plan::fingerprint(changed));
  }
  CHECK(prints.size() == changes.size() + 1);
  CHECK(plan::fingerprint(Plan(original)) == plan::fingerprint(original));
}
