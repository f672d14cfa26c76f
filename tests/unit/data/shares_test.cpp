#include <rlhf/core/error.hpp>
#include <rlhf/data/shares.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using Shares = std::vector<std::int64_t>;

namespace {
Shares shares(std::vector<double> const& weights) {
  return data::shares_of<void>(weights);
}
}  // namespace

TEST_CASE("weights become parts that add up to one") {
  CHECK(shares({1}) == Shares{data::whole_share});
  CHECK(shares({7, 3}) == Shares{700'000'000'000'000'000, 300'000'000'000'000'000});
  CHECK(shares({0.7, 0.3}) == shares({7, 3}));
  CHECK(shares({0, 5, 0}) == Shares{0, data::whole_share, 0});
  Shares const thirds = shares({1, 1, 1});
  CHECK(thirds[0] + thirds[1] + thirds[2] == data::whole_share);
  CHECK(thirds[1] == thirds[2]);
  CHECK(thirds[0] - thirds[1] < 1000);  // what rounding left, to the first among equals
  CHECK(shares({1e300, 1e300}) == shares({1, 1}));
  CHECK(shares({1e-300, 1e-300}) == shares({1, 1}));
}

TEST_CASE("weights that say nothing are refused") {
  double const none = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(shares({1, -0.1}), doctest::Contains("the weight of dataset 1 is negative"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(shares({none, 1}), doctest::Contains("the weight of dataset 0 is"),
                       rlhf::Error);
  CHECK_THROWS_AS(shares({1, INFINITY}), rlhf::Error);
  CHECK_THROWS_WITH_AS(shares({0, 0}), doctest::Contains("all weights are 0"), rlhf::Error);
  CHECK_THROWS_AS(shares({}), rlhf::Error);
  CHECK_THROWS_WITH_AS(shares({1, 1e-7}), doctest::Contains("dataset 1 is less than 2^-20 of all"),
                       rlhf::Error);
  CHECK_NOTHROW(shares({1, 1e-6}));
}

TEST_CASE("shares as text") {
  CHECK(data::share_text(0) == "0");
  CHECK(data::share_text(data::whole_share) == "1");
  CHECK(data::share_text(shares({7, 3})[0]) == "0.7");
  CHECK(data::share_text(1) == "0.000000000000000001");
  std::int64_t share = 0;
  CHECK(data::parse_share("0.05", share));
  CHECK(share == data::whole_share / 20);
  for (char const* const bad : {"", ".5", "0.", "0.50", "00.5", "1.0", "2", "-0.5", "0,5", "0.5 ",
                                "0.0000000000000000001", "1e-3"}) {
    CAPTURE(bad);
    CHECK_FALSE(data::parse_share(bad, share));
  }
}
