#include <rlhf/core/math.hpp>

#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

using rlhf::align_up;
using rlhf::ceil_div;
using rlhf::checked_multiply;
using rlhf::Errc;
using rlhf::Error;
using rlhf::IndexRange;
using rlhf::narrow;
using rlhf::split_evenly;

TEST_CASE("ceil_div is the smallest integer not below the quotient") {
  int wrong = 0;
  for (int a = 0; a <= 200; ++a) {
    for (int b = 1; b <= 40; ++b) {
      int const q = ceil_div(a, b);
      wrong += (q * b >= a && (q - 1) * b < a) ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
  CHECK(ceil_div(std::numeric_limits<std::int64_t>::max(), std::int64_t{2}) ==
        std::int64_t{1} << 62);  // no overflow on the way
}

TEST_CASE("align_up is the smallest multiple not below the value") {
  int wrong = 0;
  for (std::int64_t value = 0; value <= 600; ++value) {
    for (std::int64_t const alignment : {1, 3, 8, 256}) {
      std::int64_t const up = align_up(value, alignment);
      wrong += (up % alignment == 0 && up >= value && up - value < alignment) ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("checked_multiply multiplies, or names both factors") {
  CHECK(checked_multiply(std::int64_t{1} << 31, std::int64_t{1} << 31) == std::int64_t{1} << 62);
  CHECK(checked_multiply(-3, 7) == -21);
  CHECK(checked_multiply(0u, ~0u) == 0u);
  constexpr int constant = checked_multiply(6, 7);
  CHECK(constant == 42);
  int line = 0;
  try {
    line = __LINE__ + 1;
    static_cast<void>(checked_multiply(std::int64_t{4294967296}, std::int64_t{2147483648}));
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    std::string const what = error.what();
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(what.find("4294967296") != std::string::npos);
    CHECK(what.find("2147483648") != std::string::npos);
    CHECK(error.location().line == line);
  }
  CHECK_THROWS_AS(static_cast<void>(checked_multiply(1 << 30, 2)), Error);
  CHECK_THROWS_AS(static_cast<void>(checked_multiply(std::uint32_t{1} << 31, std::uint32_t{2})),
                  Error);
}

TEST_CASE("narrow keeps the value or refuses, around every edge of small types") {
  int wrong = 0;
  int const centers[] = {0, 128, -128, 256, 32'768, -32'768, 65'536, 2'000'000'000};
  for (int const center : centers) {
    for (int value = center - 40; value <= center + 40; ++value) {
      auto const agrees = [&](auto example) {
        using To = decltype(example);
        bool const fits = value >= int{std::numeric_limits<To>::min()} &&
                          value <= int{std::numeric_limits<To>::max()};
        try {
          return narrow<To>(value) == value && fits;
        } catch (Error const&) {
          return !fits;
        }
      };
      wrong += agrees(std::int8_t{}) && agrees(std::uint8_t{}) && agrees(std::int16_t{}) &&
                       agrees(std::uint16_t{})
                   ? 0
                   : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("narrow between signed and unsigned of the same width") {
  CHECK_THROWS_AS(static_cast<void>(narrow<std::uint64_t>(std::int64_t{-1})), Error);
  CHECK_THROWS_AS(static_cast<void>(narrow<std::int64_t>(~std::uint64_t{0})), Error);
  CHECK(narrow<std::uint64_t>(std::int64_t{7}) == 7);
  CHECK(narrow<std::int64_t>(std::uint64_t{7}) == 7);
  try {
    static_cast<void>(narrow<int>(std::int64_t{5'000'000'000}));
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    CHECK(std::string(error.what()).find("5000000000") != std::string::npos);
  }
}

TEST_CASE("split_evenly partitions in order, sizes differ by at most one, longer parts first") {
  int wrong = 0;
  for (std::int64_t total = 0; total <= 70; ++total) {
    for (std::int64_t parts = 1; parts <= 20; ++parts) {
      std::int64_t next = 0;
      std::int64_t last_size = total;
      for (std::int64_t i = 0; i < parts; ++i) {
        IndexRange const range = split_evenly(total, parts, i);
        wrong += range.begin == next && range.size() <= last_size &&
                         (range.size() == total / parts || range.size() == total / parts + 1)
                     ? 0
                     : 1;
        next = range.end;
        last_size = range.size();
      }
      wrong += next == total ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}
