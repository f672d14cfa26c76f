#include <rlhf/data/quota.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/allocations.hpp"

namespace data = rlhf::data;

namespace {
data::Quota quota(std::vector<double> const& weights) {
  return data::Quota(data::shares_of<void>(weights));
}
std::string walk(data::Quota& from, std::int64_t count) {
  std::string out;
  from.walk(count, [&](std::size_t dataset, std::int64_t n) {
    out += std::string(static_cast<std::size_t>(n), static_cast<char>('a' + dataset));
  });
  return out;
}
}  // namespace

// Laws are in tests/property/data_mixture.cpp. These are what stopped runs go on with.
TEST_CASE("weights spread evenly") {
  data::Quota half = quota({1, 1});
  CHECK(walk(half, 8) == "abababab");
  data::Quota seven = quota({0.7, 0.3});
  CHECK(walk(seven, 20) == "aabaabaaabaabaabaaab");
  data::Quota three = quota({0.5, 0.3, 0.2});
  CHECK(walk(three, 20) == "abacababacabacababac");
  data::Quota one = quota({0, 2, 0});
  CHECK(walk(one, 5) == "bbbbb");
}

TEST_CASE("many small weights beside a large one do not bunch") {
  std::vector<double> weights(21, 0.005);
  weights[20] = 0.9;
  data::Quota many = quota(weights);
  std::string const all = walk(many, 2000);
  for (std::size_t n = 0; n + 100 <= all.size(); n += 10) {
    std::int64_t large = 0;
    for (char const c : all.substr(n, 100)) {
      large += c == 'a' + 20 ? 1 : 0;
    }
    CHECK(large >= 88);  // 90 less what two prefixes may be off, together below 2
    CHECK(large <= 92);
  }
}

TEST_CASE("the least weight decides how long a block is") {
  CHECK(quota({1, 1}).block() == 64);
  CHECK(quota({1, 1e-3}).block() == 1024);
  CHECK(quota({1, 1.0 / 1'000'000}).block() == 1 << 20);
}

TEST_CASE("going on allocates nothing, and nor does a seek") {
  data::Quota mixed = quota({0.5, 0.3, 0.15, 0.05});
  std::int64_t sum = 0;
  auto const count = [&](std::size_t dataset, std::int64_t n) {
    sum += static_cast<std::int64_t>(dataset) * n;
  };
  std::int64_t const before = allocations();
  mixed.walk(1000, count);
  mixed.seek(123'456'789);
  mixed.walk(1000, count);
  CHECK(allocations() == before);
}
