#include <rlhf/core/error.hpp>
#include <rlhf/data/interleave.hpp>

#include <cstdint>
#include <string>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {
std::string walk(data::Interleave& from, std::int64_t count) {
  std::string out;
  from.walk(count, [&](std::size_t dataset, std::int64_t n) {
    out += std::string(static_cast<std::size_t>(n), static_cast<char>('a' + dataset));
  });
  return out;
}
data::ShareStage stage(std::int64_t begin, std::vector<double> const& weights) {
  return {begin, data::shares_of<void>(weights)};
}
}  // namespace

TEST_CASE("each stage counts anew from its begin") {
  data::Interleave mixed({stage(0, {1, 0}), stage(3, {1, 1}), stage(8, {0, 1})});
  CHECK(walk(mixed, 12) ==
        "aaaababa"
        "bbbb");
  CHECK(mixed.taken(0) == 6);
  CHECK(mixed.taken(1) == 6);
  mixed.seek(5);
  CHECK(mixed.taken(0) == 4);
  CHECK(walk(mixed, 4) == "abab");
  mixed.seek(8);
  CHECK(mixed.taken(1) == 2);
  mixed.seek(0);
  CHECK(walk(mixed, 8) == "aaaababa");
}

TEST_CASE("ratios come in rounds") {
  data::Interleave mixed(std::vector<std::int64_t>{2, 1});
  CHECK(walk(mixed, 7) == "aabaaba");
  mixed.seek(2);
  CHECK(walk(mixed, 2) == "ba");
}

TEST_CASE("a ramp goes from one mixture to the other in equal steps") {
  std::vector<data::MixStage> const stages = data::ramp<void>({1, 0}, {0, 4}, 100, 110, 3);
  REQUIRE(stages.size() == 5);
  CHECK(stages[0].begin == 0);
  CHECK(stages[1].begin == 100);
  CHECK(stages[2].begin == 104);
  CHECK(stages[3].begin == 107);
  CHECK(stages[4].begin == 110);
  for (std::size_t s = 0; s < 5; ++s) {
    std::vector<std::int64_t> const shares = data::shares_of<void>(stages[s].weights);
    CHECK(shares[1] == static_cast<std::int64_t>(s) * (data::whole_share / 4));
  }
  CHECK_THROWS_WITH_AS(data::ramp<void>({1, 1}, {1}, 1, 9, 2), doctest::Contains("2 weights to 1"),
                       rlhf::Error);
  CHECK_THROWS_AS(data::ramp<void>({1, 1}, {1, 1}, 0, 9, 2), rlhf::Error);
  CHECK_THROWS_AS(data::ramp<void>({1, 1}, {1, 1}, 5, 6, 2), rlhf::Error);
  CHECK_THROWS_AS(data::ramp<void>({1, 1}, {1, 1}, 5, 9, 0), rlhf::Error);
}
