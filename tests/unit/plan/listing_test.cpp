// What ranks share is in a listing once.
#include <rlhf/plan/listing.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Box;
using rlhf::DType;
using rlhf::Layout;
namespace plan = rlhf::plan;

namespace {

/// `w0`, `b0`, `w1`, ...: matrices (4, 6) of which a rank holds some rows, and biases (6) that it
/// holds as a whole.
plan::RankDescription layers(int world_rank, int count, std::int64_t first_row, std::int64_t rows) {
  plan::RankDescription out{world_rank, {}};
  for (int layer = 0; layer < count; ++layer) {
    std::string const number = std::to_string(layer);
    rlhf::HeldBox const part{Box{{first_row, 0}, {rows, 6}}, {0, 0}};
    rlhf::HeldBox const whole{Box::whole({6}), {0}};
    out.parameters.push_back({"w" + number, DType::bf16, {{4, 6}, {part}}});
    out.parameters.push_back({"b" + number, DType::f32, {{6}, {whole}}});
  }
  return out;
}

using Held = std::vector<std::pair<std::size_t, int>>;
Held held(plan::Listing const& listing, std::size_t rank) {
  Held out;
  auto const& grouping =
      listing.groupings.at(static_cast<std::size_t>(listing.ranks.at(rank).grouping));
  grouping.for_each(listing.lists.at(static_cast<std::size_t>(grouping.list)),
                    [&](std::size_t parameter, int kind) { out.emplace_back(parameter, kind); });
  return out;
}

}  // namespace

TEST_CASE("tensor peers share list and grouping, data peers the holdings, too") {
  plan::Description const description{
      Layout{.tensor = 2, .data = 2},
      {layers(5, 9, 0, 2), layers(3, 9, 2, 2), layers(4, 9, 0, 2), layers(1, 9, 2, 2)}};
  plan::Listing const listing = plan::listing_of(description);
  CHECK(listing.lists.size() == 1);
  CHECK(listing.lists[0].entries.size() == 18);
  CHECK(listing.lists[0].types ==
        std::vector<plan::ParameterType>{{DType::bf16, {4, 6}}, {DType::f32, {6}}});
  CHECK(listing.lists[0].name(0) == "w0");
  CHECK(listing.lists[0].name(17) == "b8");
  CHECK(listing.groupings.size() == 1);
  CHECK(listing.groupings[0].runs == std::vector<plan::Grouping::Run>{{18, 1}});
  CHECK(listing.holdings.size() == 3);
  CHECK(listing.ranks[0].holdings == std::vector<int>{0, 1});
  CHECK(listing.ranks[1].holdings == std::vector<int>{2, 1});
  CHECK(listing.ranks[2] == plan::BasicRankHoldings<>{4, 0, {0, 1}});
  CHECK(listing.ranks[3].world_rank == 1);
  CHECK(held(listing, 3).at(17) == std::pair<std::size_t, int>{17, 1});
}

TEST_CASE("a rank that holds little of a long list has short runs; places in memory do not count") {
  plan::RankDescription rank = layers(0, 50, 0, 4);
  for (std::size_t p = 0; p < rank.parameters.size(); ++p) {
    if (p < 20 || p > 23) {
      rank.parameters[p].holding.boxes.clear();
    }
  }
  rank.parameters[21].holding.boxes[0].offset = 7;
  rank.parameters[22].holding.boxes[0].box.extent[0] = 1;
  plan::Description description{Layout{}, {rank}};
  plan::Listing const listing = plan::listing_of(description);
  CHECK(listing.groupings[0].runs ==
        std::vector<plan::Grouping::Run>{{20, 0}, {22, 1}, {23, 2}, {24, 1}, {100, 0}});
  CHECK(listing.groupings[0].type_of == std::vector<int>{0, 1, 0});
  CHECK(held(listing, 0) == Held{{20, 0}, {21, 1}, {22, 2}, {23, 1}});
  description.ranks[0].parameters[23].holding.boxes[0].local_start = {9};
  CHECK(plan::listing_of(description) == listing);
  description.ranks[0].parameters[23].dtype = DType::u8;
  CHECK(plan::listing_of(description) != listing);
}

TEST_CASE("ranks with other names have other lists, ranks without parameters an empty one") {
  plan::Description description{Layout{.pipeline = 3},
                                {layers(0, 2, 0, 4), layers(1, 2, 0, 4), {2, {}}}};
  description.ranks[1].parameters[2].name = "x";
  plan::Listing const listing = plan::listing_of(description);
  CHECK(listing.lists.size() == 3);
  CHECK(listing.lists[1].name(2) == "x");
  CHECK(listing.lists[2] == plan::ParameterList{});
  CHECK(listing.groupings[2].runs.empty());
  CHECK(listing.holdings.size() == 2);
  CHECK(held(listing, 2).empty());
}
