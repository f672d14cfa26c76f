#include <rlhf/core/error.hpp>
#include <rlhf/data/balance.hpp>

#include <cstdint>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using data::PartSizes;
using Numbers = std::vector<std::int64_t>;
using Lists = std::vector<Numbers>;

namespace {

Lists lists(data::Rows<std::int64_t> const& parts) {
  Lists out;
  for (std::int64_t p = 0; p < parts.size(); ++p) {
    out.emplace_back(parts[p].begin(), parts[p].end());
  }
  return out;
}

}  // namespace

TEST_CASE("the costliest samples first, each to the rank with the least work") {
  Numbers const costs{3, 9, 4, 4, 2, 2};
  data::Rows<std::int64_t> const parts = data::balance(costs, 2);
  CHECK(lists(parts) == Lists{{1, 4, 5}, {0, 2, 3}});
  CHECK(data::loads_of(costs, parts) == Numbers{13, 11});
  CHECK(data::balance_bound(costs, 2) == 16);
  CHECK(lists(data::balance(costs, 2, PartSizes::equal)) == Lists{{1, 4, 5}, {0, 2, 3}});
  CHECK(lists(data::balance(costs, 1)) == Lists{{0, 1, 2, 3, 4, 5}});
  CHECK(lists(data::balance(costs, 4, PartSizes::equal)) == Lists{{1}, {2, 5}, {3}, {0, 4}});
}

TEST_CASE("more ranks than samples, and none at all") {
  Numbers const costs{1, 2};
  CHECK(lists(data::balance(costs, 4)) == Lists{{1}, {0}, {}, {}});
  CHECK(lists(data::balance({}, 2, PartSizes::equal)) == Lists{{}, {}});
  Numbers const nothing{0, 0, 0, 0};
  CHECK(lists(data::balance(nothing, 2, PartSizes::equal)) == Lists{{0, 1}, {2, 3}});
}

TEST_CASE("costs and parts out of range are refused") {
  Numbers const costs{1, -1};
  CHECK_THROWS_WITH_AS(data::balance(costs, 2), doctest::Contains("the cost of sample 1, -1"),
                       rlhf::Error);
  Numbers const large{INT64_MAX / 2 - 5, INT64_MAX / 2 - 5};
  CHECK_THROWS_AS(data::balance(large, 2), rlhf::Error);
  CHECK_THROWS_AS(data::balance({}, 0), rlhf::Error);
}
