#include <rlhf/core/error.hpp>
#include <rlhf/data/padding.hpp>

#include <cstdint>
#include <initializer_list>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using Ints = std::vector<int>;
using data::PadSide;

namespace {

template <class T>
data::Rows<T> rows_of(std::initializer_list<std::vector<T>> rows, std::int64_t inner = 1) {
  data::Rows<T> out(inner);
  for (std::vector<T> const& row : rows) {
    out.push_back(row);
  }
  return out;
}

}  // namespace

TEST_CASE("rows are padded on either side, with a value for each column") {
  data::Rows<int> const rows = rows_of<int>({{1, 2, 3}, {4}, {}});
  data::Padded<int> const right = data::pad(rows, data::Padding<int>{.value = 9});
  CHECK(right.values == Ints{1, 2, 3, 4, 9, 9, 9, 9, 9});
  CHECK(right.rows == 3);
  CHECK(right.width == 3);
  CHECK(right.lengths == std::vector<std::int64_t>{3, 1, 0});
  data::Padded<int> const left =
      data::pad(rows, data::Padding<int>{.value = 9, .side = PadSide::left});
  CHECK(left.values == Ints{1, 2, 3, 9, 9, 4, 9, 9, 9});
  CHECK(left[1][2] == 4);
  CHECK(data::mask_of(left, PadSide::left).values ==
        std::vector<std::uint8_t>{1, 1, 1, 0, 0, 1, 0, 0, 0});
  CHECK(data::mask_of<float>(right, PadSide::right).values ==
        std::vector<float>{1, 1, 1, 1, 0, 0, 0, 0, 0});
  CHECK(data::unpad(right, PadSide::right) == rows);
  CHECK(data::unpad(left, PadSide::left) == rows);
}

TEST_CASE("the width may be rounded up or given") {
  data::Rows<int> const rows = rows_of<int>({{1, 2, 3}, {4}});
  CHECK(data::pad(rows, data::Padding<int>{.multiple_of = 4}).values ==
        Ints{1, 2, 3, 0, 4, 0, 0, 0});
  CHECK(data::pad(rows, data::Padding<int>{.width = 5}).width == 5);
  CHECK(data::pad(rows, data::Padding<int>{.multiple_of = 4, .width = 5}).width == 8);
  CHECK_THROWS_WITH_AS(data::pad(rows, data::Padding<int>{.width = 2}),
                       doctest::Contains("row 0 has 3 positions, more than Padding::width, 2"),
                       rlhf::Error);
  CHECK_THROWS_AS(data::pad(rows, data::Padding<int>{.multiple_of = 0}), rlhf::Error);
  CHECK_THROWS_AS(data::pad(rows, data::Padding<int>{.width = -1}), rlhf::Error);
  CHECK_THROWS_AS(data::pad(rows, data::Padding<int>{.width = INT64_MAX}), rlhf::Error);
  CHECK_THROWS_AS(data::pad(rows, data::Padding<int>{.multiple_of = std::int64_t{1} << 40,
                                                     .width = std::int64_t{1} << 50}),
                  rlhf::Error);
}

TEST_CASE("positions of several values are padded as a whole; nothing is padded to nothing") {
  data::Rows<float> const rows = rows_of<float>({{1, 2, 3, 4}, {5, 6}}, 2);
  data::Padded<float> const padded =
      data::pad(rows, data::Padding<float>{.value = -1, .side = PadSide::left});
  CHECK(padded.values == std::vector<float>{1, 2, 3, 4, -1, -1, 5, 6});
  CHECK(padded.width == 2);
  CHECK(padded.inner == 2);
  CHECK(data::unpad(padded, PadSide::left) == rows);
  CHECK(data::pad(data::Rows<int>()).values.empty());
  CHECK(data::pad(rows_of<int>({{}, {}})).width == 0);
  Ints const odd{1, 2, 3};
  data::Padded<int> out;
  CHECK_THROWS_WITH_AS(data::pad_rows<int>(
                           1, 2, [&](std::int64_t) { return std::span<int const>(odd); }, {}, out),
                       doctest::Contains("row 0 of 3 values has no whole positions of 2"),
                       rlhf::Error);
}
