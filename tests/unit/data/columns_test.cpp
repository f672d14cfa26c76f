#include <rlhf/core/error.hpp>
#include <rlhf/data/columns.hpp>

#include <cstdint>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/data/rollout.hpp>

namespace data = rlhf::data;

static_assert(data::ColumnBatch<test::Rollout>);
static_assert(!data::ColumnBatch<int>);
static_assert(!data::ColumnBatch<std::vector<int>>);

namespace {

struct Empty {
  template <class Visit>
  void columns(Visit&&) {}
};
/// Which columns it lists is known at run time only.
struct Varying {
  std::vector<int> a;
  std::vector<int> b;
  std::vector<float> c;
  int kind = 0;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("a", a);
    if (kind == 1) {
      visit("b", b);
    } else if (kind == 2) {
      visit("c", b);
    } else if (kind == 3) {
      visit("b", c);
    }
  }
};

}  // namespace

TEST_CASE("every column has a row for each sample") {
  test::Rollout batch = test::rollout({{1, 2}, {3}}, 0);
  CHECK(data::row_count(batch) == 2);
  batch.reward.pop_back();
  CHECK_THROWS_WITH_AS(data::row_count(batch),
                       doctest::Contains("the column reward has 1 rows, the column tokens has 2"),
                       rlhf::Error);
  CHECK(data::row_count(Empty{}) == 0);
}

TEST_CASE("pairs are of the same columns, or refused") {
  std::vector<std::string> names;
  test::Rollout into;
  test::Rollout const from = test::rollout({{1}}, 0);
  data::for_each_pair(into, from, [&](std::string_view name, auto& column, auto const& other) {
    static_assert(std::is_same_v<decltype(column), std::remove_cvref_t<decltype(other)>&>);
    names.emplace_back(name);
  });
  CHECK(names == std::vector<std::string>{"tokens", "hidden", "reward", "text"});
  for (int const one : {0, 1, 2, 3}) {
    for (int const other : {0, 1, 2, 3}) {
      Varying a{{}, {}, {}, one};
      Varying const b{{}, {}, {}, other};
      auto const pair = [&] { data::for_each_pair(a, b, [](auto, auto&, auto&) {}); };
      if (one == other) {
        pair();
      } else {
        CHECK_THROWS_WITH_AS(pair(), doctest::Contains("the batches do not have the same columns"),
                             rlhf::Error);
      }
    }
  }
}
