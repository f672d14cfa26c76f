#include <rlhf/core/error.hpp>
#include <rlhf/data/cursor.hpp>
#include <rlhf/data/order.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;
using Items = std::vector<std::int64_t>;

namespace {
template <class Cursor>
Items take(Cursor& cursor, std::int64_t count) {
  Items out;
  cursor.take(count, [&](std::int64_t index) { out.push_back(index); });
  return out;
}
template <data::Exhausted Mode>
data::Cursor<data::TorchOrder, Mode> cursor(std::int64_t size, std::int64_t batch,
                                            bool shuffle = false) {
  return data::Cursor<data::TorchOrder, Mode>(
      data::CursorOptions{.size = size, .batch = batch, .seed = 0, .shuffle = shuffle});
}
}  // namespace

TEST_CASE("cycle goes on with the next epoch, across several if need be") {
  auto c = cursor<data::Exhausted::cycle>(2, 1, true);
  CHECK(take(c, 7) == Items{0, 1, 1, 0, 0, 1, 0});  // a fresh permutation every two
  CHECK(c.epoch() == 3);
  CHECK(c.offset() == 1);
  CHECK(take(c, 0).empty());
  CHECK(take(c, 1).size() == 1);
  CHECK(c.epoch() == 4);  // left as soon as it was used up
  CHECK(c.offset() == 0);
}

TEST_CASE("drop leaves out what does not fill a batch") {
  auto c = cursor<data::Exhausted::drop>(10, 4);
  CHECK(c.usable() == 8);
  CHECK(take(c, 4) == Items{0, 1, 2, 3});
  CHECK(take(c, 4) == Items{4, 5, 6, 7});
  CHECK(c.position() == 8);
  CHECK(take(c, 4) == Items{0, 1, 2, 3});
  CHECK(c.position() == 12);
  CHECK_THROWS_AS(take(c, 11), rlhf::Error);
}

TEST_CASE("retain cuts the last batch short and never gives an empty one") {
  auto c = cursor<data::Exhausted::retain>(10, 4);
  CHECK(take(c, 4) == Items{0, 1, 2, 3});
  CHECK(take(c, 4) == Items{4, 5, 6, 7});
  CHECK(take(c, 4) == Items{8, 9});
  CHECK(take(c, 4) == Items{0, 1, 2, 3});
  auto exact = cursor<data::Exhausted::retain>(8, 4);
  for (int i = 0; i < 6; ++i) {
    CHECK(take(exact, 4) == (i % 2 == 0 ? Items{0, 1, 2, 3} : Items{4, 5, 6, 7}));
  }
  CHECK(exact.position() == 24);
}

TEST_CASE("seek to a position continues as if nothing had happened") {
  for (std::int64_t taken = 0; taken < 40; ++taken) {
    auto straight = cursor<data::Exhausted::cycle>(7, 1, true);
    static_cast<void>(take(straight, taken));
    auto resumed = cursor<data::Exhausted::cycle>(7, 1, true);
    resumed.seek(straight.position());
    CHECK(straight.position() == taken);
    CHECK(take(resumed, 20) == take(straight, 20));
  }
}

TEST_CASE("a cursor refuses what it cannot go through") {
  CHECK_THROWS_WITH_AS(cursor<data::Exhausted::cycle>(0, 1), doctest::Contains("at least one item"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(cursor<data::Exhausted::cycle>(1, 0),
                       doctest::Contains("batch of at least one"), rlhf::Error);
  CHECK_THROWS_WITH_AS(
      cursor<data::Exhausted::drop>(3, 4),
      doctest::Contains("a dataset of 3 items never fills an episode of 4 prompts"), rlhf::Error);
  auto c = cursor<data::Exhausted::cycle>(3, 1);
  CHECK_THROWS_AS(take(c, -1), rlhf::Error);
}
