#include <rlhf/core/error.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/rollout_buffer.hpp>
#include <rlhf/data/rows.hpp>

#include <cstdint>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <unit/data/rollout.hpp>

namespace data = rlhf::data;
using test::rollout;
using test::Rollout;

namespace {

Rollout five() {
  return rollout({{1}, {2, 2}, {}, {4, 4, 4, 4}, {5}}, 0);
}

}  // namespace

TEST_CASE("a batch is split by size or into parts, and joined again") {
  std::vector<Rollout> const pairs = data::split_by(five(), 2);
  REQUIRE(pairs.size() == 3);
  CHECK(pairs[0] == rollout({{1}, {2, 2}}, 0));
  CHECK(pairs[2] == rollout({{5}}, 4));
  CHECK(data::join(pairs) == five());
  std::vector<Rollout> const parts = data::split_into(five(), 7);
  REQUIRE(parts.size() == 7);
  CHECK(parts[4] == rollout({{5}}, 4));
  CHECK(parts[5] == Rollout());
  CHECK(data::join(parts) == five());
  CHECK(data::split_into(five(), 2)[0] == rollout({{1}, {2, 2}, {}}, 0));
  CHECK(data::split_by(Rollout(), 3).empty());
  CHECK(data::join(std::vector<Rollout>()) == Rollout());
  CHECK_THROWS_AS(data::split_by(five(), 0), rlhf::Error);
  CHECK_THROWS_AS(data::split_into(five(), 0), rlhf::Error);
}

TEST_CASE("rows are selected, repeated, and taken in steps") {
  std::vector<std::int64_t> const rows{4, 1, 4};
  Rollout const chosen = data::select(five(), rows);
  CHECK(chosen.text == std::vector<std::string>{"sample 4", "sample 1", "sample 4"});
  CHECK(chosen.tokens.lengths() == std::vector<std::int64_t>{1, 2, 1});
  CHECK(data::every(five(), 1, 2).text == std::vector<std::string>{"sample 1", "sample 3"});
  CHECK(data::every(five(), 9, 2) == Rollout());
  std::vector<std::int64_t> const wrong{0, 5};
  CHECK_THROWS_WITH_AS(data::select(five(), wrong), doctest::Contains("row 5 is not one of the 5"),
                       rlhf::Error);
  CHECK_THROWS_AS(data::every(five(), 0, 0), rlhf::Error);
  data::Rows<std::int64_t> groups;
  groups.push_back(rows);
  groups.push_back({});
  std::vector<Rollout> const grouped = data::split_by_groups(five(), groups);
  CHECK(grouped.size() == 2);
  CHECK(grouped[0] == chosen);
  CHECK(grouped[1] == Rollout());
}

TEST_CASE("what does not fit together is refused") {
  Rollout batch = five();
  CHECK_THROWS_WITH_AS(data::append_rows(batch, five(), 2, 6),
                       doctest::Contains("rows 2 to 6 are not among the 5 rows"), rlhf::Error);
  CHECK_THROWS_AS(data::append_rows(batch, batch, 0, 1), rlhf::Error);
  Rollout wide = five();
  wide.hidden = data::Rows<float>(3);
  for (int i = 0; i < 5; ++i) {
    wide.hidden.push_back(std::vector<float>{1, 2, 3});
  }
  CHECK_THROWS_WITH_AS(data::append_rows(batch, wide, 0, 1),
                       doctest::Contains("rows of 3 values a position cannot join rows of 2"),
                       rlhf::Error);
  Rollout adopted;
  data::append_rows(adopted, wide, 0, 5);
  CHECK(adopted == wide);
}

namespace {

struct Hidden {
  data::Rows<float> states;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("states", states);
  }
  bool operator==(Hidden const&) const = default;
};

}  // namespace

TEST_CASE("batches without samples join on either side, whatever their shape") {
  Hidden full{data::Rows<float>(3)};
  full.states.push_back(std::vector<float>{1, 2, 3, 4, 5, 6});
  Hidden const none;                          // made without a shape
  Hidden const shaped{data::Rows<float>(3)};  // of no samples
  Hidden const other{data::Rows<float>(2)};
  using Batches = std::vector<Hidden>;
  for (Batches const& parts :
       {Batches{full, none}, Batches{none, full}, Batches{full, shaped}, Batches{shaped, full},
        Batches{none, full, none}, Batches{full, other}, Batches{shaped, none, full, other}}) {
    CHECK(data::join(parts) == full);
  }
  CHECK(data::join(Batches{none, shaped}) == shaped);
  CHECK(data::join(Batches{shaped, none}) == shaped);
  data::RolloutBuffer<Hidden> buffer({.keep = 2});
  buffer.add(0, full);
  buffer.add(0, none);
  buffer.add(1, none);
  buffer.add(1, none);
  CHECK(buffer.training_set() == full);
}
