#include <rlhf/core/text.hpp>

#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using rlhf::list_text;
using rlhf::text;

TEST_CASE("text joins strings, characters, truth values and numbers as they are read") {
  CHECK(text("rank ", 3, '/', 8u, ": ", std::string("late"), ' ', true, ' ', false) ==
        "rank 3/8: late true false");
  CHECK(text(std::string_view("a"), "b") == "ab");
}

TEST_CASE("text prints the extremes of integers exactly") {
  CHECK(text(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(text(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
  CHECK(text(std::uint8_t{65}) == "65");  // a number, not a letter
  CHECK(text(std::int8_t{-1}) == "-1");
}

TEST_CASE("text prints six digits of a floating-point number") {
  CHECK(text(0.5) == "0.5");
  CHECK(text(1.0F / 3.0F) == "0.333333");
  CHECK(text(-1e-300) == "-1e-300");
  CHECK(text(std::numeric_limits<double>::infinity()) == "inf");
}

TEST_CASE("list_text brackets a list and shortens a long one") {
  std::vector<int> numbers(20);
  std::iota(numbers.begin(), numbers.end(), 0);
  std::span<int const> const all(numbers);
  CHECK(list_text(all.first(0)) == "[]");
  CHECK(list_text(all.first(1)) == "[0]");
  CHECK(list_text(all.first(3)) == "[0, 1, 2]");
  CHECK(list_text(all.first(16)).find("...") == std::string::npos);
  CHECK(list_text(all.first(16)).find("15]") != std::string::npos);
  CHECK(list_text(all.first(17)) ==
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, ... (17 in all)]");
  CHECK(list_text(all, 2) == "[0, 1, ... (20 in all)]");
}
