#include <rlhf/core/rng.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include <doctest/doctest.h>

using rlhf::CounterRandom;
using rlhf::philox;
using rlhf::RandomWords;

namespace {

bool equal(RandomWords const& words, std::uint32_t a, std::uint32_t b, std::uint32_t c,
           std::uint32_t d) {
  return words.word[0] == a && words.word[1] == b && words.word[2] == c && words.word[3] == d;
}

}  // namespace

TEST_CASE("philox4x32-10 gives the known answers of Random123") {
  CHECK(equal(philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  CHECK(equal(philox(~0ULL, ~0ULL, ~0ULL), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  CHECK(equal(philox(0x299f31d0a4093822ULL, 0x85a308d3243f6a88ULL, 0x0370734413198a2eULL),
              0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
  constexpr RandomWords constant = philox(0, 0, 0);
  CHECK(equal(constant, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
}

TEST_CASE("draws are addressed by seed, stream and position") {
  CounterRandom const random(42, 7);
  std::vector<std::uint32_t> forward;
  for (std::uint64_t i = 0; i < 64; ++i) {
    forward.push_back(random.bits(i));
  }
  bool same = true;
  for (std::uint64_t i = 64; i-- > 0;) {
    same = same && CounterRandom(42, 7).bits(i) == forward[i];
  }
  CHECK(same);
  CHECK(random.bits(5) == philox(42, 1, 7).word[1]);
  std::set<std::uint32_t> distinct(forward.begin(), forward.end());
  for (std::uint64_t i = 0; i < 64; ++i) {
    distinct.insert(CounterRandom(43, 7).bits(i));
    distinct.insert(CounterRandom(42, 8).bits(i));
  }
  CHECK(distinct.size() >= 190);  // 192 draws of 32 bits: a repeat is possible, many are not
}

TEST_CASE("uniform draws lie in [0, 1), are multiples of 2^-24 and spread evenly") {
  CounterRandom const random(1, 2);
  int outside = 0;
  int inexact = 0;
  std::vector<int> bins(16, 0);
  constexpr int draws = 16000;
  for (std::uint64_t i = 0; i < draws; ++i) {
    float const u = random.uniform(i);
    outside += u >= 0.0F && u < 1.0F ? 0 : 1;
    float const scaled = u * 16777216.0F;
    inexact += static_cast<float>(static_cast<std::uint32_t>(scaled)) == scaled ? 0 : 1;
    ++bins[static_cast<std::size_t>(u * 16.0F)];
  }
  CHECK(outside == 0);
  CHECK(inexact == 0);
  CHECK(*std::min_element(bins.begin(), bins.end()) > 850);  // 1000 expected, deviation 31
  CHECK(*std::max_element(bins.begin(), bins.end()) < 1150);
}

TEST_CASE("below(n) covers [0, n) evenly and nothing else") {
  CounterRandom const random(3, 4);
  for (std::uint32_t const n : {1u, 2u, 3u, 7u, 10u}) {
    std::vector<int> seen(n, 0);
    bool inside = true;
    for (std::uint64_t i = 0; i < 1000 * n; ++i) {
      std::uint32_t const draw = random.below(i, n);
      inside = inside && draw < n;
      ++seen[draw < n ? draw : 0];
    }
    CHECK(inside);
    CHECK(*std::min_element(seen.begin(), seen.end()) > 850);
    CHECK(*std::max_element(seen.begin(), seen.end()) < 1150);
  }
  CHECK(random.below(0, 0xffffffffU) < 0xffffffffU);
}
