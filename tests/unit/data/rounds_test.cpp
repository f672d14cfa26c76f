#include <rlhf/core/error.hpp>
#include <rlhf/data/rounds.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {
std::string walk(data::Rounds& rounds, std::int64_t count) {
  std::string out;
  rounds.walk(count, [&](std::size_t dataset, std::int64_t n) {
    out += std::string(static_cast<std::size_t>(n), static_cast<char>('a' + dataset));
  });
  return out;
}
}  // namespace

TEST_CASE("rounds take their ratios in order, datasets of ratio 0 are passed over") {
  data::Rounds rounds({2, 0, 3, 0});
  CHECK(walk(rounds, 12) == "aacccaacccaa");
  CHECK(rounds.taken(0) == 6);
  CHECK(rounds.taken(1) == 0);
  CHECK(rounds.taken(2) == 6);
}

TEST_CASE("rounds go on wherever one seeks") {
  std::string const all = [] {
    data::Rounds rounds({0, 1, 4, 0, 2});
    return walk(rounds, 60);
  }();
  data::Rounds rounds({0, 1, 4, 0, 2});
  for (std::size_t position = 0; position < 40; ++position) {
    rounds.seek(static_cast<std::int64_t>(position));
    std::int64_t sum = 0;
    for (std::size_t d = 0; d < 5; ++d) {
      sum += rounds.taken(d);
    }
    CHECK(sum == static_cast<std::int64_t>(position));
    CHECK(walk(rounds, 20) == all.substr(position, 20));
  }
  rounds.seek(std::int64_t{7} << 56);
  CHECK(rounds.taken(2) == std::int64_t{4} << 56);
}

TEST_CASE("rounds of nothing are refused") {
  CHECK_THROWS_AS(data::Rounds({0, 0}), rlhf::Error);
}
