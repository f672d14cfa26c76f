// Laws of plans over random pairs of layouts, meshes, shapes and cuts.
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/cost.hpp>
#include <rlhf/plan/minimum.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/plan/schedule.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/whole_plan.hpp"

using cases::Case;
using cases::Side;
using rlhf::Coordinate;
using rlhf::Layout;
namespace plan = rlhf::plan;
using plan::Plan;
using plan::Route;
using plan::SourceChoice;
using whole::Whole;

namespace {

struct Bytes {
  std::int64_t needed = 0;
  std::int64_t local = 0;
};

/// What destination ranks hold, and what of it their rank also holds as a source: element by
/// element.
Bytes bytes_of_case(Case const& pair) {
  Bytes out;
  for (int rank = 0; rank < pair.destination.ranks(); ++rank) {
    Coordinate const to = pair.destination.coordinate(rank);
    int const own = pair.source_mesh.rank_of(pair.destination_mesh.world_rank(rank));
    for (cases::Parameter const& parameter : pair.parameters) {
      if (!cases::present(pair, Side::destination, parameter, to)) {
        continue;
      }
      std::set<std::int64_t> here;
      if (own >= 0) {
        Coordinate const from = pair.source.coordinate(own);
        if (cases::present(pair, Side::source, parameter, from)) {
          cases::for_each_element(parameter.global,
                                  cases::slices_of(pair, Side::source, parameter, from),
                                  [&](std::int64_t, std::int64_t g) { here.insert(g); });
        }
      }
      cases::for_each_element(parameter.global,
                              cases::slices_of(pair, Side::destination, parameter, to),
                              [&](std::int64_t, std::int64_t g) {
                                std::int64_t const bytes = rlhf::size_of(parameter.dtype);
                                out.needed += bytes;
                                out.local += here.count(g) != 0 ? bytes : 0;
                              });
    }
  }
  return out;
}

/// Bytes that each domain's destinations need and none of its sources has, element by element.
std::int64_t counted_slow_minimum(Case const& pair, plan::Topology const& topology) {
  std::int64_t out = 0;
  for (cases::Parameter const& parameter : pair.parameters) {
    std::set<std::pair<int, std::int64_t>> of_side[2];
    for (Side const side : {Side::source, Side::destination}) {
      for (int rank = 0; rank < cases::layout_of(pair, side).ranks(); ++rank) {
        rlhf::Coordinate const at = cases::layout_of(pair, side).coordinate(rank);
        int const domain = topology.domain_of(cases::mesh_of(pair, side).world_rank(rank));
        if (cases::present(pair, side, parameter, at)) {
          cases::for_each_element(parameter.global, cases::slices_of(pair, side, parameter, at),
                                  [&](std::int64_t, std::int64_t g) {
                                    of_side[side == Side::source ? 0 : 1].emplace(domain, g);
                                  });
        }
      }
    }
    for (auto const& one : of_side[1]) {
      out += of_side[0].count(one) == 0 ? rlhf::size_of(parameter.dtype) : 0;
    }
  }
  return out;
}

/// What plans promise apart from being an exact cover. Empty where this one keeps it.
std::string broken_promise(Whole const& made, plan::Options const& options) {
  std::int64_t on_links = 0;
  std::int64_t moved = 0;
  std::map<std::int32_t, std::int32_t> rounds;
  std::map<std::pair<std::int32_t, rlhf::DType>, int> short_ones;  // by flow and type
  for (plan::Bucket const& bucket : made.buckets) {
    whole::WholeFlow const& flow = made.flows.at(static_cast<std::size_t>(bucket.flow));
    if (bucket.bytes > options.bucket_bytes || bucket.bytes <= 0) {
      return "a bucket of " + std::to_string(bucket.bytes) + " bytes";
    }
    if (rounds[bucket.flow]++ != bucket.round) {
      return "a flow's buckets out of order";
    }
    std::set<int> ranks{flow.source};
    ranks.insert(flow.receivers.begin(), flow.receivers.end());
    for (plan::Forward const& forward : flow.forwards) {
      ranks.insert(forward.to);
    }
    if (ranks.size() != 1 + flow.receivers.size() + flow.forwards.size()) {
      return "a rank gets the same bucket twice";
    }
    std::set<rlhf::DType> types;
    for (plan::Piece const& piece : bucket.pieces) {
      types.insert(made.parameters.at(static_cast<std::size_t>(piece.parameter)).wire);
    }
    if (types.size() != 1) {
      return "a bucket of several types";
    }
    std::int64_t const element = rlhf::size_of(*types.begin());
    std::int64_t const room = options.bucket_bytes - bucket.bytes;
    if (room > options.bucket_bytes / 64 && room >= element &&
        ++short_ones[{bucket.flow, *types.begin()}] > 1) {
      return "two buckets of a type that are not full, of one flow";
    }
    on_links +=
        bucket.bytes * static_cast<std::int64_t>(flow.receivers.size() + flow.forwards.size());
    moved += bucket.bytes * static_cast<std::int64_t>(flow.destinations.size());
  }
  if (on_links != made.bytes_on_links || moved != made.bytes_moved) {
    return "totals that are not the buckets'";
  }
  return {};
}

/// A bucket as anybody sees it: its flow by name.
std::string print(Plan const& made, plan::Schedule const& schedule, plan::Bucket const& bucket) {
  plan::Flow const& flow = schedule.flows.at(static_cast<std::size_t>(bucket.flow));
  std::string out = rlhf::text(flow.source, "/", flow.path, "#", bucket.round, " of ", flow.bytes);
  for (plan::Piece const& piece : bucket.pieces) {
    out += " " + made.parameters.at(static_cast<std::size_t>(piece.parameter)) +
           rlhf::to_string(piece.box);
  }
  return out;
}

/// Every rank's schedule is its share of the schedule of all, in the same order.
std::string torn_schedule(Plan const& made, int world) {
  plan::Schedule const all = plan::schedule(made);
  for (int rank = 0; rank < world; ++rank) {
    std::vector<std::string> want;
    for (plan::Bucket const& bucket : all.buckets) {
      plan::Flow const& flow = all.flows.at(static_cast<std::size_t>(bucket.flow));
      plan::Path const& path = made.paths.at(static_cast<std::size_t>(flow.path));
      bool passes = flow.source == rank || whole::has(path.receivers, rank);
      for (plan::Forward const& forward : path.forwards) {
        passes = passes || forward.to == rank;
      }
      if (passes) {
        want.push_back(print(made, all, bucket));
      }
    }
    plan::Schedule const own = plan::schedule(made, rank);
    std::vector<std::string> got;
    for (plan::Bucket const& bucket : own.buckets) {
      got.push_back(print(made, own, bucket));
    }
    if (got != want) {
      return "rank " + std::to_string(rank) + " has another order or other buckets";
    }
    auto const is_own = [&](plan::LocalCopy const& copy) { return copy.rank == rank; };
    if (std::count_if(all.copies.begin(), all.copies.end(), is_own) !=
        static_cast<std::ptrdiff_t>(own.copies.size())) {
      return "rank " + std::to_string(rank) + " has other copies";
    }
  }
  return {};
}

/// In a turn every rank sends to one path at most and receives from one.
std::string crowded_turn(Plan const& made) {
  std::vector<plan::Flow> const flows = plan::flows_of(made);
  plan::BasicTurns<> const turns = plan::turns_of(made, flows);
  std::set<std::pair<std::int32_t, int>> sends;
  std::set<std::pair<std::int32_t, int>> receives;
  for (std::size_t f = 0; f < flows.size(); ++f) {
    plan::Path const& path = made.paths.at(static_cast<std::size_t>(flows[f].path));
    std::int32_t before = -1;
    for (std::int64_t b = 0; b < plan::full_buckets(flows[f].bytes, made.bucket_bytes); ++b) {
      std::int32_t const turn = turns.of(f, b);
      bool right = turn > before && sends.insert({turn, flows[f].source}).second;
      for (int const rank : path.receivers) {
        right = right && receives.insert({turn, rank}).second;
      }
      std::set<int> passing;
      for (plan::Forward const& forward : path.forwards) {
        passing.insert(forward.from);
        right = right && receives.insert({turn, forward.to}).second;
      }
      for (int const rank : passing) {
        right = right && sends.insert({turn, rank}).second;
      }
      if (!right) {
        return "turn " + std::to_string(turn) + " of rank " + std::to_string(flows[f].source);
      }
      before = turn;
    }
  }
  return {};
}

std::string route_of(Route route) {
  return route == Route::point_to_point ? "point to point"
         : route == Route::broadcast    ? "broadcast"
         : route == Route::two_stage    ? "two stages"
                                        : "hierarchical";
}

}  // namespace

TEST_CASE(
    "every plan is an exact cover, moves the least, keeps its limits, and is made twice alike") {
  int plans = 0;
  int with_local = 0;
  int with_forwards = 0;
  int with_broadcast = 0;
  int with_many_rounds = 0;
  for (std::uint64_t seed = 0; seed < cases::to_try(500); ++seed) {
    Case const pair = cases::random_case(seed, 12, seed % 2 == 0);
    plan::Description const source = cases::describe(pair, Side::source);
    plan::Description const destination = cases::describe(pair, Side::destination);
    Bytes const bytes = bytes_of_case(pair);
    plan::Topology const hosts =
        plan::Topology::of_hosts(pair.world, 1 + static_cast<int>(seed % 4));
    for (Route const route :
         {Route::point_to_point, Route::broadcast, Route::two_stage, Route::hierarchical}) {
      bool const fits = pair.destination.tensor % pair.source.tensor == 0 &&
                        pair.source.pipeline % pair.destination.pipeline == 0;
      plan::Options const options{route,
                                  seed % 3 == 0 ? SourceChoice::balanced : SourceChoice::paired,
                                  seed % 5 == 0 ? 4096 : 256, 2 + 2 * static_cast<int>(seed % 3)};
      if (route == Route::two_stage && !fits) {
        CHECK_THROWS_AS(static_cast<void>(plan::build(source, destination, options)), rlhf::Error);
        continue;
      }
      CAPTURE(seed);
      CAPTURE(route_of(route));
      Plan const made = plan::build(source, destination, options, hosts);
      Whole const all = whole::spread(made);
      ++plans;
      with_local += all.local_copies.empty() ? 0 : 1;
      with_many_rounds += std::any_of(all.buckets.begin(), all.buckets.end(),
                                      [](plan::Bucket const& bucket) { return bucket.round > 3; })
                              ? 1
                              : 0;
      for (whole::WholeFlow const& flow : all.flows) {
        with_forwards += flow.forwards.empty() ? 0 : 1;
        with_broadcast += flow.method == plan::Method::broadcast ? 1 : 0;
      }
      CHECK(plan::find_fault(made, source, destination) == "");
      CHECK(whole::element_fault(all, source, destination) == "");
      CHECK(made.bytes_needed == bytes.needed);
      CHECK(made.bytes_local == bytes.local);
      CHECK(made.bytes_moved == bytes.needed - bytes.local);
      CHECK(plan::minimum_bytes(plan::placement_of(source), plan::placement_of(destination)) ==
            plan::MinimumBytes{bytes.needed, bytes.needed - bytes.local});
      CHECK(broken_promise(all, options) == "");
      if (seed % 10 == 0) {
        CHECK(torn_schedule(made, pair.world) == "");
        CHECK(crowded_turn(made) == "");
      }
      plan::Prediction const cost = plan::predict(made, hosts);
      std::int64_t const least = plan::slow_link_minimum(plan::placement_of(source),
                                                         plan::placement_of(destination), hosts);
      CHECK(least == counted_slow_minimum(pair, hosts));
      CHECK(cost.bytes_slow_link >= least);
      if (route == Route::hierarchical) {
        CHECK(cost.bytes_slow_link == least);
        for (plan::Move const& move : made.moves) {  // no shares of nothing: plans stay small
          std::int64_t const units = move.parameters() * std::ssize(move.paths);
          CHECK(std::ssize(made.rank_sets[static_cast<std::size_t>(move.sources)]) <=
                std::max(units, std::int64_t{1}));
        }
      }
      if (route == Route::point_to_point || route == Route::broadcast) {
        CHECK(made.bytes_on_links == made.bytes_moved);
      }
      Plan const again = plan::build(source, destination, options, hosts);
      CHECK(again == made);
      CHECK(plan::fingerprint(again) == plan::fingerprint(made));
    }
  }
  CHECK(plans > 1200);
  CHECK(with_local > 300);
  CHECK(with_forwards > 300);
  CHECK(with_broadcast > 300);
  CHECK(with_many_rounds > 300);
}

TEST_CASE(
    "two stages: into each group of destination tensor ranks a byte comes once from outside") {
  int checked = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Case const pair = cases::random_case(seed, 12, true);
    Whole const made = whole::spread(
        plan::build(cases::describe(pair, Side::source), cases::describe(pair, Side::destination),
                    {Route::two_stage, SourceChoice::paired, 1024, 2}));
    int const ratio = pair.destination.tensor / pair.source.tensor;
    for (whole::WholeFlow const& flow : made.flows) {
      std::map<int, std::set<int>> first;  // group to receivers
      for (int const receiver : flow.receivers) {
        first[pair.destination_mesh.rank_of(receiver) / ratio].insert(receiver);
      }
      int const own = pair.destination_mesh.rank_of(flow.source);
      for (auto const& [group, receivers] : first) {
        if (own < 0 || own / ratio != group) {
          CAPTURE(seed);
          CHECK(receivers.size() == 1);
          ++checked;
        }
      }
      for (plan::Forward const& forward : flow.forwards) {
        CHECK(pair.destination_mesh.rank_of(forward.from) / ratio ==
              pair.destination_mesh.rank_of(forward.to) / ratio);
      }
    }
  }
  CHECK(checked > 500);
}

TEST_CASE("balanced sources: nobody sends much more than the largest piece above the mean") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    cases::Dice dice(seed);
    Case pair;
    pair.source = Layout{.data = dice.between(2, 4)};
    pair.destination = Layout{.tensor = 2, .data = dice.between(1, 3)};
    cases::place(pair, dice, cases::Placement::disjoint);
    cases::add_parameters(pair, dice, 20);
    Whole const made = whole::spread(
        plan::build(cases::describe(pair, Side::source), cases::describe(pair, Side::destination),
                    {Route::point_to_point, SourceChoice::balanced, 1 << 20, 2}));
    std::map<int, std::int64_t> sent;
    std::int64_t largest = 0;
    for (plan::Bucket const& bucket : made.buckets) {
      for (plan::Piece const& piece : bucket.pieces) {
        largest = std::max(largest, whole::bytes_of(made, piece));
        sent[made.flows[static_cast<std::size_t>(bucket.flow)].source] +=
            whole::bytes_of(made, piece);
      }
    }
    for (auto const& [rank, bytes] : sent) {
      CHECK(bytes <= made.bytes_moved / pair.source.data + largest);
    }
  }
}

TEST_CASE("a random fault planted into a random plan is found") {
  int missed = 0;
  int planted = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    cases::Dice dice(seed + 77);
    Case const pair = cases::random_case(seed, 8, true);
    plan::Description const source = cases::describe(pair, Side::source);
    plan::Description const destination = cases::describe(pair, Side::destination);
    Plan made = plan::build(
        source, destination,
        {seed % 2 == 0 ? Route::two_stage : Route::broadcast, SourceChoice::paired, 256, 2});
    if (made.moves.empty()) {
      continue;
    }
    plan::Move& move = made.moves[static_cast<std::size_t>(
        dice.between(0, static_cast<int>(made.moves.size()) - 1))];
    plan::Path& path = made.paths[static_cast<std::size_t>(move.paths[0])];
    switch (dice.between(0, 9)) {
      case 0:
        made.moves.pop_back();
        break;
      case 1:
        made.moves.push_back(plan::Move(move));
        break;
      case 2: {  // a source that does not hold the box
        plan::Kind const& kind = made.kinds[static_cast<std::size_t>(move.kind)];
        std::string const& name = made.parameters[static_cast<std::size_t>(kind.parameters[0])];
        int wrong = -1;
        for (plan::RankDescription const& rank : source.ranks) {
          wrong = whole::holds(&rank, name, move.box) ? wrong : rank.world_rank;
        }
        if (wrong < 0) {
          continue;
        }
        made.rank_sets.push_back({wrong});
        move.sources = static_cast<std::int32_t>(made.rank_sets.size()) - 1;
        break;
      }
      case 3:
        path.destinations.pop_back();
        break;
      case 4:
        (path.forwards.empty() ? static_cast<void>(path.receivers.pop_back())
                               : path.forwards.pop_back());
        break;
      case 5:
        move.first.back() += dice.between(0, 1) == 0 ? 1 : -1;
        break;
      case 6:
        move.end -= 1;
        break;
      case 7:
        made.kinds[static_cast<std::size_t>(move.kind)].parameters.pop_back();
        break;
      case 8:
        if (made.copies.empty()) {
          continue;
        }
        made.copies.pop_back();
        break;
      default:
        if (move.box.rank() == 0) {
          continue;
        }
        move.box.start[0] += 1;
    }
    ++planted;
    missed += plan::find_fault(made, source, destination).empty() ? 1 : 0;
  }
  CHECK(missed == 0);
  CHECK(planted > 250);
}

TEST_CASE("what a plan leaves over is the rest of the source, no more and no less") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Case const pair = cases::random_case(seed, 8, false);
    plan::Description source = cases::describe(pair, Side::source);
    plan::Description const destination = cases::describe(pair, Side::destination);
    rlhf::Holding whole_of_it{{2}, {{rlhf::Box::whole({2}), {0}}}};
    for (plan::RankDescription& rank : source.ranks) {
      rank.parameters.push_back({"left", rlhf::DType::f32, whole_of_it});
    }
    Plan const made = plan::build(source, destination, plan::Options{});
    CHECK(made.unused == std::vector<std::string>{"left"});
    CHECK(plan::find_fault(made, source, destination) == "");
    auto const fault = [&](std::vector<std::string> unused) {
      Plan changed = made;
      changed.unused = std::move(unused);
      return plan::find_fault(changed, source, destination);
    };
    CHECK(fault({}) == "parameter left of the source is neither taken nor named as left over");
    CHECK(fault({"left", "ghost"}).find("leaves over ghost") != std::string::npos);
    CHECK(fault({"left", "left"}).find("leaves over left") != std::string::npos);
    CHECK(fault({made.parameters[0], "left"}).find("or the destination takes") !=
          std::string::npos);
  }
}
