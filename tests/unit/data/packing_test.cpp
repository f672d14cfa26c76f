#include <rlhf/core/error.hpp>
#include <rlhf/data/packing.hpp>

#include <cstdint>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using Ints = std::vector<std::int32_t>;
using Numbers = std::vector<std::int64_t>;

namespace {

data::Rows<int> sequences() {
  data::Rows<int> rows;
  for (Ints const& row : {Ints{1, 1}, Ints{2, 2, 2, 2}, Ints{}, Ints{4}, Ints{5, 5, 5}}) {
    rows.push_back(row);
  }
  return rows;
}
Ints ends(data::PackPlan const& plan, std::int64_t row) {
  return {plan.cumulative[row].begin(), plan.cumulative[row].end()};
}

}  // namespace

TEST_CASE("sequences share rows of a fixed length") {
  data::Rows<int> const rows = sequences();
  data::PackPlan const plan = data::plan_packing(rows.lengths(), 5);
  CHECK(data::pack(rows, plan, 9) == Ints{2, 2, 2, 2, 4, 1, 1, 5, 5, 5});
  CHECK(plan.rows() == 2);
  CHECK(plan.unused() == 0);
  CHECK(ends(plan, 0) == Ints{0, 4, 4, 5});
  CHECK(ends(plan, 1) == Ints{0, 2, 5});
  CHECK(plan.row_of == Numbers{1, 0, 0, 0, 1});
  CHECK(plan.position_of == Numbers{0, 0, 4, 4, 2});
  CHECK(data::position_ids(plan) == Ints{0, 1, 2, 3, 0, 0, 1, 0, 1, 2});
  CHECK(data::unpack(data::pack(rows, plan), plan) == rows);
}

TEST_CASE("in order, neighbours share rows; unused positions are filled") {
  data::Rows<int> const rows = sequences();
  data::PackPlan const plan = data::plan_packing(rows.lengths(), 6, data::Grouping::in_order);
  CHECK(data::pack(rows, plan, 9) == Ints{1, 1, 2, 2, 2, 2, 4, 5, 5, 5, 9, 9});
  CHECK(plan.unused() == 2);
  CHECK(data::position_ids(plan) == Ints{0, 1, 0, 1, 2, 3, 0, 0, 1, 2, 0, 0});
}

TEST_CASE("columns of one batch are packed by one plan") {
  data::Rows<int> const rows = sequences();
  data::PackPlan const plan = data::plan_packing(rows.lengths(), 5);
  data::Rows<float> pairs(2);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    pairs.push_back(std::vector<float>(static_cast<std::size_t>(2 * rows.length(i)), 0.5F));
  }
  CHECK(data::unpack(data::pack(pairs, plan), plan, 2) == pairs);
  data::Rows<int> other = sequences();
  other.push_back(Ints{6});
  CHECK_THROWS_WITH_AS(data::pack(other, plan),
                       doctest::Contains("the column has 6 rows, 5 sequences were planned"),
                       rlhf::Error);
  data::Rows<int> longer;
  for (int i = 0; i < 5; ++i) {
    longer.push_back(Ints{1, 1});
  }
  CHECK_THROWS_WITH_AS(data::pack(longer, plan),
                       doctest::Contains("row 1 of the column has 2 positions, 4 were planned"),
                       rlhf::Error);
  CHECK_THROWS_AS(data::unpack(Ints{1, 2}, plan), rlhf::Error);
}

TEST_CASE("what cannot be packed is refused") {
  Numbers const lengths{3, 6};
  CHECK_THROWS_WITH_AS(
      data::plan_packing(lengths, 5),
      doctest::Contains("sequence 1 has 6 positions, a row has 5; cut it, or choose"), rlhf::Error);
  CHECK_THROWS_AS(data::plan_packing(lengths, 0), rlhf::Error);
  CHECK_THROWS_AS(data::plan_packing(lengths, std::int64_t{1} << 31), rlhf::Error);
  CHECK(data::plan_packing({}, 5).rows() == 0);
}
