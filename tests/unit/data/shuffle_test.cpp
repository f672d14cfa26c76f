#include <rlhf/core/error.hpp>
#include <rlhf/data/micro_batch.hpp>
#include <rlhf/data/shuffle.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using Numbers = std::vector<std::int64_t>;

TEST_CASE("samples are shuffled by seed and pass alone, each of them once") {
  std::set<Numbers> orders;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    for (std::int64_t pass = 0; pass < 5; ++pass) {
      Numbers order = data::shuffled(50, seed, pass);
      CHECK(order == data::shuffled(50, seed, pass));
      CHECK(orders.insert(order).second);
      std::sort(order.begin(), order.end());
      for (std::int64_t i = 0; i < 50; ++i) {
        CHECK(order[static_cast<std::size_t>(i)] == i);
      }
    }
  }
  CHECK(data::shuffled(0, 1, 2).empty());
  CHECK(data::shuffled(1, 1, 2) == Numbers{0});
  CHECK_THROWS_AS(data::shuffled(-1, 0, 0), rlhf::Error);
}

TEST_CASE("groups are shuffled as wholes, the last and smaller one too") {
  data::Rows<std::int64_t> const groups = data::micro_batches_by_count(23, 4);
  data::Rows<std::int64_t> const mixed = data::shuffled(groups, 3, 1);
  CHECK_FALSE(mixed == groups);
  std::set<Numbers> before;
  std::set<Numbers> after;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    before.emplace(groups[g].begin(), groups[g].end());
    after.emplace(mixed[g].begin(), mixed[g].end());
  }
  CHECK(before.size() == 6);
  CHECK(before == after);
}
