#include <rlhf/core/error.hpp>
#include <rlhf/data/rows.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;
using Numbers = std::vector<std::int64_t>;

TEST_CASE("rows lie one after the other") {
  data::Rows<int> rows;
  CHECK(rows.size() == 0);
  CHECK(rows.positions() == 0);
  rows.push_back(std::vector<int>{1, 2, 3});
  rows.push_back({});
  rows.push_back(std::vector<int>{4});
  CHECK(rows.size() == 3);
  CHECK(rows.lengths() == Numbers{3, 0, 1});
  CHECK(rows.begins() == Numbers{0, 3, 3, 4});
  CHECK(rows.values() == std::vector<int>{1, 2, 3, 4});
  CHECK(rows[0][2] == 3);
  CHECK(rows[1].empty());
  rows[2][0] = 7;
  CHECK(rows.values().back() == 7);
  rows.clear();
  CHECK(rows == data::Rows<int>());
}

TEST_CASE("a position may have several values") {
  data::Rows<float> rows(2);
  rows.push_back(std::vector<float>{1, 2, 3, 4});
  CHECK(rows.length(0) == 2);
  CHECK_THROWS_WITH_AS(rows.push_back(std::vector<float>{1}),
                       doctest::Contains("a row of 1 values has no whole positions of 2"),
                       rlhf::Error);
  CHECK(rows.size() == 1);
  CHECK_THROWS_AS(data::Rows<int>(0), rlhf::Error);
}

TEST_CASE("only values and begins that fit are taken over") {
  data::Rows<int> rows(2);
  rows.assign({1, 2, 3, 4}, {0, 0, 2});
  CHECK(rows.lengths() == Numbers{0, 2});
  for (Numbers const& begins : {Numbers{}, Numbers{1, 2}, Numbers{0, 1}, Numbers{0, 3},
                                Numbers{0, 3, 2}, Numbers{0, -1, 2}}) {
    CHECK_THROWS_AS(rows.assign({1, 2, 3, 4}, begins), rlhf::Error);
  }
  CHECK_THROWS_AS(rows.assign({1, 2, 3}, {0, 1}), rlhf::Error);
  CHECK(rows.lengths() == Numbers{0, 2});
}
