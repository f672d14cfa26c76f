// Placements from listings against placements made the plain way: every parameter of every rank,
// box by box.
#include <rlhf/core/error.hpp>
#include <rlhf/plan/listing.hpp>
#include <rlhf/plan/placement.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

using cases::Case;
using cases::Dice;
using cases::Side;
using rlhf::Box;
namespace plan = rlhf::plan;

namespace {

/// The plain way. Throws what `placement_of` must throw.
plan::Placement plain_placement(plan::Description const& description, std::string const& side) {
  plan::Placement out;
  out.layout = description.layout;
  std::map<std::string, std::size_t> numbers;
  std::vector<int> first_rank;
  struct Held {
    Box box{};
    int rank = 0;
  };
  std::vector<std::vector<Held>> held_of;
  for (std::size_t r = 0; r < description.ranks.size(); ++r) {
    int const world_rank = description.ranks[r].world_rank;
    out.world_ranks.push_back(world_rank);
    for (plan::HeldParameter const& held : description.ranks[r].parameters) {
      auto const [at, added] = numbers.try_emplace(held.name, held_of.size());
      if (added) {
        out.parameters.push_back({held.name, held.dtype, held.holding.global, 0});
        held_of.emplace_back();
        first_rank.push_back(world_rank);
      }
      plan::PlacedParameter const& known = out.parameters[at->second];
      if (held.dtype != known.dtype || held.holding.global != known.global) {
        rlhf::fail(rlhf::Errc::incompatible_policy,
                   "parameter " + held.name + " is " + std::string(to_string(known.dtype)) + " " +
                       to_string(known.global) + " on rank " +
                       std::to_string(first_rank[at->second]) + ", but " +
                       std::string(to_string(held.dtype)) + " " + to_string(held.holding.global) +
                       " on " + side + " rank " + std::to_string(world_rank) +
                       "; global shape and type must be equal on all ranks of a module",
                   world_rank);
      }
      for (rlhf::HeldBox const& box : held.holding.boxes) {
        held_of[at->second].push_back(Held{box.box, static_cast<int>(r)});
      }
    }
  }
  auto const number_in = [](auto& items, auto const& item) {
    auto const found = std::find(items.begin(), items.end(), item);
    auto const number = static_cast<std::int32_t>(found - items.begin());
    if (found == items.end()) {
      items.push_back(item);
    }
    return number;
  };
  for (std::size_t p = 0; p < held_of.size(); ++p) {
    std::vector<Held>& held = held_of[p];
    std::sort(held.begin(), held.end(), [](Held const& a, Held const& b) {
      return a.box != b.box ? plan::before(a.box, b.box) : a.rank < b.rank;
    });
    std::vector<plan::Part> parts;
    for (std::size_t i = 0; i < held.size();) {
      Box const box = held[i].box;
      std::vector<int> ranks;
      for (; i < held.size() && held[i].box == box; ++i) {
        if (ranks.empty() || ranks.back() != held[i].rank) {
          ranks.push_back(held[i].rank);
        }
      }
      parts.push_back(plan::Part{box, number_in(out.rank_sets, ranks)});
    }
    out.parameters[p].pattern = number_in(out.patterns, parts);
  }
  return out;
}

/// Empty where both are equal, numbers included.
std::string difference(plan::Placement const& a, plan::Placement const& b) {
  if (a.layout != b.layout || a.world_ranks != b.world_ranks) {
    return "layout or ranks";
  }
  if (a.parameters.size() != b.parameters.size()) {
    return "number of parameters";
  }
  for (std::size_t p = 0; p < a.parameters.size(); ++p) {
    plan::PlacedParameter const& one = a.parameters[p];
    plan::PlacedParameter const& other = b.parameters[p];
    if (one.name != other.name || one.dtype != other.dtype || one.global != other.global ||
        one.pattern != other.pattern) {
      return "parameter " + one.name;
    }
  }
  return a.patterns != b.patterns ? "patterns" : a.rank_sets != b.rank_sets ? "rank sets" : "";
}

/// What a listing says of a rank, spelt out.
plan::RankDescription spelt_out(plan::Listing const& listing, std::size_t rank) {
  plan::BasicRankHoldings<> const& own = listing.ranks.at(rank);
  plan::Grouping const& grouping = listing.groupings.at(static_cast<std::size_t>(own.grouping));
  plan::ParameterList const& list = listing.lists.at(static_cast<std::size_t>(grouping.list));
  plan::RankDescription out{own.world_rank, {}};
  for (std::size_t p = 0; p < list.entries.size(); ++p) {
    plan::ParameterType const& type = list.types.at(static_cast<std::size_t>(list.entries[p].type));
    out.parameters.push_back({std::string(list.name(p)), type.dtype, {type.global, {}}});
  }
  grouping.for_each(list, [&](std::size_t p, int number) {
    auto const kind = static_cast<std::size_t>(number);
    CHECK(grouping.type_of.at(kind) == list.entries.at(p).type);
    for (Box const& box : listing.holdings.at(static_cast<std::size_t>(own.holdings.at(kind)))) {
      out.parameters.at(p).holding.boxes.push_back(rlhf::HeldBox{box, {}});
    }
  });
  return out;
}

/// Changes that layouts do not make but users' models do: other orders, parameters that some ranks
/// have not, boxes that some ranks have not or have twice, parameters listed twice.
void shake(plan::Description& description, Dice& dice) {
  for (plan::RankDescription& rank : description.ranks) {
    if (rank.parameters.empty()) {
      continue;
    }
    auto const any = [&]() -> plan::HeldParameter& {
      return rank.parameters[static_cast<std::size_t>(
          dice.between(0, static_cast<int>(rank.parameters.size()) - 1))];
    };
    if (dice.one_in(6)) {
      dice.shuffle(rank.parameters);
    }
    if (dice.one_in(6)) {
      any().holding.boxes.clear();
    }
    if (dice.one_in(6) && !any().holding.boxes.empty()) {
      plan::HeldParameter& held = any();
      std::vector<rlhf::HeldBox> const twice = held.holding.boxes;
      held.holding.boxes.insert(held.holding.boxes.end(), twice.begin(), twice.end());
      for (rlhf::HeldBox& box : held.holding.boxes) {
        if (dice.one_in(2) && box.box.rank() > 0 && box.box.extent[0] > 1) {
          box.box.extent[0] -= 1;
        }
      }
    }
    if (dice.one_in(8)) {
      plan::HeldParameter const twice = any();
      rank.parameters.push_back(twice);
    }
    if (dice.one_in(8)) {
      rank.parameters.pop_back();
    }
  }
}

/// More parameters of the same and of other shapes, as layers have them.
void repeat(plan::Description& description, int times) {
  for (plan::RankDescription& rank : description.ranks) {
    std::vector<plan::HeldParameter> const once = rank.parameters;
    for (int i = 1; i < times; ++i) {
      for (plan::HeldParameter held : once) {
        held.name += "." + std::to_string(i);
        rank.parameters.push_back(held);
      }
    }
  }
}

}  // namespace

TEST_CASE("a placement from a listing is the one made box by box, numbers included") {
  int shared = 0;
  int several_lists = 0;
  int several_groupings = 0;
  for (std::uint64_t seed = 0; seed < cases::to_try(1000); ++seed) {
    CAPTURE(seed);
    Dice dice(seed + 77);
    Case const pair = cases::random_case(seed, 12, false);
    for (Side const side : {Side::source, Side::destination}) {
      plan::Description description = cases::describe(pair, side);
      repeat(description, dice.between(1, 3));
      if (dice.one_in(2)) {
        shake(description, dice);
      }
      plan::Listing const listing = plan::listing_of(description);
      CHECK(difference(plan::placement_of(listing), plain_placement(description, "a")) == "");
      CHECK(difference(plan::placement_of(description), plan::placement_of(listing)) == "");
      // A listing says all that a description says, but for places in memory.
      for (std::size_t r = 0; r < description.ranks.size(); ++r) {
        plan::RankDescription want = description.ranks[r];
        for (plan::HeldParameter& held : want.parameters) {
          for (rlhf::HeldBox& box : held.holding.boxes) {
            box = rlhf::HeldBox{box.box, {}};
          }
        }
        CHECK(spelt_out(listing, r) == want);
      }
      shared += listing.groupings.size() < listing.ranks.size() ? 1 : 0;
      several_lists += listing.lists.size() > 1 ? 1 : 0;
      several_groupings += listing.groupings.size() > listing.lists.size() ? 1 : 0;
    }
  }
  CHECK(shared > 500);
  CHECK(several_lists > 200);
  CHECK(several_groupings > 200);
}

TEST_CASE("ranks that disagree on shape or type: the same parameter and ranks are named") {
  int refused = 0;
  for (std::uint64_t seed = 0; seed < cases::to_try(500); ++seed) {
    CAPTURE(seed);
    Dice dice(seed + 99);
    plan::Description description =
        cases::describe(cases::random_case(seed, 12, false), Side::source);
    shake(description, dice);
    for (int change = dice.between(1, 3); change > 0; --change) {
      plan::RankDescription& rank = description.ranks[static_cast<std::size_t>(
          dice.between(0, static_cast<int>(description.ranks.size()) - 1))];
      if (!rank.parameters.empty()) {
        plan::HeldParameter& held = rank.parameters[static_cast<std::size_t>(
            dice.between(0, static_cast<int>(rank.parameters.size()) - 1))];
        if (dice.one_in(2)) {
          held.dtype = held.dtype == rlhf::DType::f32 ? rlhf::DType::bf16 : rlhf::DType::f32;
        } else {
          held.holding.global = rlhf::Shape{7, 7, 7};
        }
      }
    }
    std::string want;
    int want_rank = -1;
    try {
      static_cast<void>(plain_placement(description, "source"));
    } catch (rlhf::Error const& error) {
      want = error.what();
      want_rank = error.rank();
    }
    std::string got;
    int got_rank = -1;
    try {
      static_cast<void>(plan::placement_of(description, "source"));
    } catch (rlhf::Error const& error) {
      CHECK(error.code() == rlhf::Errc::incompatible_policy);
      got = error.what();
      got_rank = error.rank();
    }
    // The texts end with the place in the source.
    CHECK(got.substr(0, got.find("; global")) == want.substr(0, want.find("; global")));
    CHECK(got_rank == want_rank);
    refused += want.empty() ? 0 : 1;
  }
  CHECK(refused > 200);
}
